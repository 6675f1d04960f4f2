//! Entropy: the range whose quantized distribution is nearest to the original one in
//! Kullback-Leibler divergence (Migacz 2017; Wu et al. 2020, arXiv:2004.09602, section 5.2).

use quantbench_core::{Bits, Grid};
use rayon::prelude::*;

use super::pieces::{Piece, magnitudes};
use super::{Detail, MinMax, RangeEstimator, Summary, WeightStyle};

/// Bins of the reference distribution, over magnitudes from zero to the largest.
const BINS: usize = 2048;

/// Bins between two candidate thresholds.
const STRIDE: usize = 4;

/// Counts below this are rounding noise of values spread over bins.
const NOTHING: f64 = 1e-6;

/// The range `[max(min, -c), min(max, c)]` with the threshold `c` of smallest divergence; weights
/// get min-max ranges.
///
/// A candidate `c` keeps the first `n` bins of the distribution of magnitudes. Its reference is
/// those bins with everything above added to the last; its quantized form is the bins alone,
/// merged in groups as wide as a step of the grid over the range and spread evenly over the
/// non-empty bins of each group. Exact zeros are left out of both: zero is a level of every grid.
pub struct Entropy;

impl RangeEstimator for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32) {
        MinMax.weights(channel, style, bits)
    }

    fn detail(&self) -> Detail {
        Detail::Counts
    }

    fn activation(&self, seen: &Summary, bits: Bits) -> Grid {
        let (lo, hi) = seen.extent.with_zero();
        let width = f64::from(seen.extent.max_abs()) / BINS as f64;
        let bins = rebin(&magnitudes(seen), width);
        if !(width > 0.0 && bins.iter().any(|&h| h > 0.0)) {
            return Grid::activation(lo, hi, bits);
        }
        let steps = f64::from((1u32 << bits.get()) - 1);
        // Bins per step of the grid whose range ends at bin `n`.
        let ratio = |n: usize| {
            let c = n as f64 * width;
            (f64::from(hi).min(c) - f64::from(lo).max(-c)) / steps / width
        };
        let n = best(&Reference::new(&bins), ratio);
        let c = (n as f64 * width) as f32;
        Grid::activation(lo.max(-c), hi.min(c), bits)
    }
}

/// Counts over [`BINS`] bins of that width from zero.
fn rebin(list: &[Piece], width: f64) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    for piece in list {
        let bin = |x: f64| ((x / width) as usize).min(BINS - 1);
        let (first, last) = (bin(piece.left), bin(piece.right));
        for (i, to) in bins.iter_mut().enumerate().take(last + 1).skip(first) {
            let from = if i == first { f64::NEG_INFINITY } else { i as f64 * width };
            let end = if i == last { f64::INFINITY } else { (i + 1) as f64 * width };
            *to += piece.count * piece.share(from, end);
        }
    }
    bins.iter_mut().filter(|h| **h < NOTHING).for_each(|h| *h = 0.0);
    bins
}

/// Running sums over the bins, each with one more entry than there are bins.
struct Reference<'a> {
    bins: &'a [f64],
    /// Values.
    mass: Vec<f64>,
    /// Bins with values.
    filled: Vec<u32>,
    /// `h ln h` of the counts `h`.
    information: Vec<f64>,
}

impl<'a> Reference<'a> {
    fn new(bins: &'a [f64]) -> Self {
        let (mut mass, mut filled, mut information) = (vec![0.0], vec![0], vec![0.0]);
        let (mut m, mut f, mut i) = (0.0, 0, 0.0);
        for &h in bins {
            m += h;
            f += u32::from(h > 0.0);
            i += x_ln_x(h);
            mass.push(m);
            filled.push(f);
            information.push(i);
        }
        Self { bins, mass, filled, information }
    }

    /// Divergence of the first `n` bins with groups of `ratio` bins; infinite where values lie
    /// beyond an empty last bin.
    fn divergence(&self, n: usize, ratio: f64) -> f64 {
        let total = self.mass[self.bins.len()];
        let (kept, last) = (self.mass[n], self.bins[n - 1]);
        let beyond = (total - kept).max(0.0);
        let beyond = if self.filled[self.bins.len()] == self.filled[n] { 0.0 } else { beyond };
        if last == 0.0 && beyond > 0.0 {
            return f64::INFINITY;
        }
        // Sum of P ln P, and of P ln Q by groups, both times the total.
        let own = self.information[n - 1] + x_ln_x(last + beyond);
        let (mut cross, mut from, mut group) = (0.0, 0, 0u32);
        while from < n {
            group += 1;
            let to = ((f64::from(group) * ratio) as usize).clamp(from + 1, n);
            let filled = self.filled[to] - self.filled[from];
            if filled > 0 {
                let mass = self.mass[to] - self.mass[from];
                let outliers = if to == n { beyond } else { 0.0 };
                cross += (mass + outliers) * (mass / f64::from(filled)).ln();
            }
            from = to;
        }
        (own - cross) / total - total.ln() + kept.ln()
    }
}

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

