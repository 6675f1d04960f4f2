//! A histogram that keeps, per bin, what the squared error of a uniform grid needs.
//!
//! With the count, the sum and the sum of squares of a bin, the squared error of all its values
//! against one level `q` is `S2 - 2 q S1 + q^2 N` without any approximation. Only bins in which a
//! rounding threshold lies are estimated, from a uniform density within the bin.
//!
//! Where the counts alone are asked for, the sums stay zero, and counting is about twice as fast.
//!
//! # A range that nobody knows beforehand
//! Bins are `2^e` wide and begin at multiples of that, so zero lies on an edge. When a value falls
//! outside, bins are merged in pairs until it fits, and their moments add up. In the end the
//! larger side of zero spans 2,048 to 4,096 bins, whatever came first.
//!
//! # Precision
//! Counts alone are exact. With moments, a value's position in its bin is rounded to the nearest 65,536th of the bin's width, the bin
//! being that of the rounded value. For values above a 32nd of the largest magnitude that is
//! exact in FP32. The positions and their squares are added as integers; batches are then added in
//! FP64, in their order.

mod counted;

use super::{Detail, Extent};
pub use counted::Counted;
use counted::{PLACE, Part, Table};

/// Bins on either side of zero.
const HALF: usize = 4096;

/// Number of bins in memory.
pub const BINS: usize = 2 * HALF;

/// Narrowest bins, as a power of two: scaling by `2^PLACE / 2^e` must stay within FP32.
const NARROWEST: i32 = -100;

/// Count, sum and sum of squares of the values in a bin.
pub(super) type Bin = [f64; 3];

/// How values are counted: whether with moments, and in how wide bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    moments: bool,
    exponent: Option<i32>,
}

/// Equally wide bins around zero that widen as values ask for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Whether sums are kept beside counts.
    moments: bool,
    /// The bins' width as a power of two; none before the first value that is not zero.
    exponent: Option<i32>,
    /// All bins: bin `i` begins at `i - HALF` widths.
    bins: Vec<Bin>,
    zeros: u64,
}

impl Histogram {
    /// A histogram of nothing; none if its detail asks for none.
    pub fn new(detail: Detail) -> Option<Self> {
        let moments = match detail {
            Detail::Extent => return None,
            Detail::Counts => false,
            Detail::Moments => true,
        };
        Some(Self { moments, exponent: None, bins: vec![[0.0; 3]; BINS], zeros: 0 })
    }

    /// Adds values and gives their extent.
    ///
    /// Values are counted only if all of them are finite, which the extent tells.
    pub fn add(&mut self, values: &[f32]) -> Extent {
        let counted = Counted::of(values, self.guess());
        self.take(values, counted)
    }

    /// What the next values will most likely have to be counted with.
    pub fn guess(&self) -> Guess {
        Guess { moments: self.moments, exponent: self.exponent }
    }

    /// As [`Histogram::add`], of values that were counted before. What results does not depend on
    /// the guess that they were counted with.
    pub fn take(&mut self, values: &[f32], counted: Counted) -> Extent {
        counted
            .parts(values)
            .map(|(some, part)| self.take_part(some, part))
            .fold(Extent::EMPTY, Extent::join)
    }

    fn take_part(&mut self, values: &[f32], mut part: Part) -> Extent {
        if !part.extent.finite {
            return part.extent;
        }
        if !fits(part.extent, self.exponent) {
            self.widen(needed(part.extent.max_abs()));
        }
        // The guess was wrong, which after the first batches is rare: once more.
        if part.guess != self.guess() {
            part = Part::of(values, self.guess());
        }
        self.zeros += part.zeros;
        if let (Some(table), Some(exponent)) = (&part.table, self.exponent) {
            self.take_table(table, part.zeros, exponent);
        }
        part.extent
    }

