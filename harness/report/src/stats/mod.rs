//! Intervals, tests and effect sizes, as pure functions of numbers.
//!
//! They answer different questions and are never merged into one: [`wilson`] says how far the
//! accuracy would move with other test images, [`over_draws`] how far it moves with other
//! calibration images or seeds on the same test images. Two networks on the same test images are
//! compared image by image ([`Discordant`]), which neither of the two intervals can tell.

mod bootstrap;
mod draws;
mod friedman;
mod holm;
mod kendall;
mod paired;
mod student;
mod wilson;

pub use bootstrap::bootstrap_mean;
pub use draws::{Mean, over_draws};
pub use friedman::{ENOUGH_MODELS, NoRanks, Ranks, friedman};
pub use holm::holm;
pub use kendall::tau_b;
pub use paired::Discordant;
pub use student::t_quantile;
pub use wilson::wilson;

/// How tables name the interval of [`wilson`].
pub const OVER_TEST_IMAGES: &str = "over test images (Wilson 95 %)";

/// How tables name the interval of [`over_draws`].
pub const OVER_DRAWS: &str = "over draws (t 95 %)";

/// A two-sided 95 % interval, in the unit of its estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Half the distance between the ends.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Both ends times a factor, for a change of unit.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { low: self.low * factor, high: self.high * factor }
    }
}