/// Number of bins of the candidate with the smallest divergence; of equal ones the widest range.
///
/// Candidates are every [`STRIDE`]th bin, moved down to the nearest one that ends in a filled
/// bin, from where a step of the grid is as wide as a bin; and the whole.
fn best(reference: &Reference<'_>, ratio: impl Fn(usize) -> f64 + Sync) -> usize {
    let ends_filled = |n: usize| (1..=n).rev().find(|&n| reference.bins[n - 1] > 0.0);
    let mut candidates: Vec<usize> =
        (STRIDE..BINS).rev().step_by(STRIDE).filter_map(ends_filled).collect();
    candidates.dedup();
    let losses: Vec<f64> = candidates
        .par_iter()
        .with_min_len(64)
        .map(|&n| (n, ratio(n)))
        .map(|(n, r)| if r >= 1.0 { reference.divergence(n, r) } else { f64::INFINITY })
        .collect();
    let mut found = (BINS, reference.divergence(BINS, ratio(BINS).max(1.0)));
    for (&n, &loss) in candidates.iter().zip(&losses) {
        if loss < found.1 {
            found = (n, loss);
        }
    }
    found.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The divergence as the definition has it: two distributions bin by bin.
    fn direct(bins: &[f64], n: usize, ratio: f64) -> f64 {
        let total: f64 = bins.iter().sum();
        let mut p = bins[..n].to_vec();
        p[n - 1] += bins[n..].iter().sum::<f64>();
        let mut q = vec![0.0; n];
        let (mut from, mut group) = (0, 0);
        while from < n {
            group += 1;
            let to = ((f64::from(group) * ratio) as usize).clamp(from + 1, n);
            let filled = bins[from..to].iter().filter(|h| **h > 0.0).count();
            let mass: f64 = bins[from..to].iter().sum();
            for i in from..to {
                q[i] = if bins[i] > 0.0 { mass / filled as f64 } else { 0.0 };
            }
            from = to;
        }
        let kept: f64 = q.iter().sum();
        let term = |(p, q): (&f64, &f64)| {
            let (p, q) = (p / total, q / kept);
            if p > 0.0 { p * (p / q).ln() } else { 0.0 }
        };
        p.iter().zip(&q).map(term).sum()
    }

    proptest! {
        #[test]
        fn running_sums_give_the_divergence_of_the_definition(
            bins in prop::collection::vec(0u8..9, 40..80), n in 4usize..40, ratio in 1f64..9.0,
        ) {
            let bins: Vec<f64> = bins.iter().map(|&h| f64::from(h) + 0.0).collect();
            prop_assume!(bins[..n].iter().sum::<f64>() > 0.0);
            let (found, want) = (Reference::new(&bins).divergence(n, ratio), direct(&bins, n, ratio));
            let same = (found - want).abs() < 1e-9 || (found.is_infinite() && want.is_infinite());
            prop_assert!(same, "{found} against {want}");
            prop_assert!(found > -1e-9);
        }

        #[test]
        fn the_range_never_leaves_the_extent(
            values in prop::collection::vec(-3f32..9.0, 1..300), b in 2u8..=8, positive: bool,
        ) {
            let values: Vec<f32> =
                values.iter().map(|&v| if positive { v.max(0.0) } else { v }).collect();
            let seen = Summary::of(&values);
            let grid = Entropy.activation(&seen, Bits::new(b).unwrap());
            let ((lo, hi), (min, max)) = (grid.ends(0), seen.extent.with_zero());
            if min < max {
                let slack = 0.51 * grid.scale[0];
                prop_assert!(lo >= min - slack && hi <= max + slack, "{lo} {hi} in {min} {max}");
            }
        }

        #[test]
        fn rebinning_keeps_every_value(values in prop::collection::vec(-3f32..9.0, 1..300)) {
            let seen = Summary::of(&values);
            let width = f64::from(seen.extent.max_abs()) / BINS as f64;
            let sum: f64 = rebin(&magnitudes(&seen), width).iter().sum();
            prop_assert!((sum - seen.histogram.unwrap().count()).abs() < 1e-3);
        }
    }

    /// 200,000 values of an exponential law with mean 1, by its quantiles, and as many zeros.
    fn exponential() -> Vec<f32> {
        let n = 200_000;
        let law = (0..n).map(|i| -(1.0 - (f64::from(i) + 0.5) / f64::from(n)).ln() as f32);
        law.chain(std::iter::repeat_n(0.0, n as usize)).collect()
    }

    fn top(values: &[f32], bits: u8) -> f32 {
        Entropy.activation(&Summary::of(values), Bits::new(bits).unwrap()).ends(0).1
    }

    #[test]
    fn a_long_tail_is_cut_and_a_uniform_law_is_not() {
        // The largest of 200,000 quantiles is 12.9; a tail of 1e-4 begins at 9.2.
        let tops = [8, 6, 4].map(|b| top(&exponential(), b));
        assert!(tops.iter().all(|t| (4.0..12.5).contains(t)), "{tops:?}");
        let uniform: Vec<f32> = (0..200_000).map(|i| (i + 1) as f32 / 200_000.0).collect();
        for bits in [8, 4, 2] {
            assert!(top(&uniform, bits) > 0.99, "{bits}");
        }
    }

    #[test]
    fn one_outlier_is_cut_off() {
        let mut values = exponential();
        values.push(100.0);
        let tops = [8, 6, 4].map(|b| top(&values, b));
        assert!(tops.iter().all(|t| *t < 14.0), "{tops:?}");
    }

    #[test]
    fn zeros_do_not_count() {
        let values = exponential();
        let without: Vec<f32> = values.iter().copied().filter(|&v| v != 0.0).collect();
        assert_eq!(top(&values, 8), top(&without, 8));
    }

    #[test]
    fn degenerate_tensors_have_sound_grids() {
        let ends = |values: &[f32]| Entropy.activation(&Summary::of(values), Bits::EIGHT).ends(0);
        assert_eq!(ends(&[0.0; 9]), (0.0, 255.0));
        assert_eq!(ends(&[3.0; 9]), (0.0, 3.0));
        assert_eq!(ends(&[-3.0; 9]), (-3.0, 0.0));
    }
}
