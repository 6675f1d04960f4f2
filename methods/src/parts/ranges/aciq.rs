//! Analytical clipping: the range that minimises the expected squared error of a Laplace or
//! normal distribution with the tensor's moments (Banner et al. 2019, arXiv:1810.05723,
//! section 3).

use quantbench_core::{Bits, Grid};

use super::lp::Lp;
use super::pieces::{Piece, pieces};
use super::{Detail, MinMax, RangeEstimator, Summary, WeightStyle};
use crate::parts::normal::{cumulative, density};

/// Which distribution is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Laplace, by the mean distance from the mean.
    Laplace,
    /// Normal, by the standard deviation.
    Gauss,
    /// Of both and the whole range the one with the smallest squared error on the histogram.
    Auto,
}

impl Distribution {
    /// The names in cards, in the order of [`Distribution::from_name`].
    pub const NAMES: &'static [&'static str] = &["laplace", "gauss", "auto"];

    /// The distribution of a card's parameter; anything unknown is Laplace.
    pub fn from_name(name: &str) -> Self {
        match name {
            "gauss" => Distribution::Gauss,
            "auto" => Distribution::Auto,
            _ => Distribution::Laplace,
        }
    }
}

/// Analytical clipping of activations; weights get min-max ranges.
pub struct Aciq {
    /// What is fitted.
    pub distribution: Distribution,
}

/// Clip in units of the mean distance `b` that minimises `2 e^-a + a^2 / (3 * 4^bits)`, the
/// squared error of a Laplace distribution clipped to `+-a b` (equation 5).
pub fn laplace_clip(bits: u8) -> f64 {
    let fine = 3.0 * 4f64.powi(i32::from(bits));
    root(|a| 2.0 * a / fine - 2.0 * (-a).exp())
}

/// The same for the normal distribution, in standard deviations (appendix A).
pub fn gauss_clip(bits: u8) -> f64 {
    let fine = 3.0 * 4f64.powi(i32::from(bits));
    root(|a| 2.0 * a / fine + 4.0 * (a * cumulative(-a) - density(a)))
}

/// The zero of a derivative that rises through it once between 0 and 64.
fn root(slope: impl Fn(f64) -> f64) -> f64 {
    let (mut lo, mut hi) = (0.0, 64.0);
    for _ in 0..64 {
        let middle = 0.5 * (lo + hi);
        if slope(middle) < 0.0 {
            lo = middle;
        } else {
            hi = middle;
        }
    }
    0.5 * (lo + hi)
}

/// Moments of the values about their mean, or of one side about zero.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fit {
    /// Centre of the distribution.
    mean: f64,
    /// Mean distance from the centre.
    distance: f64,
    /// Root of the mean squared distance.
    deviation: f64,
    /// Whether only one side of the distribution was seen: half the range, one bit more.
    half: bool,
}

impl Fit {
    /// The fit of values that are not all zero; none otherwise.
    fn of(list: &[Piece], zeros: f64) -> Option<Self> {
        let count: f64 = list.iter().map(|p| p.count).sum();
        let sum: f64 = list.iter().map(|p| p.sum).sum();
        let squares: f64 = list.iter().map(|p| p.squares).sum();
        let (first, last) = (list.first()?, list.last()?);
        if first.left >= 0.0 || last.right <= 0.0 {
            // What a rectifier leaves: an exponential law above zero, whatever the zeros.
            let (distance, deviation) = (sum.abs() / count, (squares / count).sqrt());
            return Some(Self { mean: 0.0, distance, deviation, half: true });
        }
        let all = count + zeros;
        let mean = sum / all;
        let distances: f64 = list.iter().map(|p| distances(p, mean)).sum();
        let distance = (distances + zeros * mean.abs()) / all;
        let deviation = (squares / all - mean * mean).max(0.0).sqrt();
        Some(Self { mean, distance, deviation, half: false })
    }

    /// The range, not cut to what was seen.
    fn range(&self, distribution: Distribution, bits: Bits) -> (f64, f64) {
        let bits = bits.get() + u8::from(self.half);
        let alpha = match distribution {
            Distribution::Gauss => gauss_clip(bits) * self.deviation,
            _ => laplace_clip(bits) * self.distance,
        };
        (self.mean - alpha, self.mean + alpha)
    }
}

