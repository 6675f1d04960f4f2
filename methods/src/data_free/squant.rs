//! # What it does
//! Weights: nearest rounding per output channel, then a few codes are flipped to their other
//! neighbour so that the rounding errors of each kernel, and then of each channel, sum to at most
//! half a step (SQuant-E&K&C). Activations: ranges from batch-norm statistics alone.
//!
//! # When to use it
//! When no image may be used, at 4 to 8 bits, on networks with batch norm. On depthwise layers its
//! range rule fails at 4 bits (10.3 % on MobileNetV1 in the literature).
//!
//! # Inputs and cost
//! The model alone; milliseconds per layer. No training.
//!
//! # Parameters
//! - `clip_sigmas` (standard deviations, 0 to 100, default 0): upper end of an activation's range;
//!   0 takes the paper's 12 up to 4 bits, 14 at 6 and 25 at 8, linear between.
//! - `peak_sigmas` (standard deviations, 1 to 20, default 4): where a channel's largest value is
//!   expected, above its mean; caps the range below 6 bits.
//!
//! # Differences from the paper
//! The official code reads the standard deviation and the largest value of every activation off
//! one forward pass of uniform noise. Here both come from the batch norms without running the
//! network: `beta` and `|gamma|` of a folded conv, clipped-normal moments after a ReLU, sums of
//! means and variances at an Add (inputs taken as independent), and propagated moments for a conv
//! or FC without batch norm, positions of a channel taken as independent like channels. The range of unsigned activations is `[0, c sigma]` with `sigma` the
//! standard deviation of the positive values; of signed ones `+-c sigma / 1.25`.
//! Zero is put on every weight grid first. The image is left in FP32 whatever the image rule asks,
//! as in the official code: a data-free method knows no range for it. First and last layer follow
//! the spec's rule instead of the uniform width.
//!
//! # Reference
//! C. Guo et al., "SQuant: on-the-fly data-free quantization via diagonal Hessian approximation",
//! ICLR 2022, arXiv:2202.07471.

mod flips;

use std::collections::BTreeMap;

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Grid, QuantTensor, Tensor};
use quantbench_graph::{Artefact, Layer, LayerKind};
use rayon::prelude::*;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::NoData;
use crate::parts::known_ranges::known_grids;
use crate::parts::moments::{Moments, Positions};
use crate::parts::ranges::{MinMax, RangeEstimator, WeightStyle};
use crate::parts::weights::{Quantized, channels, grid, interleave, quantize_sites};
use flips::Channel;

/// SQuant.
pub struct SQuant;

static CARD: Card = Card {
    name: "squant",
    version: 1,
    family: Family::DataFree,
    summary: "flips a few rounded weights so that the errors of each kernel and channel cancel; \
              activation ranges from batch norm",
    when: "when no image may be used, at 4 to 8 bits, on networks with batch norm; not for \
           depthwise layers at 4 bits",
    paper: "C. Guo et al., SQuant: on-the-fly data-free quantization via diagonal Hessian \
            approximation, ICLR 2022, arXiv:2202.07471",
    cite: "guo2022squant",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel (affine), activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "clip_sigmas",
            help: "upper end of an activation's range in standard deviations; 0 takes the \
                   paper's 12, 14, 25 for 4, 6, 8 bits",
            default: Default::Float(0.0),
            range: ParamRange::Float(0.0, 100.0),
        },
        Param {
            name: "peak_sigmas",
            help: "standard deviations above its mean at which a channel's largest value is \
                   expected; caps the range below 6 bits",
            default: Default::Float(4.0),
            range: ParamRange::Float(1.0, 20.0),
        },
    ],
    departures: &[
        "activation statistics come from batch-norm parameters analytically, not from a forward \
         pass of uniform noise",
        "zero is put on every weight grid",
        "the image stays in FP32 whatever the image rule asks, as in the official code",
        "first and last layer follow the spec's rule; the official code quantizes their weights \
         at the common width",
    ],
};

impl Recipe for SQuant {
    type Data = NoData;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        _data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let Quantized { weights, mut notes } =
            quantize_sites(job, cx, |weights, layer, site| round(weights, layer, site.bits))?;
        let (clip, peak) = (job.float("clip_sigmas"), job.float("peak_sigmas"));
        let activations = activations(job, CARD.name, (clip, peak), &mut notes)?;
        Ok(Artefact { graph: job.graph.clone(), weights, activations, notes })
    }
}

