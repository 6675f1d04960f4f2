//! # What it does
//! Learns for each weight whether it is rounded up or down, all weights of a residual block
//! together, so that the block's output comes as near as possible to that of the FP32 network;
//! then learns the steps of the activations, block by block.
//!
//! # When to use it
//! At 4 bits and below, when minutes may be spent and no labels are at hand.
//!
//! # Inputs and cost
//! Unlabelled images, all in memory; for each block `iterations` forward and backward passes of
//! that block over `batch` images, and a quarter as many for the activations.
//!
//! # Parameters
//! - `iterations` (20,000): steps of Adam per block for the weights.
//! - `activation_iterations` (5,000): steps of Adam per block for the activations.
//! - `batch` (32): images per step, drawn with replacement.
//! - `lambda` (0.01): weight of the regulariser.
//! - `step_rate` (4e-4): learning rate of the steps of activations.
//! - `weights`: `affine` (default) or `symmetric`.
//!
//! # Differences from the paper
//! The plain squared error, as the released script has by default, not the one weighted with the
//! Fisher diagonal; exponent 2 instead of 2.4, for grids as well; no mixed precision. A block is
//! what lies between two places through which a single value passes.
//!
//! # Reference
//! Y. Li et al., "BRECQ: Pushing the limit of post-training quantization by block reconstruction",
//! ICLR 2021, arXiv:2102.05426, section 3 and algorithm 1.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::reconstruction::{AFFINE, BATCH, LAMBDA, iterations, settings, step_rate};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::reconstruct::{Reach, Steps, reconstruct};

/// Block reconstruction.
pub struct Brecq;

static CARD: Card = Card {
    name: "brecq",
    version: 1,
    family: Family::DataDependent,
    summary: "learns block by block which way each weight is rounded, then the steps of activations",
    when: "weights of 4 bits and below, when minutes may be spent",
    paper: "Y. Li et al., BRECQ: Pushing the limit of post-training quantization by block \
            reconstruction, ICLR 2021, arXiv:2102.05426",
    cite: "li2021brecq",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[
        iterations(20_000),
        Param {
            name: "activation_iterations",
            help: "steps of Adam per block for the steps of activations",
            default: Default::Int(5_000),
            range: ParamRange::Int(0, 1_000_000),
        },
        BATCH,
        LAMBDA,
        step_rate(4e-4),
        AFFINE,
    ],
    departures: &[
        "plain squared error, as in the released script, instead of the Fisher diagonal",
        "grids and losses have exponent 2 instead of 2.4",
        "no mixed precision",
    ],
};

impl Recipe for Brecq {
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
        let steps = Steps::Afterwards {
            iterations: job.int("activation_iterations") as usize,
            rate: job.float("step_rate"),
        };
        let settings = settings(job, CARD.name, Reach::Block, steps, 0.0);
        reconstruct(job, data.images(), &settings, cx)
    }
}
