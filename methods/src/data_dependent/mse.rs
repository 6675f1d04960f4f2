//! # What it does
//! Shrinks the range of each grid until rounding errors inside and clipping errors outside
//! balance: of the ranges `k/100 * [min, max]`, `k = 1 ..= 100`, it takes the one with the smallest
//! sum of squared errors, per output channel for weights and per tensor for activations (both ends
//! are shrunk by the same factor).
//!
//! # When to use it
//! From 6 bits down, wherever images are at hand: it is nearly as cheap as min-max and much better
//! at 4 bits. At 8 bits there is nothing to gain.
//!
//! # Inputs and cost
//! Unlabelled images; one forward pass over them, into histograms whose size does not depend on
//! the number of images. No training.
//!
//! # Parameters
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! A search over 100 factors instead of a line search over the step (Choukroun et al.); exponent 2;
//! no splitting of a weight tensor into two. Squared errors of activations are exact except in
//! histogram bins through which a rounding threshold passes, where the density is taken as
//! uniform.
//!
//! # Reference
//! Y. Choukroun et al., "Low-bit quantization of neural networks for efficient inference", 2019,
//! arXiv:1902.06822; M. Nagel et al., "A white paper on neural network quantization", 2021,
//! arXiv:2106.08295.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;

use super::{WEIGHTS, calibrated};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::ranges;

/// Calibration by mean squared error.
pub struct Mse;

static CARD: Card = Card {
    name: "mse",
    version: 2,
    family: Family::DataDependent,
    summary: "shrinks each grid's range until the sum of squared errors is smallest",
    when: "from 6 bits down, wherever images are at hand; at 8 bits minmax is as good",
    paper: "Y. Choukroun et al., Low-bit quantization of neural networks for efficient inference, \
            ICCV workshops 2019, arXiv:1902.06822; M. Nagel et al., A white paper on neural \
            network quantization, 2021, arXiv:2106.08295",
    cite: "choukroun2019lowbit",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[WEIGHTS],
    departures: &[
        "searches the factors k/100, k = 1 to 100, of [min, max] instead of a line search over \
         the step",
        "weights are never split into two quantized tensors",
        "squared errors of activations come from a histogram with 2,048 to 4,096 bins between zero \
         and the largest magnitude, each with its moments",
    ],
};

impl Recipe for Mse {
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
        calibrated(job, &data, &ranges::Mse, cx)
    }
}
