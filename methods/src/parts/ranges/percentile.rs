//! Percentile: the largest magnitudes are cut off (Wu et al. 2020, arXiv:2004.09602, section 5.2).

use quantbench_core::{Bits, Grid};

use super::pieces::{Piece, magnitudes};
use super::{Detail, MinMax, RangeEstimator, Summary, WeightStyle};

/// The range `[max(min, -c), min(max, c)]` with `c` the percentile of the magnitudes, zeros
/// included; weights get min-max ranges.
pub struct Percentile {
    /// Share of the magnitudes that stay inside, in percent.
    pub percent: f64,
}

impl RangeEstimator for Percentile {
    fn name(&self) -> &'static str {
        "percentile"
    }

    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32) {
        MinMax.weights(channel, style, bits)
    }

    fn detail(&self) -> Detail {
        Detail::Counts
    }

    fn activation(&self, seen: &Summary, bits: Bits) -> Grid {
        let (lo, hi) = seen.extent.with_zero();
        let zeros = seen.histogram.as_ref().map_or(0, super::Histogram::zeros) as f64;
        let list = magnitudes(seen);
        let count: f64 = list.iter().map(|p| p.count).sum();
        let outside = (1.0 - self.percent / 100.0) * (count + zeros);
        match clip(&list, outside) {
            Some(c) => Grid::activation(lo.max(-c as f32), hi.min(c as f32), bits),
            None => Grid::activation(lo, hi, bits),
        }
    }
}

/// The magnitude with `outside` values above it, linear within a piece; none without pieces.
///
/// Where the percentile falls among the zeros it is the end of the lowest piece: a range of zero
/// would leave nothing.
fn clip(list: &[Piece], outside: f64) -> Option<f64> {
    let above = |c: f64| -> f64 { list.iter().map(|p| p.count * p.share(c, f64::INFINITY)).sum() };
    let mut ends: Vec<f64> = list.iter().flat_map(|p| [p.left, p.right]).collect();
    ends.sort_unstable_by(f64::total_cmp);
    ends.dedup();
    let lowest = list.iter().map(|p| p.right).reduce(f64::min)?;
    // The first end with no more values above it than asked.
    let at = ends.partition_point(|&end| above(end) > outside);
    let Some(&end) = ends.get(at) else { return ends.last().copied() };
    let Some(&before) = at.checked_sub(1).and_then(|i| ends.get(i)) else { return Some(lowest) };
    let (more, fewer) = (above(before), above(end));
    let part = if more > fewer { (more - outside) / (more - fewer) } else { 1.0 };
    Some((before + part.clamp(0.0, 1.0) * (end - before)).max(lowest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ends(values: &[f32], percent: f64, bits: u8) -> (f32, f32) {
        let bits = Bits::new(bits).unwrap();
        Percentile { percent }.activation(&Summary::of(values), bits).ends(0)
    }

    #[test]
    fn fixed_values_have_fixed_ends() {
        // 1,000 values from 1/100 to 10, each once: the p-th percentile is p/10.
        let values: Vec<f32> = (1..=1000).map(|k| k as f32 / 100.0).collect();
        for (percent, want) in [(100.0, 10.0), (99.0, 9.9), (90.0, 9.0), (50.0, 5.0)] {
            let (lo, hi) = ends(&values, percent, 8);
            assert!(lo == 0.0 && (hi - want).abs() < 0.011, "{percent}: {hi}");
        }
        // With as many zeros, half of the magnitudes are zeros.
        let values = [values, vec![0.0; 1000]].concat();
        assert!((ends(&values, 90.0, 8).1 - 8.0).abs() < 0.011);
    }

    #[test]
    fn signed_values_are_cut_at_one_magnitude() {
        // Magnitudes 0.1 to 10 on both sides, and one side that is short.
        let values: Vec<f32> = (-100..=1000).map(|k| k as f32 / 100.0).collect();
        let (lo, hi) = ends(&values, 95.0, 8);
        let step = (hi - lo) / 255.0;
        assert!((hi - 9.45).abs() < 0.01 + step && (lo + 1.0).abs() <= step, "{lo} {hi}");
        let values: Vec<f32> = (-1000..=1000).map(|k| k as f32 / 100.0).collect();
        let (lo, hi) = ends(&values, 90.0, 8);
        assert!((hi - 9.0).abs() < 0.05 && (lo + 9.0).abs() < 0.05, "{lo} {hi}");
    }

    #[test]
    fn an_outlier_is_cut_off_and_a_percentile_of_zeros_leaves_something() {
        let mut values: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(50.0);
        let (_, hi) = ends(&values, 99.99, 4);
        assert!((0.9..1.1).contains(&hi), "{hi}");
        let mut values = vec![0.0f32; 1000];
        values.extend([0.5, 1.0, 2.0]);
        let (lo, hi) = ends(&values, 90.0, 8);
        assert!(lo == 0.0 && (0.49..0.51).contains(&hi), "{hi}");
    }

    #[test]
    fn degenerate_tensors_have_sound_grids() {
        for percent in [50.0, 99.999, 100.0] {
            assert_eq!(ends(&[0.0; 9], percent, 8), (0.0, 255.0));
            let (lo, hi) = ends(&[-2.0; 9], percent, 8);
            assert!((-2.01..=-1.99).contains(&lo) && hi == 0.0, "{lo} {hi}");
            let (lo, hi) = ends(&[-1.0, -2.0, -4.0], percent, 8);
            assert!(lo >= -4.01 && hi == 0.0, "{lo} {hi}");
        }
    }

    proptest! {
        #[test]
        fn the_range_grows_with_the_percentile_and_never_leaves_the_extent(
            values in prop::collection::vec(-3f32..9.0, 1..200), a in 50f64..=100.0, b in 50f64..=100.0,
        ) {
            let list = magnitudes(&Summary::of(&values));
            let count: f64 = list.iter().map(|p| p.count).sum();
            let at = |p: f64| clip(&list, (1.0 - p / 100.0) * count).unwrap_or(0.0);
            prop_assert!(at(a.min(b)) <= at(a.max(b)) + 1e-9);
            let (lo, hi) = ends(&values, a, 8);
            let (min, max) = Summary::of(&values).extent.with_zero();
            let slack = 0.51 * (hi - lo) / 255.0;
            prop_assert!(lo >= min - slack && hi <= max + slack, "{lo} {hi} in {min} {max}");
        }

        #[test]
        fn all_magnitudes_are_min_max(values in prop::collection::vec(-3f32..9.0, 1..200)) {
            let seen = Summary::of(&values);
            let bits = Bits::EIGHT;
            let found = Percentile { percent: 100.0 }.activation(&seen, bits);
            prop_assert_eq!(found, MinMax.activation(&seen, bits));
        }
    }
}