    /// Adds counts, and integer sums of places within bins as moments of values.
    fn take_table(&mut self, table: &Table, zeros: u64, exponent: i32) {
        let width = power(exponent);
        let unit = power(exponent - PLACE as i32);
        match table {
            Table::Counts(counts) => {
                for (bin, &n) in self.bins.iter_mut().zip(counts) {
                    bin[0] += f64::from(n);
                }
            }
            Table::Moments(sums) => {
                for (i, (bin, &sums)) in self.bins.iter_mut().zip(sums).enumerate() {
                    let (mut n, first, second) = counted::unpack(sums);
                    if i == HALF {
                        n -= zeros;
                    }
                    if n == 0 {
                        continue;
                    }
                    let n = n as f64;
                    let left = (i as f64 - HALF as f64) * width;
                    let first = first as f64 * unit;
                    let second = second as f64 * (unit * unit);
                    bin[0] += n;
                    bin[1] += n * left + first;
                    bin[2] += n * left * left + 2.0 * left * first + second;
                }
            }
        }
    }

    /// Merges bins until they are `2^exponent` wide.
    fn widen(&mut self, exponent: i32) {
        let Some(before) = self.exponent.replace(exponent) else { return };
        // All bins of a side become one long before 31 doublings.
        let doublings = (exponent - before).clamp(0, 31);
        let mut merged = vec![[0.0; 3]; BINS];
        for (i, bin) in self.bins.iter().enumerate() {
            let to = ((i as i64 - HALF as i64) >> doublings) + HALF as i64;
            for (sum, more) in merged[to as usize].iter_mut().zip(bin) {
                *sum += more;
            }
        }
        self.bins = merged;
    }

    /// How much is known.
    pub fn detail(&self) -> Detail {
        if self.moments { Detail::Moments } else { Detail::Counts }
    }

    /// The width's power of two, the number of zeros, and the bins that hold a value by their
    /// index: all there is to keep.
    pub(super) fn parts(&self) -> (Option<i32>, u64, Vec<(usize, Bin)>) {
        let held = self.bins.iter().copied().enumerate().filter(|(_, bin)| bin[0] > 0.0);
        (self.exponent, self.zeros, held.collect())
    }

    /// The histogram of such parts; none if a bin or the width is impossible.
    pub(super) fn from_parts(
        moments: bool,
        exponent: Option<i32>,
        zeros: u64,
        held: &[(usize, Bin)],
    ) -> Option<Self> {
        let mut whole = Self { moments, exponent, bins: vec![[0.0; 3]; BINS], zeros };
        if exponent.is_some_and(|e| !(NARROWEST..=128).contains(&e)) {
            return None;
        }
        for (index, bin) in held {
            *whole.bins.get_mut(*index)? = *bin;
        }
        Some(whole)
    }

    /// Width of a bin.
    fn width(&self) -> f64 {
        power(self.exponent.unwrap_or(0))
    }

    /// Number of values that are not zero.
    pub fn count(&self) -> f64 {
        self.bins.iter().map(|b| b[0]).sum()
    }

    /// Number of values that are exactly zero; no bin holds them.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The bins in order, from the lowest that holds a value to the highest, with all between
    /// them and zero: left end, right end, and count, sum and sum of squares of the values between
    /// them that are not zero.
    ///
    /// Zero is an end of some bin. There is at least one bin.
    pub fn bins(&self) -> impl ExactSizeIterator<Item = (f64, f64, [f64; 3])> + '_ {
        let held = |bin: &Bin| bin[0] > 0.0;
        let first = self.bins.iter().position(held).unwrap_or(HALF).min(HALF);
        let last = self.bins.iter().rposition(held).unwrap_or(HALF).max(HALF);
        let width = self.width();
        self.bins[first..=last].iter().enumerate().map(move |(i, bin)| {
            let left = ((first + i) as f64 - HALF as f64) * width;
            (left, left + width, *bin)
        })
    }

    /// Sum of squared errors of an unsigned affine grid with codes `0 ..= top`; asks for moments.
    pub fn squared_error(&self, scale: f32, zero_point: i32, top: i32) -> f64 {
        let (s, z, top) = (f64::from(scale), f64::from(zero_point), f64::from(top));
        let code = |x: f64| ((x / s).round_ties_even() + z).clamp(0.0, top);
        let mut sum = 0.0;
        let (width, mut code_left) = (self.width(), f64::NAN);
        for (left, right, bin) in self.bins() {
            if code_left.is_nan() {
                code_left = code(left);
            }
            let code_right = code(right);
            if bin[0] > 0.0 {
                let [n, s1, s2] = bin;
                sum += if code_left == code_right {
                    let q = (code_left - z) * s;
                    (s2 - 2.0 * q * s1 + q * q * n).max(0.0)
                } else if code_right - code_left == 1.0 {
                    let (q, next) = ((code_left - z) * s, (code_right - z) * s);
                    let threshold = 0.5 * (q + next);
                    n / width
                        * (square_integral(left - q, threshold - q)
                            + square_integral(threshold - next, right - next))
                } else {
                    // Steps finer than a bin: the error of uniform noise.
                    n * s * s / 12.0
                };
            }
            code_left = code_right;
        }
        sum
    }
}

