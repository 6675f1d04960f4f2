//! # What it does
//! Clips activations where a fitted distribution says: the range that minimises the expected
//! squared error, rounding and clipping together, of a Laplace or normal distribution with the
//! tensor's moments. Weights keep min-max ranges per output channel; on request the bits are
//! spread over the channels of a layer, and the spread of each channel is restored after
//! rounding.
//!
//! # When to use it
//! At 4 bits, as the closed form to compare searches with: mse finds the same balance on the data
//! themselves. At 8 bits it clips next to nothing.
//!
//! # Inputs and cost
//! Unlabelled images; the forward passes that a histogram needs. No search, no training.
//!
//! # Parameters
//! - `distribution`: `laplace` (default), `gauss`, or `auto`: of both and the whole range the one
//!   with the smallest squared error on the histogram.
//! - `per_channel_bits` (default false): spreads a layer's bits over its output channels, levels
//!   in proportion to the standard deviation to the power 2/3, up to 4 bits.
//! - `weight_moments` (default false): scales each channel so that its standard deviation is that
//!   of the float weights, and moves its zero point so that the mean is nearest.
//! - `weights`: `affine` (default) or `symmetric`.
//!
//! # Differences from the paper
//! Activations are quantized per tensor; the paper's main tables do it per channel, which integer
//! kernels cannot execute. The clip is computed from the error formula instead of a table, and
//! the range never exceeds what was seen. The moments of an activation after a ReLU are those of
//! its positive values, an exponential law whatever the share of zeros, instead of those of the
//! tensor before the ReLU plus a positive mean. With `per_channel_bits` all channels of a layer
//! are stored, and counted, at the width of its widest channel; the mean is in the notes. With
//! `weight_moments` the spread is restored exactly; of the mean only whole steps, since zero
//! points are integers: the rest, up to half a step, stays. First and last layer follow the
//! spec's rule.
//!
//! # Reference
//! R. Banner et al., "Post training 4-bit quantization of convolutional networks for
//! rapid-deployment", NeurIPS 2019, arXiv:1810.05723.

mod bits;
mod moments;

use std::cell::RefCell;

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, QuantTensor, Tensor};
use quantbench_graph::{Artefact, Layer};

use super::WEIGHTS;
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::calibrate::activation_grids;
use crate::parts::ranges::{self, Distribution, MinMax, RangeEstimator, WeightStyle};
use crate::parts::weights::{channels, grid, interleave, quantize_sites};

/// Analytical clipping.
pub struct Aciq;

static CARD: Card = Card {
    name: "aciq",
    version: 1,
    family: Family::DataDependent,
    summary: "clips activations where a fitted Laplace or normal distribution has its smallest \
              expected squared error",
    when: "at 4 bits, as the closed form beside the search of mse; at 8 bits it clips nothing",
    paper: "R. Banner et al., Post training 4-bit quantization of convolutional networks for \
            rapid-deployment, NeurIPS 2019, arXiv:1810.05723",
    cite: "banner2019post",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "distribution",
            help: "what is fitted to an activation, or the best of both and the whole range",
            default: Default::Text("laplace"),
            range: ParamRange::Choice(Distribution::NAMES),
        },
        Param {
            name: "per_channel_bits",
            help: "spreads the bits of a layer of up to 4 bits over its output channels; stored \
                   at the width of the widest",
            default: Default::Bool(false),
            range: ParamRange::Switch,
        },
        Param {
            name: "weight_moments",
            help: "restores each channel's standard deviation, and its mean to the nearest step",
            default: Default::Bool(false),
            range: ParamRange::Switch,
        },
        Param { default: Default::Text("affine"), ..WEIGHTS },
    ],
    departures: &[
        "activations per tensor instead of per channel, and never clipped wider than what was seen",
        "after a ReLU the moments of the positive values instead of those before the ReLU",
        "per_channel_bits: stored and counted at the width of a layer's widest channel",
        "weight_moments: the mean is restored in whole steps, zero points being integers",
    ],
};

impl Recipe for Aciq {
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
        let options = Options {
            style: WeightStyle::from_name(job.choice("weights")),
            spread: job.switch("per_channel_bits"),
            moments: job.switch("weight_moments"),
        };
        let notes = RefCell::new(Vec::new());
        let quantized = quantize_sites(job, cx, |weights, layer, site| {
            let (codes, note) = options.quantize(weights, layer, site.bits);
            notes.borrow_mut().extend(note);
            codes
        })?;
        let ranges =
            ranges::Aciq { distribution: Distribution::from_name(job.choice("distribution")) };
        let activations = activation_grids(job.graph, job.sites, data.images(), &ranges, cx)?;
        Ok(Artefact {
            graph: job.graph.clone(),
            weights: quantized.weights,
            activations,
            notes: [quantized.notes, notes.into_inner()].concat(),
        })
    }
}

/// How weights are quantized.
#[derive(Debug, Clone, Copy)]
struct Options {
    style: WeightStyle,
    /// `per_channel_bits`.
    spread: bool,
    /// `weight_moments`.
    moments: bool,
}

