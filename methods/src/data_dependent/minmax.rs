//! # What it does
//! Rounds every weight and activation to the nearest level of a grid that covers all values that
//! were seen: per output channel for weights, per tensor for activations.
//!
//! # When to use it
//! At 8 bits, where it loses next to nothing; as the floor that every other method has to beat
//! below. At 4 bits and less the range is wasted on outliers.
//!
//! # Inputs and cost
//! Unlabelled images (a few hundred are enough); one forward pass over them. No training.
//!
//! # Parameters
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! The range is the extreme over all images, not a moving average over batches, so that it does
//! not depend on the batch size.
//!
//! # Reference
//! R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: a
//! whitepaper", 2018, arXiv:1806.08342.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;

use super::{WEIGHTS, calibrated};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::ranges;

/// Min-max calibration.
pub struct MinMax;

static CARD: Card = Card {
    name: "minmax",
    version: 1,
    family: Family::DataDependent,
    summary: "rounds to the nearest level of a grid over the smallest and largest value seen",
    when: "at 8 bits, and as the floor below; at 4 bits and less prefer mse",
    paper: "R. Krishnamoorthi, Quantizing deep convolutional networks for efficient inference: a \
            whitepaper, 2018, arXiv:1806.08342",
    cite: "krishnamoorthi2018quantizing",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[WEIGHTS],
    departures: &["extremes over all images instead of a moving average over batches"],
};

impl Recipe for MinMax {
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
        calibrated(job, &data, &ranges::MinMax, cx)
    }
}
