//! # What it does
//! Rounds the weights of each output channel in greedy order, always the one whose rounding harms
//! the layer's output least, and after each moves the ones that are still free so that the output
//! on the calibration images changes least. A weight that was pushed beyond half a step outside
//! its grid is rounded at once, before it drifts further. Activations: ranges by mean squared error.
//!
//! # When to use it
//! As the reference that GPTQ approximates, on small networks: its cost grows with the cube of the
//! weights per output channel for every channel. At 8 bits there is nothing to gain.
//!
//! # Inputs and cost
//! Unlabelled images; one pass over them for second moments with `inputs: fp32` (several where they
//! exceed 512 MiB), one for activation ranges. Per output channel with `n` weights `n^3 / 6`
//! products: seconds for networks with at most 600 weights per output channel, hours at 4,600. No
//! training.
//!
//! # Parameters
//! - `weights`: `symmetric` (default) or `affine`.
//! - `ranges`: `mse` (default) or `minmax`, per output channel and before any weight is moved.
//! - `inputs`: `fp32` (default) or `quantized`: the network whose inputs count.
//! - `damping` (share of the mean of the diagonal, 0 to 100, default 0.01).
//! - `positions` (per image, 0 to 1000000, default 0 for all): evenly spaced output positions from
//!   which second moments are taken.
//!
//! # Differences from the paper
//! The search for ranges uses exponent 2 and 100 factors down to 1/100 (official code: 2.4, down to
//! a fifth). Damping of 0.01 instead of none with an identity added where no factor exists. An input
//! that is always zero has its weights rounded to nearest, the official code sets them to zero; a
//! weight that is zero is rounded like any other. Batch norms are not estimated anew afterwards,
//! which the official scripts do. Weights that layers share are fitted to the inputs of the layer
//! that decides their width.
//!
//! # Reference
//! E. Frantar, S. P. Singh, D. Alistarh, "Optimal brain compression: a framework for accurate
//! post-training quantization and pruning", NeurIPS 2022, arXiv:2208.11580, section 5.

use ndarray::Array2;
use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;
use rayon::prelude::*;

use super::WEIGHTS;
use super::fitted::{DAMPING, POSITIONS, Problem, RANGES, fitted, inputs};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;

/// Optimal brain quantizer.
pub struct Obq;

static CARD: Card = Card {
    name: "obq",
    version: 1,
    family: Family::DataDependent,
    summary: "rounds the weights of a channel in greedy order, the least harmful first, and lets \
              the free ones make up for each error",
    when: "as the reference that gptq approximates, on small networks; at 8 bits minmax is as good",
    paper: "E. Frantar et al., Optimal brain compression: a framework for accurate post-training \
            quantization and pruning, NeurIPS 2022, arXiv:2208.11580",
    cite: "frantar2022obc",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[WEIGHTS, RANGES, inputs("fp32"), DAMPING, POSITIONS],
    departures: &[
        "ranges by squared error over 100 factors instead of exponent 2.4 down to a fifth",
        "damping of 0.01 of the mean diagonal instead of none",
        "weights of an input that is always zero are rounded to nearest instead of set to zero",
        "batch norms are not estimated anew afterwards",
        "activation ranges by mean squared error",
    ],
};

impl Recipe for Obq {
    type Data = Unlabelled;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        fitted(job, CARD.name, data.images(), cx, &round)
    }
}

/// Codes of each row; `None` if the second moments have no factor.
pub fn round(problem: &Problem<'_>) -> Option<Vec<Vec<i32>>> {
    let u = problem.factor()?;
    let inverse = u.t().dot(&u);
    let rows = problem.rows.par_iter().enumerate();
    Some(rows.map(|(r, row)| Row::new(row, &inverse).round(problem, r)).collect())
}

/// A row on its way: its free weights in the first places of everything.
struct Row {
    /// Lower triangle of the inverse of the free weights' second moments, row by row.
    inverse: Vec<f64>,
    w: Vec<f64>,
    /// Place of each free weight in the row.
    place: Vec<usize>,
}

/// Where a row of a lower triangle begins.
fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

impl Row {
    fn new(row: &[f32], inverse: &Array2<f64>) -> Self {
        let n = row.len();
        let mut lower = Vec::with_capacity(start(n));
        for i in 0..n {
            lower.extend((0..=i).map(|j| inverse[[i, j]]));
        }
        let w = row.iter().map(|&v| f64::from(v)).collect();
        Self { inverse: lower, w, place: (0..n).collect() }
    }

    /// Codes in the order of the row.
    fn round(mut self, problem: &Problem<'_>, row: usize) -> Vec<i32> {
        let mut codes = vec![0; self.w.len()];
        let mut column = Vec::new();
        while !self.w.is_empty() {
            let (j, code, value) = self.next(problem, row);
            codes[self.place[j]] = code;
            column.clear();
            column.extend((0..self.w.len()).map(|k| self.at(k, j)));
            let pivot = column[j];
            let error = (self.w[j] - value) / pivot;
            self.w.iter_mut().zip(&column).for_each(|(w, c)| *w -= error * c);
            for (i, &c) in column.iter().enumerate() {
                let factor = c / pivot;
                let values = &mut self.inverse[start(i)..=start(i) + i];
                values.iter_mut().zip(&column).for_each(|(v, k)| *v -= factor * k);
            }
            self.remove(j);
        }
        codes
    }

