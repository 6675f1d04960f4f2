//! # What it does
//! Rescales channels from layer to layer without changing the FP32 network until the weights of a
//! channel have the same range on both sides (cross-layer equalisation), moves what is always
//! active of a channel into the next layer's bias (high-bias absorption), rounds to nearest, and
//! takes the shift of each layer's mean output, known from batch norm, out of its bias (analytic
//! bias correction). Activation ranges are `beta +- n |gamma|`.
//!
//! # When to use it
//! At 8 bits when no image may be used and the target allows one scale per weight tensor only,
//! above all for networks with depthwise layers. At 4 bits it fails.
//!
//! # Inputs and cost
//! The model alone; milliseconds per layer. No training.
//!
//! # Parameters
//! - `granularity`: `tensor` (default, as in the paper) or `channel`: over which weights a scale
//!   reaches. Grids are affine in both cases.
//! - `equalise`, `absorb`, `correct` (`true` or `false`, default `true`): the three parts. Nothing
//!   is absorbed without equalisation in the paper; here each can be switched alone.
//! - `relu6`: `carry` (default) keeps the FP32 network: a cap at 6 becomes a cap of `6 / s` for a
//!   channel that was divided by `s`. `replace` makes it a ReLU first, as the paper does, which
//!   changes the network.
//! - `sigmas` (standard deviations, 1 to 20, default 6): `n` of the activation ranges.
//!
//! # Differences from the paper
//! A depthwise layer between two others is equalised as two pairs; sweeping pairs ends where the
//! paper's triple does, at equal ranges in all three. Pools that keep channels apart may lie in
//! between. Absorption is exact but for zero padding and for the values below 0 that it takes to be
//! none, as in the paper. The first layer's bias is not corrected, because the mean image is not
//! known; for the same reason the image is left in FP32 whatever the image rule asks. First and
//! last layer follow the spec's rule.
//!
//! The paper gives ranges to outputs of batch norm only. Elsewhere means and variances are
//! propagated: sums at an Add (inputs taken as independent), clipped-normal moments after a ReLU,
//! weighted sums for a conv or FC without batch norm (channels taken as independent). A range takes
//! the positions of one channel, in a pool or a kernel, to move together: a batch norm's variance
//! does not say how much of it lies between images, which no pool averages away, so that the pooled
//! mean may spread as wide as a single position. As if independent, a pool of 64 positions would
//! leave an eighth of that, and logits beyond it would be cut off. Channels are not bounded in the
//! same way: `n` deviations of all of them moving together, each with the sign of its weight, would
//! leave most levels to logits that never occur, since weights of both signs cancel what channels
//! share. Bias correction wants means, not ranges, and takes positions as independent too.
//!
//! # Reference
//! M. Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV
//! 2019, arXiv:1906.04721, section 4.

mod absorb;
mod correct;
mod equalise;
mod pairs;

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Tensor};
use quantbench_graph::{Artefact, Graph, Layer};

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::NoData;
use crate::parts::known_ranges::known_grids;
use crate::parts::moments::{Moments, Positions};
use crate::parts::ranges::{MinMax, RangeEstimator, WeightStyle};
use crate::parts::weights::{grid, quantize, quantize_sites};
use pairs::Caps;

/// Data-free quantization.
pub struct Dfq;

static CARD: Card = Card {
    name: "dfq",
    version: 2,
    family: Family::DataFree,
    summary: "equalises the ranges of weights across layers, absorbs high biases, rounds to \
              nearest and corrects biases from batch norm",
    when: "at 8 bits when no image may be used and weights get one scale per tensor, above all \
           for depthwise layers; not at 4 bits",
    paper: "M. Nagel et al., Data-free quantization through weight equalization and bias \
            correction, ICCV 2019, arXiv:1906.04721",
    cite: "nagel2019datafree",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per tensor (affine; per output channel if asked), activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "granularity",
            help: "over which weights a scale reaches: the tensor, as in the paper, or an output \
                   channel",
            default: Default::Text("tensor"),
            range: ParamRange::Choice(&["tensor", "channel"]),
        },
        Param {
            name: "equalise",
            help: "rescale channels from layer to layer until their weights' ranges are equal",
            default: Default::Bool(true),
            range: ParamRange::Switch,
        },
        Param {
            name: "absorb",
            help: "move what is always active of a channel into the next layer's bias",
            default: Default::Bool(true),
            range: ParamRange::Switch,
        },
        Param {
            name: "correct",
            help: "take the expected shift of each layer's output out of its bias",
            default: Default::Bool(true),
            range: ParamRange::Switch,
        },
        Param {
            name: "relu6",
            help: "carry a cap of 6 / s per channel, or replace Relu6 by Relu as the paper does, \
                   which changes the network",
            default: Default::Text("carry"),
            range: ParamRange::Choice(&["carry", "replace"]),
        },
        Param {
            name: "sigmas",
            help: "half width of activation ranges in standard deviations from batch norm",
            default: Default::Float(6.0),
            range: ParamRange::Float(1.0, 20.0),
        },
    ],
    departures: &[
        "Relu6 is carried as a cap per channel; the paper replaces it by Relu",
        "a depthwise layer between two others is equalised as two pairs, which end where the \
         paper's triple does",
        "means and variances are propagated through sums, pools and layers without batch norm, \
         which have no range in the paper: channels taken as independent, for ranges the positions \
         of a channel as moving together",
        "the image stays in FP32 and the first layer's bias is not corrected",
        "first and last layer follow the spec's rule; the paper quantizes all layers alike",
    ],
};