/// SQuant-E&K&C on one layer's weights: affine min-max grid per channel.
pub fn round(tensor: &Tensor, layer: &Layer, bits: Bits) -> QuantTensor {
    let rows = channels(tensor, layer.axis);
    let style = WeightStyle::Affine;
    let (scale, zero) = rows.iter().map(|row| MinMax.weights(row, style, bits)).unzip();
    let grid = grid(scale, zero, layer.axis, style, bits);
    let area = match layer.kind {
        LayerKind::Conv => layer.dims[2..].iter().product(),
        LayerKind::Fc => 1,
    };
    let codes: Vec<Vec<i32>> = rows
        .par_iter()
        .enumerate()
        .map(|(c, row)| {
            let mut codes: Vec<i32> = row.iter().map(|&v| grid.code(v, c)).collect();
            let (s, z) = (f64::from(grid.scale[c]), f64::from(grid.zero_point[c]));
            let mut errors: Vec<f64> = row
                .iter()
                .zip(&codes)
                .map(|(&v, &q)| f64::from(q) - (f64::from(v) / s + z))
                .collect();
            let range = grid.code_range();
            Channel { codes: &mut codes, errors: &mut errors, range }.balance(area);
            codes
        })
        .collect();
    let codes = interleave(&codes, &tensor.dims, layer.axis);
    QuantTensor { dims: tensor.dims.clone(), grid, codes }
}

/// Grids of all sites but the image, from batch-norm statistics.
///
/// `sigmas`: the upper end of a range in standard deviations (0: the paper's), and where a
/// channel's largest value is expected.
pub(crate) fn activations(
    job: &Job<'_>,
    method: &'static str,
    (clip, peak): (f64, f64),
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Grid>, MethodError> {
    let known = (peak, Positions::Independent);
    known_grids(job, job.graph, method, known, notes, |m, bits| range(m, bits, clip))
}

/// Range of an activation: `[0, c sigma]`, or `+-c sigma / 1.25` where signed; below 6 bits no
/// wider than the largest value expected.
fn range(moments: &Moments, bits: Bits, clip_sigmas: f64) -> (f32, f32) {
    let c = if clip_sigmas > 0.0 { clip_sigmas } else { sigmas(bits) };
    let (sigma, peak) = (moments.deviation(), moments.largest());
    let wide = if moments.signed { c * sigma / 1.25 } else { c * sigma };
    let cap = if bits.get() < 6 || sigma == 0.0 { peak } else { f64::INFINITY };
    let alpha = if sigma > 0.0 { wide.min(cap) } else { cap } as f32;
    (if moments.signed { -alpha } else { 0.0 }, alpha)
}

/// The official scripts' clip in standard deviations: 12, 14, 25 at 4, 6, 8 bits.
fn sigmas(bits: Bits) -> f64 {
    match bits.get() {
        0..=4 => 12.0,
        5 => 13.0,
        6 => 14.0,
        7 => 19.5,
        _ => 25.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(dims: &[usize]) -> Layer {
        Layer {
            name: "conv".into(),
            node: 0,
            kind: if dims.len() == 4 { LayerKind::Conv } else { LayerKind::Fc },
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

    /// Sum of errors of each channel in steps.
    fn channel_sums(tensor: &Tensor, q: &QuantTensor) -> Vec<f64> {
        let inner = tensor.stride();
        let back = q.dequantize();
        (tensor.data.chunks(inner).zip(back.data.chunks(inner)).zip(&q.grid.scale))
            .map(|((w, v), &s)| {
                w.iter().zip(v).map(|(a, b)| f64::from(b - a)).sum::<f64>() / f64::from(s)
            })
            .collect()
    }

    #[test]
    fn channel_errors_cancel_on_a_real_shape() {
        for dims in [vec![8, 16, 3, 3], vec![8, 16, 1, 1], vec![10, 64]] {
            let n: usize = dims.iter().product();
            let data = (0..n as u64).map(|i| ((i * i * 31 + i * 17) % 997) as f32 / 997.0 - 0.4);
            let tensor = Tensor::new(dims.clone(), data.collect());
            let bits = Bits::new(4).unwrap();
            let q = round(&tensor, &layer(&dims), bits);
            q.grid.check(&dims).unwrap();
            assert!(channel_sums(&tensor, &q).iter().all(|s| s.abs() <= 0.501));
            let nearest = q.grid.quantize(&tensor).unwrap();
            assert!(channel_sums(&tensor, &nearest).iter().any(|s| s.abs() > 1.0));
        }
    }

    #[test]
    fn the_range_is_capped_below_six_bits() {
        let moments = Moments {
            mean: vec![0.4],
            var: vec![0.34],
            positive: vec![0.5],
            peak: vec![4.0],
            signed: false,
            positions: 1,
        };
        assert_eq!(range(&moments, Bits::new(4).unwrap(), 0.0), (0.0, 4.0));
        let (lo, hi) = range(&moments, Bits::EIGHT, 0.0);
        assert!(lo == 0.0 && hi > 10.0);
    }
}