    /// The weight to round: of those further from their level than half a step (they lie outside
    /// the grid) the furthest, else the one with the smallest rise of the layer's error. Of equal
    /// ones the first in the row.
    fn next(&self, problem: &Problem<'_>, row: usize) -> (usize, i32, f64) {
        let half = 0.5 * f64::from(problem.grid.scale[problem.first + row]);
        let (mut least, mut furthest) = ((f64::INFINITY, 0), (half * (1.0 + 1e-6), None));
        for (k, &w) in self.w.iter().enumerate() {
            let error = (w - problem.round(row, w).1).abs();
            let rise = error * error / self.at(k, k);
            let earlier = |other: usize| self.place[k] < self.place[other];
            if rise < least.0 || (rise == least.0 && earlier(least.1)) {
                least = (rise, k);
            }
            if error > furthest.0 || (error == furthest.0 && furthest.1.is_some_and(earlier)) {
                furthest = (error, Some(k));
            }
        }
        let j = furthest.1.unwrap_or(least.1);
        let (code, value) = problem.round(row, self.w[j]);
        (j, code, value)
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.inverse[if i >= j { start(i) + j } else { start(j) + i }]
    }

    /// Takes a weight out: the last free one moves to its place.
    fn remove(&mut self, j: usize) {
        let last = self.w.len() - 1;
        for k in (0..last).filter(|&k| k != j) {
            let moved = self.at(last, k);
            self.inverse[if j >= k { start(j) + k } else { start(k) + j }] = moved;
        }
        if j < last {
            self.inverse[start(j) + j] = self.inverse[start(last) + last];
        }
        self.inverse.truncate(start(last));
        self.w.swap_remove(j);
        self.place.swap_remove(j);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fitted::testing::{diagonal, grid_of, loss, moments, nearest, rows};
    use super::*;
    use crate::parts::cholesky::inverse_factor;
    use crate::parts::ranges::{MinMax, Mse};
    use proptest::prelude::*;

    /// The definition: at every step the inverse of the free weights' moments is made anew.
    fn by_definition(problem: &Problem<'_>, row: usize) -> Vec<i32> {
        let n = problem.h.nrows();
        let mean = problem.h.diag().sum() / n as f64;
        let h = &problem.h + &(Array2::<f64>::eye(n) * (problem.damping * mean));
        let half = 0.5 * f64::from(problem.grid.scale[row]);
        let mut free: Vec<usize> = (0..n).collect();
        let mut w: Vec<f64> = problem.rows[row].iter().map(|&v| f64::from(v)).collect();
        let mut codes = vec![0; n];
        while !free.is_empty() {
            let part =
                Array2::from_shape_fn((free.len(), free.len()), |(a, b)| h[[free[a], free[b]]]);
            let u = inverse_factor(&part).unwrap();
            let inverse = u.t().dot(&u);
            let error = |k: usize| w[free[k]] - problem.round(row, w[free[k]]).1;
            let all = 0..free.len();
            let out = all.clone().filter(|&k| error(k).abs() > half * (1.0 + 1e-6));
            let rise = |k: usize| error(k).powi(2) / inverse[[k, k]];
            let chosen = out
                .max_by(|&a, &b| error(a).abs().total_cmp(&error(b).abs()))
                .or_else(|| all.min_by(|&a, &b| rise(a).total_cmp(&rise(b))))
                .unwrap();
            let step = error(chosen) / inverse[[chosen, chosen]];
            codes[free[chosen]] = problem.round(row, w[free[chosen]]).0;
            for k in 0..free.len() {
                w[free[k]] -= step * inverse[[k, chosen]];
            }
            free.remove(chosen);
        }
        codes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn codes_are_those_of_the_definition(n in 1usize..14, bits in 2u8..=4, seed in 0u64..300) {
            let rows = rows(2, n, seed);
            let grid = grid_of(&rows, bits, &Mse);
            let h = moments(n, 3 * n, seed);
            let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
            let want: Vec<Vec<i32>> = (0..2).map(|r| by_definition(&problem, r)).collect();
            prop_assert_eq!(round(&problem).unwrap(), want);
        }

        #[test]
        fn without_correlation_weights_are_rounded_to_nearest(n in 1usize..40, seed in 0u64..100) {
            let rows = rows(3, n, seed);
            let grid = grid_of(&rows, 3, &MinMax);
            let h = diagonal(n);
            let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
            prop_assert_eq!(round(&problem).unwrap(), nearest(&problem));
        }
    }

    /// Not of every one: a greedy order can lose on a few weights.
    #[test]
    fn over_many_problems_the_output_error_is_below_that_of_rounding_to_nearest() {
        let (mut fitted, mut plain) = (0.0, 0.0);
        for seed in 0..20 {
            for (n, bits) in [(4, 2), (7, 3), (20, 2), (20, 4), (50, 3)] {
                let rows = rows(4, n, seed);
                let grid = grid_of(&rows, bits, &Mse);
                let h = moments(n, 4 * n, seed);
                let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
                let share = loss(&problem, &nearest(&problem));
                fitted += loss(&problem, &round(&problem).unwrap()) / share;
                plain += 1.0;
            }
        }
        assert!(fitted < 0.8 * plain, "{fitted} of {plain}");
    }
}