impl Recipe for Dfq {
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
        let (mut graph, mut notes) = rescaled(job)?;
        let layers = graph.layers();
        let whole = job.choice("granularity") == "tensor";
        let inner = Job { graph: &graph, layers: &layers, ..*job };
        let mut quantized = quantize_sites(&inner, cx, |weights, layer, site| {
            if whole {
                per_tensor(weights, site.bits)
            } else {
                quantize(weights, layer.axis, site.bits, WeightStyle::Affine, &MinMax)
            }
        })?;
        notes.append(&mut quantized.notes);
        let sigmas = job.float("sigmas");
        let known = (sigmas, Positions::Aligned);
        let activations =
            known_grids(job, &graph, CARD.name, known, &mut notes, |m, _| range(m, sigmas))?;
        cx.reference = Some(graph.clone());
        if job.switch("correct") {
            correct::correct(&mut graph, &layers, &quantized.weights, &mut notes)?;
        }
        Ok(Artefact { graph, weights: quantized.weights, activations, notes })
    }
}

/// The job's network with equalised channels and absorbed biases.
fn rescaled(job: &Job<'_>) -> Result<(Graph, Vec<String>), MethodError> {
    let (mut graph, mut notes) = (job.graph.clone(), Vec::new());
    let (equalise, absorb) = (job.switch("equalise"), job.switch("absorb"));
    if !(equalise || absorb) {
        return Ok((graph, notes));
    }
    for layer in job.layers {
        crate::parts::weights::finite(job, &layer.weight)?;
    }
    if job.choice("relu6") == "replace" {
        pairs::replace_caps(&mut graph, &mut notes)?;
    }
    let pairs = pairs::find(&graph, job.layers);
    let mut caps = Caps::of(&pairs);
    if equalise {
        equalise::equalise(&mut graph, job.layers, &pairs, &mut caps, &mut notes)?;
    }
    if absorb {
        absorb::absorb(&mut graph, job.layers, &pairs, &mut caps, &mut notes)?;
    }
    caps.write(&mut graph, &mut notes)?;
    Ok((graph, notes))
}

/// One affine min-max grid for the tensor.
fn per_tensor(tensor: &Tensor, bits: Bits) -> quantbench_core::QuantTensor {
    let style = WeightStyle::Affine;
    let (scale, zero) = MinMax.weights(&tensor.data, style, bits);
    let grid =
        Grid { granularity: Granularity::Tensor, ..grid(vec![scale], vec![zero], 0, style, bits) };
    let codes = tensor.data.iter().map(|&v| grid.code(v, 0)).collect();
    quantbench_core::QuantTensor { dims: tensor.dims.clone(), grid, codes }
}

/// `beta +- n |gamma|` over all channels; from 0 where nothing is below.
fn range(moments: &Moments, sigmas: f64) -> (f32, f32) {
    if !moments.signed {
        return (0.0, moments.largest() as f32);
    }
    let ends = moments.mean.iter().zip(&moments.var).map(|(m, v)| (m, sigmas * v.max(0.0).sqrt()));
    let (lo, hi) = ends.fold((0f64, 0f64), |(lo, hi), (m, d)| (lo.min(m - d), hi.max(m + d)));
    (lo as f32, hi as f32)
}

/// Where a weight stands: output channel and input channel of each value of a layer's weights.
fn channels_of(layer: &Layer) -> impl Fn(usize) -> (usize, usize) {
    let (dims, groups) = (layer.dims.clone(), layer.groups);
    let conv = dims.len() > 2;
    let area: usize = dims.iter().skip(2).product();
    let (axis, per_group) = (layer.axis, dims[0].div_ceil(groups).max(1));
    move |at| {
        if conv {
            let (o, i) = (at / (dims[1] * area), at / area % dims[1]);
            (o, o / per_group * dims[1] + i)
        } else {
            let (row, column) = (at / dims[1], at % dims[1]);
            if axis == 0 { (row, column) } else { (column, row) }
        }
    }
}
