//! # What it does
//! Rounds the weights of each output channel one after the other and, after each, moves the ones
//! that are still free so that the layer's output on the calibration images changes least: with
//! `H` the second moments of the layer's inputs, an error `e` in weight `j` is made up for by
//! `-e U_jk / U_jj` in every later weight `k`, where `U` is the upper factor of `H^-1`. Activations:
//! ranges by mean squared error.
//!
//! # When to use it
//! At 3 and 4 bits wherever images are at hand: much better than rounding to nearest at little
//! cost. At 8 bits there is nothing to gain.
//!
//! # Inputs and cost
//! Unlabelled images. Second moments take one pass over the images (several where they exceed 512
//! MiB) with `inputs: fp32`; with `quantized` one pass per depth of the network up to that depth,
//! about half as many whole passes as there are layers. Per layer with `n` weights per output
//! channel `n^2` products per output position, and `n^3 / 2` for the factor. One more pass for
//! activation ranges. No training.
//!
//! # Parameters
//! - `weights`: `symmetric` (default) or `affine`.
//! - `ranges`: `mse` (default) or `minmax`, per output channel and before any weight is moved.
//! - `inputs`: `quantized` (default) or `fp32`: the network whose inputs count.
//! - `damping` (share of the mean of the diagonal, 0 to 100, default 0.01).
//! - `act_order` (`true` or `false`, default `false`): weights with the largest inputs first.
//! - `positions` (per image, 0 to 1000000, default 0 for all): evenly spaced output positions from
//!   which second moments are taken.
//!
//! # Differences from the paper
//! Ranges by mean squared error on a symmetric grid instead of min-max on an affine one. An input
//! that is always zero has its weights rounded to nearest, the official code sets them to zero.
//! Layers are taken in the order of their depth, one pass each, where the official code takes all
//! layers of a transformer block in one pass. Weights that layers share are fitted to the inputs of
//! the layer that decides their width. Damping is raised where FP64 finds no factor. Blocks of 128
//! weights as in the official code; they change the speed alone.
//!
//! # Reference
//! E. Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained
//! transformers", ICLR 2023, arXiv:2210.17323, section 3.

use ndarray::Array2;
use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;
use rayon::prelude::*;

use super::WEIGHTS;
use super::fitted::{DAMPING, POSITIONS, Problem, RANGES, fitted, inputs};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;

/// GPTQ.
pub struct Gptq;

/// Weights after which errors are spread to all later ones at once.
const BLOCK: usize = 128;

/// Rows that one thread takes together, so that a block of the factor serves them all.
const ROWS: usize = 8;

static CARD: Card = Card {
    name: "gptq",
    version: 1,
    family: Family::DataDependent,
    summary: "rounds the weights of a channel in turn and lets the free ones make up for each \
              error, by the second moments of the layer's inputs",
    when: "at 3 and 4 bits wherever images are at hand; at 8 bits minmax is as good",
    paper: "E. Frantar et al., GPTQ: accurate post-training quantization for generative \
            pre-trained transformers, ICLR 2023, arXiv:2210.17323",
    cite: "frantar2023gptq",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        WEIGHTS,
        RANGES,
        inputs("quantized"),
        DAMPING,
        Param {
            name: "act_order",
            help: "round the weights with the largest inputs first",
            default: Default::Bool(false),
            range: ParamRange::Switch,
        },
        POSITIONS,
    ],
    departures: &[
        "ranges by mean squared error on a symmetric grid instead of min-max on an affine one",
        "weights of an input that is always zero are rounded to nearest instead of set to zero",
        "one pass per depth of the network; the official code takes a block's layers in one pass",
        "activation ranges by mean squared error; the paper leaves activations in floating point",
    ],
};

impl Recipe for Gptq {
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
        let act_order = job.switch("act_order");
        let solve = |problem: &Problem<'_>| round(problem, act_order);
        fitted(job, CARD.name, data.images(), cx, &solve)
    }
}

/// Codes of each row (paper, algorithm 1); `None` if the second moments have no factor.
pub fn round(problem: &Problem<'_>, act_order: bool) -> Option<Vec<Vec<i32>>> {
    let n = problem.h.nrows();
    let mut order: Vec<usize> = (0..n).collect();
    let factor = if act_order {
        // A stable sort: of equal inputs the first comes first.
        order.sort_by(|&i, &j| problem.h[[j, j]].total_cmp(&problem.h[[i, i]]));
        let h = Array2::from_shape_fn((n, n), |(i, j)| problem.h[[order[i], order[j]]]);
        Problem { h, ..*problem }.factor()?
    } else {
        problem.factor()?
    };
    let factor: Vec<f64> = factor.into_iter().collect();
    let u = Rows { values: &factor, n };
    let rows = problem.rows.par_chunks(ROWS).enumerate().flat_map_iter(|(chunk, rows)| {
        let mut w: Vec<Vec<f64>> =
            rows.iter().map(|row| order.iter().map(|&j| f64::from(row[j])).collect()).collect();
        let mut codes = vec![vec![0; n]; rows.len()];
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            for (r, (w, codes)) in w.iter_mut().zip(&mut codes).enumerate() {
                let errors = block(problem, chunk * ROWS + r, u, (start, end), w, |j, code| {
                    codes[order[j]] = code;
                });
                for (j, error) in (start..end).zip(errors) {
                    spread(&mut w[end..], error, &u.row(j)[end..]);
                }
            }
        }
        codes
    });
    Some(rows.collect())
}

/// A square matrix whose rows are slices.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f64],
    n: usize,
}

