//! # What it does
//! Reconstructs blocks as QDrop does, and asks besides that the network's output stays that of the
//! FP32 network when all up to the block is quantized and the rest is in float. The FP32 activations
//! that blocks learn from are moved a little towards the moments that batch norms know, so that a
//! small calibration set is overfitted less.
//!
//! # When to use it
//! At 2 bits for weights or activations, when hours may be spent and no labels are at hand; above,
//! QDrop does as well at a fraction of the cost.
//!
//! # Inputs and cost
//! Unlabelled images, all in memory; for each block `iterations` forward and backward passes of that
//! block twice and of the network behind it once, over `batch` images, and for each batch of the
//! images `correction_iterations` passes of the block with its batch norms.
//!
//! # Parameters
//! - `iterations` (20,000): steps of Adam per block.
//! - `batch` (32): images per step, drawn with replacement, and per correction.
//! - `lambda` (0.01): weight of the regulariser of rounding.
//! - `rounding_rate` (3e-3): learning rate of rounding.
//! - `drop` (0.5): probability with which a number stays in float.
//! - `step_rate` (4e-5): learning rate of the steps of activations.
//! - `temperature` (4): of the outputs that are compared.
//! - `block_weight` (0.1): weight of the block's squared error beside the outputs' divergence.
//! - `correction_iterations` (500): steps of Adam per batch by which activations are corrected; 0
//!   leaves them.
//! - `correction_rate` (1e-3): their learning rate; it falls where the loss stands still.
//! - `correction_freedom` (0.02): what the squared distance of corrected activations from the
//!   original ones is divided by.
//! - `weights`: `affine` (default) or `symmetric`.
//!
//! # Differences from the paper
//! Ranges of activations come from all images at once. A block is what lies between two places
//! through which a single value passes. Where the network has no batch norms left, or a block cannot
//! be cut out with them, its activations are not corrected. As in the released code the divergence
//! is divided by the weight of the squared error, instead of the error being multiplied.
//!
//! # Reference
//! J. Liu et al., "PD-Quant: Post-training quantization based on prediction difference metric",
//! CVPR 2023, arXiv:2212.07048, equations 4 to 9; defaults from the released code.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::reconstruction::{AFFINE, BATCH, DROP, LAMBDA, iterations, rounds, settings, step_rate};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::reconstruct::{
    Correction, Difference, Reach, Rounds, Settings, Steps, Teach, reconstruct,
};

/// Block reconstruction with the difference of predictions.
pub struct PdQuant;

/// A real parameter.
const fn float(
    name: &'static str,
    help: &'static str,
    default: f64,
    (low, high): (f64, f64),
) -> Param {
    Param { name, help, default: Default::Float(default), range: ParamRange::Float(low, high) }
}

static CARD: Card = Card {
    name: "pd-quant",
    version: 1,
    family: Family::DataDependent,
    summary: "reconstructs blocks so that the network's predictions stay those in float",
    when: "2 bits for weights or activations, when hours may be spent",
    paper: "J. Liu et al., PD-Quant: Post-training quantization based on prediction difference \
            metric, CVPR 2023, arXiv:2212.07048",
    cite: "liu2023pdquant",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[
        iterations(20_000),
        BATCH,
        LAMBDA,
        float("rounding_rate", "learning rate of rounding", 3e-3, (0.0, 1.0)),
        DROP,
        step_rate(4e-5),
        float("temperature", "temperature of the outputs that are compared", 4.0, (0.1, 100.0)),
        float(
            "block_weight",
            "weight of the block's squared error beside the outputs' divergence",
            0.1,
            (1e-6, 1e6),
        ),
        Param {
            name: "correction_iterations",
            help: "steps of Adam per batch by which activations are corrected; 0 leaves them",
            default: Default::Int(500),
            range: ParamRange::Int(0, 1_000_000),
        },
        float("correction_rate", "learning rate of the correction at the start", 1e-3, (0.0, 1.0)),
        float(
            "correction_freedom",
            "what the squared distance of corrected activations is divided by",
            0.02,
            (1e-6, 1e6),
        ),
        AFFINE,
    ],
    departures: &[
        "ranges of activations come from all images at once instead of 256",
        "activations of a block without batch norms are not corrected",
        "a block is what lies between two places through which a single value passes",
    ],
};

impl Recipe for PdQuant {
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
        let steps = Steps::Together { rate: job.float("step_rate") };
        let base = settings(job, CARD.name, Reach::Block, steps, job.float("drop") as f32);
        let rounds = Rounds { rate: job.float("rounding_rate"), ..rounds(job) };
        let settings = Settings {
            teach: Teach::Rounding(rounds),
            difference: Some(Difference {
                weight: 1.0 / job.float("block_weight"),
                temperature: job.float("temperature"),
            }),
            correction: Some(Correction {
                iterations: job.int("correction_iterations") as usize,
                rate: job.float("correction_rate"),
                freedom: job.float("correction_freedom"),
            }),
            ..base
        };
        reconstruct(job, data.images(), &settings, cx)
    }
}
