//! # What it does
//! Learns for each weight whether it is rounded up or down, layer by layer, so that the layer's
//! output (after its rectified linear unit) comes as near as possible to that of the FP32 network,
//! given inputs from the network that is quantized up to there.
//!
//! # When to use it
//! At 4 bits and below for weights, when minutes may be spent and no labels are at hand.
//! Activations are calibrated, not learned: below 8 bits BRECQ or QDrop serve them better.
//!
//! # Inputs and cost
//! Unlabelled images, all in memory; for each layer `iterations` forward and backward passes of
//! that layer over `batch` images.
//!
//! # Parameters
//! - `iterations` (10,000): steps of Adam per layer.
//! - `batch` (32): images per step, drawn with replacement.
//! - `lambda` (0.01): weight of the regulariser.
//! - `weights`: `affine` (default) or `symmetric`.
//!
//! # Differences from the paper
//! Weights have a scale per output channel, found by squared error; the paper has one per tensor.
//! Only a Relu counts as the activation function behind a layer. The exponent of the regulariser
//! falls linearly. Layers that share an initializer are learned once, where it is met first.
//!
//! # Reference
//! M. Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020,
//! arXiv:2004.10568, equations 21 to 25.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;

use super::reconstruction::{AFFINE, BATCH, LAMBDA, iterations, settings};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::reconstruct::{Reach, Steps, reconstruct};

/// Adaptive rounding.
pub struct AdaRound;

static CARD: Card = Card {
    name: "adaround",
    version: 1,
    family: Family::DataDependent,
    summary: "learns layer by layer which way each weight is rounded",
    when: "weights of 4 bits and below, when minutes may be spent; activations of 8 bits or FP32",
    paper: "M. Nagel et al., Up or down? Adaptive rounding for post-training quantization, ICML \
            2020, arXiv:2004.10568",
    cite: "nagel2020adaround",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[iterations(10_000), BATCH, LAMBDA, AFFINE],
    departures: &[
        "weights have a scale per output channel, by squared error; the paper has one per tensor",
        "only a Relu counts as the activation function behind a layer",
        "the exponent of the regulariser falls linearly",
        "activations have ranges of smallest squared error and are not learned",
    ],
};

impl Recipe for AdaRound {
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
        let settings = settings(job, CARD.name, Reach::Layer, Steps::Fixed, 0.0);
        reconstruct(job, data.images(), &settings, cx)
    }
}
