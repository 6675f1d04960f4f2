//! # What it does
//! Cuts off the largest magnitudes of each activation: its range is `[max(min, -c), min(max, c)]`
//! with `c` the given percentile of `|x|` over all images. Weights keep min-max ranges per output
//! channel.
//!
//! # When to use it
//! At 8 bits where single outliers of activations stretch min-max ranges. Below, prefer mse: a
//! percentile does not know how coarse the grid is.
//!
//! # Inputs and cost
//! Unlabelled images; the forward passes that a histogram needs. No training.
//!
//! # Parameters
//! - `percentile` (percent of the magnitudes, 50 to 100, default 99.999): what stays inside.
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! The percentile is over all images at once instead of averaged over batches (MQBench), and
//! linear within a bin of the histogram instead of the bin's edge (onnxruntime) or centre
//! (MQBench). A signed activation is cut at one magnitude on both sides, as in MQBench;
//! onnxruntime's default cuts half of the outliers at each end. After a ReLU the two agree up to
//! that half. Exact zeros count as magnitudes; where the percentile falls among them, the
//! range ends above the smallest magnitude instead of at zero.
//!
//! # Reference
//! H. Wu et al., "Integer quantization for deep learning inference: principles and empirical
//! evaluation", 2020, arXiv:2004.09602, section 5.2.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::{WEIGHTS, calibrated};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::ranges;

/// Percentile calibration.
pub struct Percentile;

static CARD: Card = Card {
    name: "percentile",
    version: 1,
    family: Family::DataDependent,
    summary: "cuts off the largest magnitudes of each activation at a percentile",
    when: "at 8 bits where single outliers stretch min-max ranges; below prefer mse",
    paper: "H. Wu et al., Integer quantization for deep learning inference: principles and \
            empirical evaluation, 2020, arXiv:2004.09602",
    cite: "wu2020integer",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "percentile",
            help: "percent of the magnitudes of an activation that stay inside its range",
            default: Default::Float(99.999),
            range: ParamRange::Float(50.0, 100.0),
        },
        WEIGHTS,
    ],
    departures: &[
        "the percentile of all images at once, linear within a histogram bin, instead of a bin's \
         edge or centre averaged over batches",
        "signed activations are cut at one magnitude on both sides, as in MQBench; onnxruntime's \
         default cuts half of the outliers at each end",
        "weights keep min-max ranges, as in the tools that offer it",
    ],
};

impl Recipe for Percentile {
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
        let ranges = ranges::Percentile { percent: job.float("percentile") };
        calibrated(job, &data, &ranges, cx)
    }
}
