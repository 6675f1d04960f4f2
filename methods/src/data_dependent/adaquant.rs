//! # What it does
//! Learns, layer by layer, the weights, the bias and the steps of the grids of the weights and of
//! the layer's input together, so that the layer's output (after its rectified linear unit) comes
//! as near as possible to that of the FP32 network. Gradients pass roundings as if they were not
//! there.
//!
//! # When to use it
//! At 8 to 4 bits, when little time may be spent and no labels are at hand: a hundred iterations a
//! layer. With the default rate hardly a weight crosses to another code at 4 bits and below; there
//! raise `rate`, or take the methods that learn roundings.
//!
//! # Inputs and cost
//! Unlabelled images, all in memory; for each layer `iterations` forward and backward passes of
//! that layer over `batch` images.
//!
//! # Parameters
//! - `iterations` (100): steps of Adam per layer.
//! - `batch` (50): images per step, drawn with replacement.
//! - `rate` (1e-5): learning rate of weights.
//! - `bias_rate` (1e-3): learning rate of biases.
//! - `range_rate` (1e-3): learning rate of the width of the range of an output channel's weights.
//! - `input_range_rate` (0.1): learning rate of the width of the range of a layer's input.
//! - `weights`: `affine` (default) or `symmetric`.
//!
//! # Differences from the paper
//! The first of three parts, without integer programming of widths and re-estimation of batch norm.
//! Ranges begin at the smallest squared error, not at the extremes. Zero points are integers and
//! are not learned. Layers are optimised one after the other, each on what the quantized layers
//! before it give. A value that several layers read gets its grid with the first of them. Images
//! are drawn with replacement.
//!
//! # Reference
//! I. Hubara et al., "Accurate post training quantization with small calibration sets", ICML 2021,
//! arXiv:2006.10518, section 3.1; rates and iterations from the released code (CalibTIP).

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::reconstruction::{AFFINE, BATCH, iterations};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::ranges::WeightStyle;
use crate::parts::reconstruct::{Reach, Settings, Steps, Teach, reconstruct};

/// Layer-wise optimisation of weights, biases and steps.
pub struct AdaQuant;

/// A learning rate.
const fn rate(name: &'static str, help: &'static str, default: f64) -> Param {
    let range = ParamRange::Float(0.0, 10.0);
    Param { name, help, default: Default::Float(default), range }
}

static CARD: Card = Card {
    name: "adaquant",
    version: 1,
    family: Family::DataDependent,
    summary: "learns layer by layer weights, biases and the steps of grids, straight through \
              rounding",
    when: "8 to 4 bits, when little time may be spent; below, with a higher rate of weights",
    paper: "I. Hubara et al., Accurate post training quantization with small calibration sets, \
            ICML 2021, arXiv:2006.10518",
    cite: "hubara2021accurate",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[
        iterations(100),
        Param { default: Default::Int(50), ..BATCH },
        rate("rate", "learning rate of weights", 1e-5),
        rate("bias_rate", "learning rate of biases", 1e-3),
        rate("range_rate", "learning rate of the width of a channel's range of weights", 1e-3),
        rate("input_range_rate", "learning rate of the width of the range of a layer's input", 0.1),
        AFFINE,
    ],
    departures: &[
        "no integer programming of widths and no re-estimation of batch norm",
        "ranges begin at the smallest squared error, and zero points are not learned",
        "layers are optimised one after the other on what the quantized ones before them give",
        "a value that several layers read gets its grid with the first of them",
    ],
};

impl Recipe for AdaQuant {
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
        let settings = Settings {
            method: CARD.name,
            reach: Reach::Layer,
            iterations: job.int("iterations") as usize,
            batch: job.int("batch") as usize,
            teach: Teach::Straight {
                rate: job.float("rate"),
                bias_rate: job.float("bias_rate"),
                range_rate: job.float("range_rate"),
            },
            steps: Steps::Reader { rate: job.float("input_range_rate") },
            drop: 0.0,
            difference: None,
            correction: None,
            style: WeightStyle::from_name(job.choice("weights")),
        };
        reconstruct(job, data.images(), &settings, cx)
    }
}
