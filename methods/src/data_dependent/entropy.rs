//! # What it does
//! Cuts each activation's range at the magnitude for which the distribution on the grid is
//! nearest to the original one in Kullback-Leibler divergence, as TensorRT's calibration does.
//! Weights keep min-max ranges per output channel.
//!
//! # When to use it
//! At 8 bits, with a few hundred images. Below 6 bits prefer mse: the divergence hardly punishes
//! a coarse step over a smooth distribution. With few images the noise of the histogram looks
//! like structure and too much is cut off.
//!
//! # Inputs and cost
//! Unlabelled images; the forward passes that a histogram needs, and a few hundred thousand
//! logarithms per activation. No training.
//!
//! # Parameters
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! The paper's form is signed 8-bit: groups of `n/128` bins. Here a group is as wide as one step
//! of the affine grid over the range, whatever its width and signs: `n/255` bins after a ReLU at
//! 8 bits, about `n/127` for symmetric ranges. Thresholds go in steps of 4 of the 2,048 bins
//! (TensorRT 1, PPQ 32 of 4,096), from where a step is as wide as a bin. Exact zeros are left out
//! of both distributions where TensorRT and PPQ empty the lowest bins: zero is a level of every
//! grid, and after a ReLU it would outweigh all else. A threshold above an empty bin is moved down
//! to the nearest filled one (with values beyond it the divergence would be infinite; tools smooth
//! instead). Of equal divergences the widest range is taken.
//!
//! # Reference
//! S. Migacz, "8-bit inference with TensorRT", GTC 2017, s7310; H. Wu et al., "Integer
//! quantization for deep learning inference: principles and empirical evaluation", 2020,
//! arXiv:2004.09602, section 5.2.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;

use super::{WEIGHTS, calibrated};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::ranges;

/// Entropy calibration.
pub struct Entropy;

static CARD: Card = Card {
    name: "entropy",
    version: 1,
    family: Family::DataDependent,
    summary: "cuts each activation's range where the quantized distribution diverges least from \
              the original",
    when: "at 8 bits with a few hundred images; below 6 bits prefer mse",
    paper: "S. Migacz, 8-bit inference with TensorRT, GTC 2017, s7310; H. Wu et al., Integer \
            quantization for deep learning inference: principles and empirical evaluation, 2020, \
            arXiv:2004.09602",
    cite: "migacz2017tensorrt",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[WEIGHTS],
    departures: &[
        "groups of bins are one step of the affine grid wide, for any width and sign, instead of \
         1/128 of a symmetric 8-bit range",
        "thresholds in steps of 4 of 2,048 bins, moved down to the nearest filled bin instead of \
         smoothing",
        "exact zeros are left out, where TensorRT and PPQ empty the lowest bins",
        "weights keep min-max ranges, as in the tools that offer it",
    ],
};

impl Recipe for Entropy {
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
        calibrated(job, &data, &ranges::Entropy, cx)
    }
}
