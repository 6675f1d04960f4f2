//! Range estimators: which part of the values a uniform grid covers.
//!
//! A variant is one file with one type: a search per channel of weights, and a streaming observer
//! for activations whose memory does not grow with the number of images.

mod extent;
mod histogram;
mod minmax;
mod mse;

use quantbench_core::{Bits, Grid};

pub use extent::Extent;
pub use histogram::Histogram;
pub use minmax::MinMax;
pub use mse::{FACTORS, Mse};

/// Values per work item when a slice is spread over threads.
///
/// Fixed, and results are joined in the order of the items, so that sums do not depend on the
/// number of threads.
pub const CHUNK: usize = 1 << 18;

/// Which uniform grid weights get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightStyle {
    /// Signed codes around zero without a zero point.
    Symmetric,
    /// Codes `0 ..= 2^b - 1` with a zero point per channel.
    Affine,
}

impl WeightStyle {
    /// The names in cards, in the order of [`WeightStyle::from_name`].
    pub const NAMES: &'static [&'static str] = &["symmetric", "affine"];

    /// The style of a card's parameter; anything but `affine` is symmetric.
    pub fn from_name(name: &str) -> Self {
        if name == "affine" { WeightStyle::Affine } else { WeightStyle::Symmetric }
    }
}

/// Decides which range of values a grid covers.
pub trait RangeEstimator: Sync {
    /// The word that cards and notes use.
    fn name(&self) -> &'static str;

    /// Scale and zero point for one channel of finite weights.
    ///
    /// An all-zero channel gets scale 1 and zero point 0.
    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32);

    /// How often an observer has to see all values.
    fn passes(&self) -> usize;

    /// A fresh observer of one activation.
    fn observer(&self) -> Box<dyn Observer>;
}

/// Watches one activation and gives its grid at the end.
///
/// Memory is bounded whatever the number of values; results do not depend on the number of
/// threads.
pub trait Observer: Send {
    /// Sees some values in pass `pass`, counted from 0. Every pass shows the same values in the
    /// same order.
    fn observe(&mut self, pass: usize, values: &[f32]);

    /// Whether every value so far was a finite number.
    fn is_finite(&self) -> bool;

    /// The per-tensor grid for what was seen.
    fn grid(&self, bits: Bits) -> Grid;
}