impl<'a> Rows<'a> {
    fn row(self, j: usize) -> &'a [f64] {
        &self.values[j * self.n..(j + 1) * self.n]
    }
}

/// Rounds the weights `start..end` of a row; gives their errors over `U_jj`.
fn block(
    problem: &Problem<'_>,
    row: usize,
    u: Rows<'_>,
    (start, end): (usize, usize),
    w: &mut [f64],
    mut put: impl FnMut(usize, i32),
) -> Vec<f64> {
    let mut errors = Vec::with_capacity(end - start);
    for j in start..end {
        let (code, value) = problem.round(row, w[j]);
        put(j, code);
        let error = (w[j] - value) / u.row(j)[j];
        spread(&mut w[j + 1..end], error, &u.row(j)[j + 1..end]);
        errors.push(error);
    }
    errors
}

/// `w <- w - error * factor`.
fn spread(w: &mut [f64], error: f64, factor: &[f64]) {
    for (w, f) in w.iter_mut().zip(factor) {
        *w -= error * f;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fitted::testing::{diagonal, grid_of, loss, moments, nearest, rows};
    use super::*;
    use crate::parts::ranges::{MinMax, Mse};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_output_error_is_below_that_of_rounding_to_nearest(
            n in 32usize..160, bits in 3u8..=4, act_order: bool, seed in 0u64..200,
        ) {
            // Summed over layers: of a single one a greedy choice promises nothing.
            let (mut fitted, mut plain) = (0.0, 0.0);
            for seed in 8 * seed..8 * seed + 8 {
                let rows = rows(5, n, seed);
                let grid = grid_of(&rows, bits, &Mse);
                let h = moments(n, 4 * n, seed);
                let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
                fitted += loss(&problem, &round(&problem, act_order).unwrap());
                plain += loss(&problem, &nearest(&problem));
            }
            // The inputs share a part whose error is made up for.
            prop_assert!(fitted < 0.8 * plain, "{fitted} against {plain}");
        }

        #[test]
        fn without_correlation_weights_are_rounded_to_nearest(
            n in 1usize..150, act_order: bool, seed in 0u64..100,
        ) {
            let rows = rows(3, n, seed);
            let grid = grid_of(&rows, 3, &MinMax);
            let h = diagonal(n);
            let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
            prop_assert_eq!(round(&problem, act_order).unwrap(), nearest(&problem));
        }
    }

    #[test]
    fn each_step_is_the_best_answer_to_the_error_before() {
        // Against the definition: after each rounding, the free weights minimise the damped error.
        let n = 7;
        let rows = rows(1, n, 3);
        let grid = grid_of(&rows, 2, &Mse);
        let problem =
            Problem { rows: &rows, first: 0, grid: &grid, h: moments(n, 30, 3), damping: 0.01 };
        let mean = problem.h.diag().sum() / n as f64;
        let h = &problem.h + &(Array2::<f64>::eye(n) * (0.01 * mean));
        let mut want = Vec::new();
        let mut error: Vec<f64> = Vec::new();
        for (j, &weight) in rows[0].iter().enumerate() {
            // Free part f of the shift d solves H_ff d_f = -H_fc d_c, with d = q - w where chosen.
            let free = n - j;
            let mut a = h.slice(ndarray::s![j.., j..]).to_owned();
            let mut b: Vec<f64> =
                (j..n).map(|i| -(0..j).map(|c| h[[i, c]] * error[c]).sum::<f64>()).collect();
            for p in 0..free {
                for i in p + 1..free {
                    let f = a[[i, p]] / a[[p, p]];
                    for k in p..free {
                        a[[i, k]] -= f * a[[p, k]];
                    }
                    b[i] -= f * b[p];
                }
            }
            let mut shift = vec![0.0; free];
            for p in (0..free).rev() {
                let rest: f64 = (p + 1..free).map(|k| a[[p, k]] * shift[k]).sum();
                shift[p] = (b[p] - rest) / a[[p, p]];
            }
            let (code, value) = problem.round(0, f64::from(weight) + shift[0]);
            want.push(code);
            error.push(value - f64::from(weight));
        }
        assert_eq!(round(&problem, false).unwrap(), [want]);
    }

    #[test]
    fn a_single_column_and_a_dead_one_are_rounded_to_nearest() {
        let rows = rows(4, 1, 9);
        let grid = grid_of(&rows, 4, &MinMax);
        let problem = Problem {
            rows: &rows,
            first: 0,
            grid: &grid,
            h: Array2::from_elem((1, 1), 3.0),
            damping: 0.01,
        };
        assert_eq!(round(&problem, false).unwrap(), nearest(&problem));

        let rows = super::super::fitted::testing::rows(4, 12, 9);
        let grid = grid_of(&rows, 3, &Mse);
        let mut h = moments(12, 40, 1);
        h.row_mut(5).fill(0.0);
        h.column_mut(5).fill(0.0);
        h[[5, 5]] = 1.0;
        let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
        let (fitted, plain) = (round(&problem, true).unwrap(), nearest(&problem));
        assert!(fitted.iter().zip(&plain).all(|(f, p)| f[5] == p[5]));
        assert_ne!(fitted, plain);
    }

    #[test]
    fn second_moments_of_low_rank_are_damped() {
        // Three columns of inputs for twenty weights, without damping.
        let rows = rows(2, 20, 4);
        let grid = grid_of(&rows, 3, &Mse);
        let problem =
            Problem { rows: &rows, first: 0, grid: &grid, h: moments(20, 3, 4), damping: 0.0 };
        let fitted = round(&problem, false).unwrap();
        assert!(loss(&problem, &fitted) < loss(&problem, &nearest(&problem)));
    }
}
