//! # What it does
//! Shrinks the range of each grid until the sum of `|x - q(x)|^p` is smallest: of the ranges
//! `k/100 * [min, max]`, `k = 1 ..= 100`, it takes the best, per output channel for weights and
//! per tensor for activations. A larger `p` clips less; 2 is the squared error. This is where
//! LAPQ starts from.
//!
//! # When to use it
//! From 6 bits down, wherever images are at hand. Exponents slightly above 2 often beat mse at 2
//! to 4 bits. At 8 bits there is nothing to gain.
//!
//! # Inputs and cost
//! Unlabelled images; the forward passes that a histogram needs. No training.
//!
//! # Parameters
//! - `p` (exponent, 1 to 4, default 2.4): of the error that is summed.
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! The first step of LAPQ alone: a fixed exponent instead of the one with the smallest loss on
//! labelled images (the paper evaluates ten between 2 and 4), and no joint search over all clips.
//! 2.4 is the exponent of BRECQ and QDrop. A search over 100 factors instead of a continuous one.
//! Errors of activations are integrated over histogram bins with a uniform density in each;
//! powers come from a table of 4,096 intervals (relative error of a sum below 1e-4).
//!
//! # Reference
//! Y. Nahshan et al., "Loss aware post-training quantization", Machine Learning 110, 2021,
//! arXiv:1911.07190, section 4.1.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::{WEIGHTS, calibrated};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::ranges;

/// Calibration by the L_p error.
pub struct Lp;

static CARD: Card = Card {
    name: "lp",
    version: 1,
    family: Family::DataDependent,
    summary: "shrinks each grid's range until the sum of errors to the power p is smallest",
    when: "from 6 bits down, wherever images are at hand; at 8 bits minmax is as good",
    paper: "Y. Nahshan et al., Loss aware post-training quantization, Machine Learning 110, 2021, \
            arXiv:1911.07190",
    cite: "nahshan2021loss",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "p",
            help: "exponent of the error that is summed; a larger one clips less",
            default: Default::Float(2.4),
            range: ParamRange::Float(1.0, 4.0),
        },
        WEIGHTS,
    ],
    departures: &[
        "LAPQ's first step alone, with a fixed exponent instead of the one with the smallest loss",
        "searches the factors k/100, k = 1 to 100, of [min, max] instead of a continuous search",
        "errors of activations are integrated over histogram bins with uniform density",
    ],
};

impl Recipe for Lp {
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
        calibrated(job, &data, &ranges::Lp::new(job.float("p")), cx)
    }
}