/// Integral of `t^2` from `a` to `b`.
fn square_integral(a: f64, b: f64) -> f64 {
    (b * b * b - a * a * a) / 3.0
}

/// `2^exponent`.
fn power(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

/// The narrowest width, as a power of two, whose bins reach a finite magnitude.
fn needed(magnitude: f32) -> i32 {
    // The exponent of a double is that of its leading bit: no value of FP32 is subnormal there.
    let leading = (f64::from(magnitude).to_bits() >> 52) as i32 - 1023;
    (leading + 1 - HALF.trailing_zeros() as i32).max(NARROWEST)
}

/// Whether bins of that width reach all of a finite range. Zeros alone need no bins.
fn fits(extent: Extent, exponent: Option<i32>) -> bool {
    let magnitude = extent.max_abs();
    magnitude == 0.0 || exponent.is_some_and(|e| needed(magnitude) <= e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quantbench_core::{Bits, Grid};

    fn empty() -> Histogram {
        Histogram::new(Detail::Moments).unwrap()
    }

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = empty();
        histogram.add(values);
        histogram
    }

    fn direct(values: &[f32], grid: &Grid) -> f64 {
        values.iter().map(|&v| f64::from(grid.round(v, 0) - v).powi(2)).sum()
    }

    /// The bins of values of which all is known beforehand: the width from the largest magnitude,
    /// then each value where it belongs.
    fn plain(values: &[f32]) -> (f64, Vec<Bin>, u64) {
        let largest = values.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
        let mut width = 1.0;
        while largest >= width * HALF as f64 {
            width *= 2.0;
        }
        while largest > 0.0 && largest < width / 2.0 * HALF as f64 {
            width /= 2.0;
        }
        let (mut bins, mut zeros) = (vec![[0.0; 3]; BINS], 0);
        for v in values.iter().map(|v| f64::from(*v)) {
            if v == 0.0 {
                zeros += 1;
                continue;
            }
            let place = (v / width * 65536.0).round_ties_even();
            let bin = &mut bins[((place / 65536.0).floor() + HALF as f64) as usize];
            bin[0] += 1.0;
            bin[1] += v;
            bin[2] += v * v;
        }
        (width, bins, zeros)
    }

    /// Equal widths and counts; moments equal up to the rounding of places.
    fn same(found: &Histogram, values: &[f32]) -> Result<(), TestCaseError> {
        let (width, bins, zeros) = plain(values);
        prop_assert_eq!(found.zeros(), zeros);
        if let Some(exponent) = found.exponent {
            prop_assert_eq!(power(exponent), width);
        }
        for (a, b) in found.bins.iter().zip(&bins) {
            prop_assert_eq!(a[0], b[0]);
            // Twice: bins that were narrower when a value came had the finer places.
            let off = a[0] * width / 65536.0;
            prop_assert!((a[1] - b[1]).abs() <= off + 1e-12 * b[1].abs(), "{a:?} {b:?}");
            let largest = (a[1] / a[0]).abs() + width;
            let off = 2.0 * off * largest + 1e-12 * b[2];
            prop_assert!(a[0] == 0.0 || (a[2] - b[2]).abs() <= off, "{a:?} {b:?}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn one_pass_over_batches_finds_what_two_passes_find(
            batches in prop::collection::vec(
                (prop::collection::vec(-1f32..1.0, 0..300), -20i32..20, any::<bool>()), 0..8,
            ),
        ) {
            // Every batch has its own magnitude, so that extremes come first, last or between.
            let mut histogram = empty();
            let mut all = Vec::new();
            for (values, magnitude, relu) in batches {
                let scaled = values.iter().map(|v| if relu { v.max(0.0) } else { *v });
                let values: Vec<f32> = scaled.map(|v| v * 2f32.powi(magnitude)).collect();
                prop_assert_eq!(histogram.add(&values), Extent::of(&values));
                all.extend(values);
            }
            // Values just below an edge may have moved to it when bins were narrower only.
            let kept: Vec<f32> = all;
            let whole = of(&kept);
            same(&whole, &kept)?;
            prop_assert_eq!(histogram.exponent, whole.exponent);
            prop_assert_eq!(histogram.zeros(), whole.zeros());
            prop_assert_eq!(histogram.count(), whole.count());
            let total = |h: &Histogram, k: usize| h.bins.iter().map(|b| b[k]).sum::<f64>();
            let sizes: f64 = kept.iter().map(|v| f64::from(v.abs())).sum();
            let off = 1e-12 * sizes + whole.count() * whole.width() / 65536.0;
            prop_assert!((total(&histogram, 1) - total(&whole, 1)).abs() <= off);
            // Up to the same edge, the same number of values but for those at the edge itself.
            let (mut a, mut b) = (0.0, 0.0);
            for (i, (x, y)) in histogram.bins.iter().zip(&whole.bins).enumerate() {
                (a, b) = (a + x[0], b + y[0]);
                let edge = (i as f64 + 1.0 - HALF as f64) * whole.width();
                let near = |v: &&f32| (f64::from(**v) - edge).abs() <= whole.width() / 65536.0;
                let at_edge = kept.iter().filter(near).count() as f64;
                prop_assert!(f64::abs(a - b) <= at_edge, "bin {i}: {a} against {b}");
            }
        }

        #[test]
        fn the_error_is_close_to_that_of_the_values(
            values in prop::collection::vec(-1f32..3.0, 500..800), bits in 2u8..=5, k in 20u8..=100,
        ) {
            let t = f32::from(k) / 100.0;
            let grid = Grid::activation(-t, 3.0 * t, Bits::new(bits).unwrap());
            let top = (1 << bits) - 1;
            let found = of(&values).squared_error(grid.scale[0], grid.zero_point[0], top);
            let want = direct(&values, &grid);
            prop_assert!((found - want).abs() <= 0.02 * want + 1e-6, "{found} against {want}");
        }

        #[test]
        fn the_larger_side_has_at_least_2048_bins_and_zero_is_an_edge(
            lo in -1e6f32..0.0, hi in 1e-6f32..1e6,
        ) {
            let histogram = of(&[lo, hi, 0.0]);
            let bins: Vec<_> = histogram.bins().collect();
            prop_assert!(bins.iter().any(|b| b.0 == 0.0));
            let (left, right) = (bins[0].0, bins[bins.len() - 1].1);
            let width = histogram.width();
            prop_assert!(left <= f64::from(lo) && f64::from(lo) < left + width * 1.001);
            prop_assert!(right > f64::from(hi) && f64::from(hi) >= right - width * 1.001);
            prop_assert!((-left).max(right) / width >= 2048.0);
            prop_assert!(bins.len() <= BINS);
        }
    }

    #[test]
    fn uncut_bins_are_exact() {
        // Levels 0, 1, 2, 3; no value's bin holds a threshold.
        let values = [0.875f32, 1.125, 2.25, 2.9375, 0.0, 0.1875];
        let grid = Grid::activation(0.0, 3.0, Bits::new(2).unwrap());
        let histogram = of(&values);
        let found = histogram.squared_error(grid.scale[0], 0, 3);
        assert!((found - direct(&values, &grid)).abs() < 1e-12);
        assert_eq!((histogram.count(), histogram.zeros()), (5.0, 1));
        // The largest value needs 4 units, so a bin is a 1024th.
        let (left, right, _) = histogram.bins().nth(1).unwrap();
        assert_eq!((left, right), (1.0 / 1024.0, 2.0 / 1024.0));
    }

    #[test]
    fn bins_merge_in_pairs_and_their_moments_add_up() {
        let (small, large) = ([0.3f32, 0.7, -0.2, -0.9], [100.0f32]);
        let mut histogram = of(&small);
        assert_eq!(histogram.exponent, Some(-12));
        histogram.add(&large);
        assert_eq!(histogram.exponent, Some(-5));
        assert_eq!(histogram.count(), 5.0);
        // 0.3 and -0.2 in bins of a 32nd: [9/32, 10/32) and [-7/32, -6/32).
        let held: Vec<_> = histogram.bins().filter(|b| b.2[0] > 0.0).collect();
        let ends: Vec<f64> = held.iter().map(|b| b.0 * 32.0).collect();
        assert_eq!(ends, [-29.0, -7.0, 9.0, 22.0, 3200.0]);
        let sum: f64 = held.iter().map(|b| b.2[1]).sum();
        assert!((sum - 99.9).abs() < 1e-4, "{sum}");
    }

    #[test]
    fn extremes_of_fp32_are_counted() {
        let values = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, -1e-45, 1e-45, 0.0, -0.0];
        let histogram = of(&values);
        assert_eq!((histogram.count(), histogram.zeros()), (5.0, 2));
        let tiny = of(&[1e-45, -1e-45]);
        assert_eq!((tiny.count(), tiny.zeros()), (2.0, 0));
        assert_eq!(of(&[0.0; 9]).bins().len(), 1);
        assert_eq!(empty().bins().len(), 1);
    }

    #[test]
    fn values_that_are_not_finite_are_told_and_not_counted() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![0.5f32; 5000];
            values[4321] = bad;
            let mut histogram = empty();
            assert!(!histogram.add(&values).finite);
            assert_eq!((histogram.count(), histogram.zeros()), (0.0, 0));
        }
    }

    #[test]
    fn what_results_does_not_depend_on_the_guess() {
        let batches: Vec<Vec<f32>> = (0..4)
            .map(|k| (0..5000).map(move |i| ((i * 7919) % 10_007 - 3000) as f32 * (k + 1) as f32))
            .map(Iterator::collect)
            .collect();
        for detail in [Detail::Counts, Detail::Moments] {
            let with = |guess: &dyn Fn(&Histogram) -> Guess| {
                let mut histogram = Histogram::new(detail).unwrap();
                for values in &batches {
                    let counted = Counted::of(values, guess(&histogram));
                    assert_eq!(histogram.take(values, counted), Extent::of(values));
                }
                histogram
            };
            let right = with(&Histogram::guess);
            assert_eq!(right.count() as usize + right.zeros() as usize, 20_000);
            for exponent in [None, Some(-8), Some(3), Some(40)] {
                for moments in [true, false] {
                    assert!(with(&|_| Guess { moments, exponent }) == right);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn counts_are_exact_in_any_order_and_in_any_batches(
            values in prop::collection::vec((-1f32..1.0, -30i32..30), 1..400),
            relu in any::<bool>(), cut in 1usize..60,
        ) {
            let scaled = values.iter().map(|(v, e)| v * 2f32.powi(*e));
            let mut values: Vec<f32> =
                scaled.map(|v| if relu { v.max(0.0) } else { v }).collect();
            let mut forth = Histogram::new(Detail::Counts).unwrap();
            forth.add(&values);
            // The bin of a value by the definition.
            let width = forth.width();
            let mut bins = vec![0.0; BINS];
            for v in values.iter().filter(|v| **v != 0.0) {
                bins[((f64::from(*v) / width).floor() + HALF as f64) as usize] += 1.0;
            }
            prop_assert!(forth.bins.iter().zip(&bins).all(|(bin, n)| *bin == [*n, 0.0, 0.0]));
            let zeros = values.iter().filter(|v| **v == 0.0).count() as u64;
            prop_assert_eq!(forth.zeros(), zeros);
            values.reverse();
            let mut back = Histogram::new(Detail::Counts).unwrap();
            values.chunks(cut).for_each(|some| { back.add(some); });
            prop_assert!(back == forth);
        }
    }
}