impl Options {
    /// One layer's weights, and the note about spread bits.
    fn quantize(self, tensor: &Tensor, layer: &Layer, bits: Bits) -> (QuantTensor, Option<String>) {
        let rows = channels(tensor, layer.axis);
        let widths = if self.spread && bits.get() <= bits::LARGEST {
            let deviations: Vec<f64> = rows.iter().map(|row| moments::of(row).1).collect();
            bits::allocate(&deviations, bits.get())
        } else {
            vec![bits.get(); rows.len()]
        };
        let widest = widths.iter().max().and_then(|&b| Bits::new(b.max(1)).ok()).unwrap_or(bits);
        let params = rows.iter().zip(&widths).map(|(row, &b)| self.params(row, b));
        let (scale, zero_point) = params.unzip();
        let mut grid = grid(scale, zero_point, layer.axis, self.style, widest);
        let (lowest, highest) = grid.code_range();
        let mut codes = Vec::with_capacity(rows.len());
        for (c, (row, &b)) in rows.iter().zip(&widths).enumerate() {
            let (lo, hi) = self.ends(b);
            let row_codes: Vec<i32> = row.iter().map(|&v| grid.code(v, c).clamp(lo, hi)).collect();
            if self.moments {
                let (scale, zero) =
                    moments::restore(row, &row_codes, grid.scale[c], grid.zero_point[c]);
                grid.scale[c] = scale;
                if self.style == WeightStyle::Affine {
                    grid.zero_point[c] = zero.clamp(lowest, highest);
                }
            }
            codes.push(row_codes);
        }
        let codes = interleave(&codes, &tensor.dims, layer.axis);
        let note = bits::note(&layer.name, &widths, bits.get());
        (QuantTensor { dims: tensor.dims.clone(), grid, codes }, note)
    }

    /// Smallest and largest code of a channel of that width; without bits all codes are zero.
    fn ends(self, bits: u8) -> (i32, i32) {
        match Bits::new(bits) {
            Ok(bits) => grid(Vec::new(), Vec::new(), 0, self.style, bits).code_range(),
            Err(_) => (0, 0),
        }
    }

    /// Scale and zero point of a channel of that width; without bits all codes are zero.
    fn params(self, row: &[f32], bits: u8) -> (f32, i32) {
        Bits::new(bits).map_or((1.0, 0), |bits| MinMax.weights(row, self.style, bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_graph::LayerKind;

    fn layer(dims: &[usize]) -> Layer {
        Layer {
            name: "conv".into(),
            node: 0,
            kind: LayerKind::Conv,
            weight: "w".into(),
            dims: dims.to_vec(),
            axis: 0,
            bias: None,
            input: "x".into(),
            output: "y".into(),
            groups: 1,
            macs: 0,
            is_first: false,
            is_last: false,
        }
    }

    /// Eight channels whose spreads are powers of two, each a little lopsided.
    fn tensor() -> Tensor {
        let value = |i: u64| ((i * i * 31 + i * 17) % 997) as f32 / 997.0 - 0.4;
        let data = (0..8u64 * 144).map(|i| value(i).powi(3) * 2f32.powi((i / 144) as i32 - 4));
        Tensor::new(vec![8, 16, 3, 3], data.collect())
    }

    fn run(
        style: WeightStyle,
        spread: bool,
        moments: bool,
        bits: u8,
    ) -> (QuantTensor, Option<String>) {
        let options = Options { style, spread, moments };
        options.quantize(&tensor(), &layer(&tensor().dims), Bits::new(bits).unwrap())
    }

    #[test]
    fn without_options_weights_are_min_max() {
        for style in [WeightStyle::Symmetric, WeightStyle::Affine] {
            let bits = Bits::new(4).unwrap();
            let want = crate::parts::weights::quantize(&tensor(), 0, bits, style, &MinMax);
            assert_eq!(run(style, false, false, 4), (want, None));
        }
    }

    #[test]
    fn channels_use_no_more_levels_than_they_got_bits() {
        for style in [WeightStyle::Symmetric, WeightStyle::Affine] {
            for bits in 2..=4 {
                let (q, note) = run(style, true, false, bits);
                q.grid.check(&q.dims).unwrap();
                let rows = channels(&tensor(), 0);
                let deviations: Vec<f64> = rows.iter().map(|row| moments::of(row).1).collect();
                let widths = bits::allocate(&deviations, bits);
                assert_eq!(q.grid.bits.get(), *widths.iter().max().unwrap());
                for (row, width) in q.codes.chunks(144).zip(&widths) {
                    let (lo, hi) = (row.iter().min().unwrap(), row.iter().max().unwrap());
                    assert!(hi - lo < 1 << width, "{width} bits: {lo} to {hi}");
                }
                assert!(note.unwrap().contains("per channel"));
                // The total error falls below that of uniform widths.
                let error = |q: &QuantTensor| -> f64 {
                    let pairs = tensor().data.into_iter().zip(q.dequantize().data);
                    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
                };
                assert!(error(&q) < error(&run(style, false, false, bits).0), "{style:?} {bits}");
            }
        }
        // Above four bits nothing is spread.
        assert_eq!(run(WeightStyle::Affine, true, false, 5).0.grid.bits.get(), 5);
    }

    #[test]
    fn moments_are_restored_as_far_as_a_zero_point_can() {
        for bits in [2, 3, 4, 8] {
            for style in [WeightStyle::Symmetric, WeightStyle::Affine] {
                let (q, _) = run(style, false, true, bits);
                q.grid.check(&q.dims).unwrap();
                let (back, plain) = (q.dequantize(), run(style, false, false, bits).0.dequantize());
                let mut moved = 0;
                for (c, row) in tensor().data.chunks(144).enumerate() {
                    let (mean, deviation) = moments::of(row);
                    let found = moments::of(&back.data[c * 144..(c + 1) * 144]);
                    assert!((found.1 / deviation - 1.0).abs() < 1e-5, "{bits} {style:?}");
                    let before = moments::of(&plain.data[c * 144..(c + 1) * 144]);
                    moved += usize::from((before.1 / deviation - 1.0).abs() > 1e-5);
                    if style == WeightStyle::Affine {
                        let step = f64::from(q.grid.scale[c]);
                        assert!((found.0 - mean).abs() <= 0.501 * step, "{bits} {c}");
                    }
                }
                assert_eq!(moved, 8);
            }
        }
    }
}
