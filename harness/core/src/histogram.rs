//! What weights and activations look like beside the grid that a method chose for them.
//!
//! Histograms are small files beside the rows, made for a look at a grid and never compared.

use serde::{Deserialize, Serialize};

use crate::bits::Bits;
use crate::grid::{Grid, Levels};
use crate::table::Table;

/// Bins of a histogram.
pub const BINS: usize = 64;

/// Histograms and grids of one artefact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histograms {
    /// Id of the artefact, as in its rows.
    pub artefact: String,
    /// Calibration images that the activations were seen on; zero if none were granted.
    pub images: usize,
    /// Layers in the order of the network.
    pub layers: Vec<LayerHistograms>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerHistograms {
    /// Name of the layer's node.
    pub layer: String,
    /// FP32 weights, batch norm folded.
    pub weights: Seen,
    /// Input of the layer in the FP32 network.
    pub input: Seen,
}

/// The values of a tensor and the grid chosen for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The values; none where there were no images to see them on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Binned>,
    /// The grid; none where the tensor stays in FP32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<ShownGrid>,
}

/// A histogram of equal bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binned {
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
    /// Height of each bin in ten-thousandths of the highest, at least 1 where there is a value.
    pub heights: Vec<u16>,
}

impl Binned {
    /// A histogram of these counts over [low, high]; none if nothing was counted.
    pub fn of(low: f32, high: f32, counts: &[u64]) -> Option<Self> {
        let most = counts.iter().copied().max().filter(|most| *most > 0)?;
        let height = |&n: &u64| match n {
            0 => 0,
            n => ((n as f64 / most as f64 * 10_000.0).round() as u16).max(1),
        };
        Some(Self { low, high, heights: counts.iter().map(height).collect() })
    }
}

/// The bin of a value in a histogram over [low, high].
pub fn bin(value: f32, low: f32, high: f32) -> usize {
    let share = (value - low) / (high - low);
    // An empty range, and what is not finite, belong to the first bin.
    ((share * BINS as f32) as usize).min(BINS - 1)
}

/// A grid as a figure shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownGrid {
    /// Kind of levels.
    pub levels: Levels,
    /// Bits of storage per code.
    pub bits: Bits,
    /// Scale of the channel shown: the one with the median scale.
    pub scale: f32,
    /// Its zero point.
    pub zero_point: i32,
    /// Its lowest level.
    pub low: f32,
    /// Its highest level.
    pub high: f32,
    /// Channels with a scale of their own.
    pub channels: usize,
    /// Share of the values that lie more than half a step beyond the ends of their own channel's
    /// grid; none where there were no values to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
}

impl ShownGrid {
    /// A grid with the given clipped share; none if it has no scale.
    pub fn of(grid: &Grid, clipped: Option<f64>) -> Option<Self> {
        let mut order: Vec<usize> = (0..grid.scale.len().min(grid.zero_point.len())).collect();
        order.sort_by(|&a, &b| grid.scale[a].total_cmp(&grid.scale[b]).then(a.cmp(&b)));
        let shown = *order.get(order.len() / 2)?;
        let (low, high) = grid.ends(shown);
        Some(Self {
            levels: match &grid.levels {
                Levels::Table(table) => Levels::Table(Table::new(table.row(shown).to_vec())),
                other => other.clone(),
            },
            bits: grid.bits,
            scale: grid.scale[shown],
            zero_point: grid.zero_point[shown],
            low,
            high,
            channels: grid.scale.len(),
            clipped,
        })
    }

    /// Its levels from low to high.
    pub fn values(&self) -> Vec<f32> {
        match &self.levels {
            Levels::Affine { qmin, qmax } => {
                // A damaged file may claim any codes; no width has more than these.
                let last = (*qmax).min(qmin.saturating_add(255));
                (*qmin..=last).map(|q| self.scale * (q - self.zero_point) as f32).collect()
            }
            Levels::Ternary => vec![-self.scale, 0.0, self.scale],
            Levels::Binary => vec![-self.scale, self.scale],
            Levels::Table(table) => table.all().iter().map(|v| self.scale * v).collect(),
        }
    }
}

/// Whether a value lies more than half a step beyond the ends of a channel's grid; in a table the
/// step is the one next to that end.
pub fn is_clipped(grid: &Grid, value: f32, channel: usize) -> bool {
    let (low, high) = grid.ends(channel);
    let scale = grid.scale[channel];
    let (below, above) = match &grid.levels {
        Levels::Table(table) => {
            let (row, last) = (table.row(channel), table.count() - 1);
            (scale * (row[1] - row[0]), scale * (row[last] - row[last - 1]))
        }
        _ => (scale, scale),
    };
    value < low - below / 2.0 || value > high + above / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::SignedRange;

    #[test]
    fn heights_are_shares_of_the_highest_and_nothing_seen_is_none() {
        let seen = Binned::of(-1.0, 1.0, &[0, 1, 50_000, 100_000]).unwrap();
        assert_eq!(seen.heights, [0, 1, 5_000, 10_000]);
        assert_eq!(Binned::of(0.0, 1.0, &[0, 0]), None);
    }

    #[test]
    fn every_value_has_a_bin() {
        assert_eq!([-1.0, 0.0, 0.999, 1.0].map(|v| bin(v, -1.0, 1.0)), [0, 32, 63, 63]);
        assert_eq!([3.0, f32::NAN].map(|v| bin(v, 3.0, 3.0)), [0, 0]);
    }

    #[test]
    fn the_channel_shown_has_the_median_scale() {
        let grid = Grid::symmetric(vec![4.0, 1.0, 2.0], 0, Bits::EIGHT, SignedRange::Restricted);
        let shown = ShownGrid::of(&grid, None).unwrap();
        assert_eq!((shown.scale, shown.low, shown.high, shown.channels), (2.0, -254.0, 254.0, 3));
        assert_eq!(shown.values().len(), 255);
        assert!(is_clipped(&grid, 128.0, 1) && !is_clipped(&grid, 127.4, 1));
        assert_eq!(
            ShownGrid::of(&Grid::ternary(vec![0.5], 0), None).unwrap().values(),
            [-0.5, 0.0, 0.5]
        );
    }
}