/// Sum of distances from `mean`: exact but in the piece that holds it.
fn distances(piece: &Piece, mean: f64) -> f64 {
    let Piece { left, right, count, sum, .. } = *piece;
    if left < mean && mean < right {
        count * ((mean - left).powi(2) + (right - mean).powi(2)) / (2.0 * (right - left))
    } else {
        (sum - mean * count).abs()
    }
}

impl RangeEstimator for Aciq {
    fn name(&self) -> &'static str {
        "analytical clipping"
    }

    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32) {
        MinMax.weights(channel, style, bits)
    }

    fn detail(&self) -> Detail {
        Detail::Moments
    }

    fn activation(&self, seen: &Summary, bits: Bits) -> Grid {
        let (lo, hi) = seen.extent.with_zero();
        let whole = Grid::activation(lo, hi, bits);
        let zeros = seen.histogram.as_ref().map_or(0, super::Histogram::zeros) as f64;
        let list = pieces(seen);
        let Some(fit) = Fit::of(&list, zeros) else { return whole };
        let clipped = |distribution| {
            let (l, u) = fit.range(distribution, bits);
            Grid::activation(lo.max(l as f32), hi.min(u as f32), bits)
        };
        if self.distribution != Distribution::Auto {
            return clipped(self.distribution);
        }
        let squared = Lp::new(2.0);
        let mut found = (whole.clone(), f64::INFINITY);
        for grid in [clipped(Distribution::Laplace), clipped(Distribution::Gauss), whole] {
            let codes = grid.code_range();
            let error = squared.of_pieces(&list, grid.scale[0], grid.zero_point[0], codes, found.1);
            if error < found.1 {
                found = (grid, error);
            }
        }
        found.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clips_are_those_of_the_official_tables() {
        let laplace = [1.86, 2.83, 3.89, 5.03, 6.20, 7.41, 8.64, 9.89, 11.16];
        let gauss = [1.24, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92];
        for (bits, want) in (1u8..).zip(laplace) {
            assert!((laplace_clip(bits) - want).abs() < 0.01, "{bits}: {}", laplace_clip(bits));
        }
        for (bits, want) in (1u8..).zip(gauss) {
            assert!((gauss_clip(bits) - want).abs() < 0.01, "{bits}: {}", gauss_clip(bits));
        }
        // More digits, for 2 to 8 bits, from comments of the official code.
        let laplace = [2.830_683, 3.897_229, 5.028_640, 6.204_766, 7.413_126, 8.645_620, 9.896_760];
        let gauss = [1.710_635, 2.151_593, 2.559_136, 2.936_201, 3.286_915, 3.615_115, 3.924_037];
        for (bits, (l, g)) in (2u8..).zip(laplace.into_iter().zip(gauss)) {
            assert!((laplace_clip(bits) - l).abs() < 1e-5, "{bits}: {}", laplace_clip(bits));
            assert!((gauss_clip(bits) - g).abs() < 1e-4, "{bits}: {}", gauss_clip(bits));
        }
    }

    #[test]
    fn the_clip_minimises_the_error_of_samples() {
        // Quantiles of a Laplace law with b = 1: the measured best clip is the formula's.
        let n = 20_001;
        let law: Vec<f64> = (0..n)
            .map(|i| (f64::from(i) + 0.5) / f64::from(n))
            .map(|u| if u < 0.5 { (2.0 * u).ln() } else { -(2.0 - 2.0 * u).ln() })
            .collect();
        let error = |a: f64| -> f64 {
            let step = 2.0 * a / 16.0;
            let level = |x: f64| (((x + a) / step).floor().clamp(0.0, 15.0) + 0.5) * step - a;
            law.iter().map(|&x| (level(x) - x).powi(2)).sum()
        };
        let best = (100..900).map(|k| f64::from(k) / 100.0);
        let best = best.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap();
        assert!((best - laplace_clip(4)).abs() < 0.35, "{best}");
    }

    /// Quantiles of a Laplace law around `mean` with `b = 1`.
    fn law(mean: f32) -> Vec<f32> {
        let n = 100_000;
        let one = |i| {
            let u = (f64::from(i) + 0.5) / f64::from(n);
            if u < 0.5 { (2.0 * u).ln() } else { -(2.0 - 2.0 * u).ln() }
        };
        (0..n).map(|i| one(i) as f32 + mean).collect()
    }

    fn ends(values: &[f32], distribution: Distribution, bits: u8) -> (f32, f32) {
        let bits = Bits::new(bits).unwrap();
        Aciq { distribution }.activation(&Summary::of(values), bits).ends(0)
    }

    #[test]
    fn signed_values_are_clipped_around_their_mean() {
        let (lo, hi) = ends(&law(0.0), Distribution::Laplace, 4);
        let step = (hi - lo) / 15.0;
        assert!((hi + lo).abs() <= step && ((hi - lo) / 2.0 - 5.03).abs() < 0.02, "{lo} {hi}");
        let (lo, hi) = ends(&law(2.0), Distribution::Laplace, 4);
        assert!((hi - lo - 10.06).abs() < 0.03 && (f32::midpoint(lo, hi) - 2.0).abs() < step);
        let (lo, hi) = ends(&law(0.0), Distribution::Gauss, 4);
        assert!(((hi - lo) / 2.0 - 2.559 * 2f32.sqrt()).abs() < 0.02, "{lo} {hi}");
    }

    #[test]
    fn rectified_values_get_one_bit_more_whatever_the_share_of_zeros() {
        for mean in [0.0, -1.0, -2.0] {
            let rectified: Vec<f32> = law(mean).iter().map(|v| v.max(0.0)).collect();
            let (lo, hi) = ends(&rectified, Distribution::Laplace, 4);
            assert!(lo == 0.0 && (hi - 6.20).abs() < 0.02, "{mean}: {hi}");
            let mirrored: Vec<f32> = rectified.iter().map(|v| -v).collect();
            let (lo, hi) = ends(&mirrored, Distribution::Laplace, 4);
            assert!(hi == 0.0 && (lo + 6.20).abs() < 0.02, "{mean}: {lo}");
        }
    }

    #[test]
    fn auto_takes_the_best_of_the_three() {
        assert_eq!(
            ends(&law(0.0), Distribution::Auto, 4),
            ends(&law(0.0), Distribution::Laplace, 4)
        );
        let uniform: Vec<f32> = (1..=4096).map(|k| k as f32 / 4096.0).collect();
        assert_eq!(ends(&uniform, Distribution::Auto, 2), (0.0, 1.0));
    }

    #[test]
    fn degenerate_tensors_have_sound_grids() {
        for distribution in [Distribution::Laplace, Distribution::Gauss, Distribution::Auto] {
            assert_eq!(ends(&[0.0; 9], distribution, 8), (0.0, 255.0));
            assert_eq!(ends(&[3.0; 9], distribution, 8), (0.0, 3.0));
            let (lo, hi) = ends(&[-3.0; 9], distribution, 8);
            assert!((lo + 3.0).abs() < 1e-6 && hi == 0.0);
        }
        let mut values = vec![0.5f32; 10_000];
        values.push(1000.0);
        assert!(ends(&values, Distribution::Laplace, 8).1 < 10.0);
    }

    proptest! {
        #[test]
        fn the_mean_distance_is_that_of_the_values(
            values in prop::collection::vec(-3f32..9.0, 1..300),
        ) {
            let seen = Summary::of(&values);
            let zeros = seen.histogram.as_ref().unwrap().zeros() as f64;
            let Some(fit) = Fit::of(&pieces(&seen), zeros) else { return Ok(()) };
            if !fit.half {
                let n = values.len() as f64;
                let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
                let b = values.iter().map(|&v| (f64::from(v) - mean).abs()).sum::<f64>() / n;
                // A bin is 9 / 2,048 wide at most, and places in it are rounded.
                prop_assert!((fit.mean - mean).abs() < 1e-6 && (fit.distance - b).abs() < 0.005);
            }
        }

        #[test]
        fn more_bits_clip_less_and_never_beyond_the_extent(
            values in prop::collection::vec(-3f32..9.0, 1..300), b in 2u8..=7, gauss: bool,
        ) {
            let distribution = if gauss { Distribution::Gauss } else { Distribution::Laplace };
            let (lo, hi) = ends(&values, distribution, b);
            let (min, max) = Summary::of(&values).extent.with_zero();
            let step = (hi - lo) / f32::from((1u16 << b) - 1);
            prop_assert!(lo >= min - 0.51 * step && hi <= max + 0.51 * step);
            prop_assert!(laplace_clip(b) < laplace_clip(b + 1) && gauss_clip(b) < gauss_clip(b + 1));
        }
    }
}
