//! Levels that are not equally spaced.

use serde::{Deserialize, Serialize};

/// A table of levels, in units of a grid's scale, with the thresholds between them.
///
/// Codes count the levels from the lowest, which is 0. Zero need not be among the levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Levels of a row.
    count: usize,
    /// Rows of ascending levels: one for all channels, or one each.
    levels: Vec<f32>,
    /// Where the code rises, one fewer than levels; empty for the middles between levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    thresholds: Vec<f32>,
}

impl Table {
    /// One row for all channels, which codes reach in the middles between levels.
    pub fn new(levels: Vec<f32>) -> Self {
        Self { count: levels.len(), levels, thresholds: Vec::new() }
    }

    /// A row of `count` levels for each channel.
    pub fn rows(levels: Vec<f32>, count: usize) -> Self {
        Self { count, levels, thresholds: Vec::new() }
    }

    /// The same with thresholds of their own, in units of the scale: a number gets the code that
    /// counts the thresholds at or below it.
    #[must_use]
    pub fn with_thresholds(self, thresholds: Vec<f32>) -> Self {
        Self { thresholds, ..self }
    }

    /// `count` whole numbers two apart around zero, `-(count - 1), .., -1, 1, .., count - 1`: the
    /// levels between those of an affine grid, without zero.
    pub fn odd(count: usize) -> Self {
        Self::new((0..count).map(|i| 2.0 * i as f32 - (count as f32 - 1.0)).collect())
    }

    /// Levels of a row.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.levels.len() / self.count.max(1)
    }

    /// The levels of a channel, ascending.
    pub fn row(&self, channel: usize) -> &[f32] {
        let row = if self.row_count() > 1 { channel } else { 0 };
        &self.levels[row * self.count..(row + 1) * self.count]
    }

    /// All rows one after the other.
    pub fn all(&self) -> &[f32] {
        &self.levels
    }

    /// Thresholds of its own, if it has any.
    pub fn own_thresholds(&self) -> &[f32] {
        &self.thresholds
    }

    /// Where the code of a channel rises from each level to the next.
    pub fn thresholds(&self, channel: usize) -> Vec<f32> {
        if self.thresholds.is_empty() {
            self.row(channel).windows(2).map(|pair| f32::midpoint(pair[0], pair[1])).collect()
        } else {
            self.thresholds.clone()
        }
    }

    /// Whether all levels are whole numbers that a signed byte holds.
    pub fn is_whole(&self) -> bool {
        self.levels.iter().all(|v| v.fract() == 0.0 && (-128.0..=127.0).contains(v))
    }

    /// What is wrong with it for so many channels, in so many bits; nothing if it can be used.
    pub(crate) fn fault(&self, channels: usize, bits: u8) -> Option<String> {
        let Self { count, levels, thresholds } = self;
        let most = 1usize << bits.min(16);
        if *count < 2 || *count > most {
            return Some(format!("{count} levels in {bits} bits; expected 2 to {most}"));
        }
        let rows = self.row_count();
        if rows * count != levels.len() || (rows != 1 && rows != channels) {
            let found = levels.len();
            return Some(format!("{found} levels for {channels} channels of {count}"));
        }
        let ascends = |row: &[f32]| {
            row.iter().all(|v| v.is_finite()) && row.windows(2).all(|pair| pair[0] < pair[1])
        };
        if !levels.chunks(*count).all(ascends) {
            return Some("levels that do not ascend".to_string());
        }
        if !thresholds.is_empty() && (thresholds.len() + 1 != *count || !ascends(thresholds)) {
            let found = thresholds.len();
            return Some(format!("{found} thresholds that do not ascend between {count} levels"));
        }
        None
    }
}
