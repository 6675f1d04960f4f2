//! Range estimators: which part of the values a uniform grid covers.
//!
//! A variant is one file with one type: a search per channel of weights, and a streaming observer
//! for activations whose memory does not grow with the number of images.

mod aciq;
mod entropy;
mod extent;
mod histogram;
mod lp;
mod minmax;
mod mse;
mod percentile;
mod pieces;
mod stored;

use quantbench_core::{Bits, Grid};

pub use aciq::{Aciq, Distribution, gauss_clip, laplace_clip};
pub use entropy::Entropy;
pub use extent::Extent;
use histogram::Guess as Bins;
pub use histogram::{Counted, Histogram};
pub use lp::Lp;
pub use minmax::MinMax;
pub use mse::{FACTORS, Mse};
pub use percentile::Percentile;

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

/// How much of an activation an estimator has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Its extremes.
    Extent,
    /// Its extremes and how many values lie in which bin of a histogram between them.
    Counts,
    /// Its extremes, and the count, the sum and the sum of squares of the values in each bin.
    Moments,
}

/// What was seen of one activation over all images: enough for every estimator, and of a size
/// that does not depend on the number of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its extremes.
    pub extent: Extent,
    /// Its histogram; none if only [`Detail::Extent`] was asked for.
    pub histogram: Option<Histogram>,
}

impl Summary {
    /// The summary of nothing.
    pub fn empty(detail: Detail) -> Self {
        Self { extent: Extent::EMPTY, histogram: Histogram::new(detail) }
    }

    /// How much is known.
    pub fn detail(&self) -> Detail {
        self.histogram.as_ref().map_or(Detail::Extent, Histogram::detail)
    }

    /// Adds values.
    pub fn add(&mut self, values: &[f32]) {
        let seen = Seen::of(values, self.guess());
        self.take(values, seen);
    }

    /// What the next values will most likely be seen with, for [`Seen::of`].
    pub fn guess(&self) -> Guess {
        Guess(self.histogram.as_ref().map(Histogram::guess))
    }

    /// As [`Summary::add`], of values that were looked at before, perhaps on another thread. What
    /// results does not depend on the guess that they were looked at with.
    pub fn take(&mut self, values: &[f32], seen: Seen) {
        let more = match (&mut self.histogram, seen) {
            (Some(histogram), Seen::Counted(counted)) => histogram.take(values, counted),
            (Some(histogram), Seen::Extent(_)) => histogram.add(values),
            (None, Seen::Extent(extent)) => extent,
            (None, Seen::Counted(_)) => Extent::of(values),
        };
        self.extent = self.extent.join(more);
    }

    /// The summary of a slice, for tests and small tensors.
    pub fn of(values: &[f32]) -> Self {
        let mut seen = Self::empty(Detail::Moments);
        seen.add(values);
        seen
    }
}

/// What of its values a summary has to know, and with which bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess(Option<Bins>);

/// What one look at some values gives, before it is added to a [`Summary`].
pub enum Seen {
    /// Their extremes.
    Extent(Extent),
    /// Their extremes and how many lie in which bin.
    Counted(Counted),
}

impl Seen {
    /// Looks at values.
    pub fn of(values: &[f32], guess: Guess) -> Self {
        match guess.0 {
            None => Seen::Extent(Extent::of(values)),
            Some(bins) => Seen::Counted(Counted::of(values, bins)),
        }
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

    /// What [`RangeEstimator::activation`] reads of a summary.
    fn detail(&self) -> Detail;

    /// The per-tensor grid of an activation of which `seen` is known, with at least the detail
    /// that the estimator asks for.
    fn activation(&self, seen: &Summary, bits: Bits) -> Grid;
}
