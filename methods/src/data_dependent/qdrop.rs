//! # What it does
//! Reconstructs blocks as BRECQ does, with activations quantized while the rounding of weights is
//! learned, their steps learned along with it, and each number of an activation left in float with
//! a probability: weights get used to errors that differ from image to image.
//!
//! # When to use it
//! At 4 bits and below for both weights and activations, when minutes may be spent and no labels
//! are at hand; of the reconstructing methods the best there.
//!
//! # Inputs and cost
//! Unlabelled images, all in memory; for each block `iterations` forward and backward passes of
//! that block over `batch` images.
//!
//! # Parameters
//! - `iterations` (20,000): steps of Adam per block.
//! - `batch` (32): images per step, drawn with replacement.
//! - `lambda` (0.01): weight of the regulariser.
//! - `drop` (0.5): probability with which a number stays in float.
//! - `step_rate` (4e-5): learning rate of the steps of activations.
//! - `weights`: `affine` (default) or `symmetric`.
//!
//! # Differences from the paper
//! Ranges of activations come from all images at once. A block is what lies between two places
//! through which a single value passes.
//!
//! # Reference
//! X. Wei et al., "QDrop: Randomly dropping quantization for extremely low-bit post-training
//! quantization", ICLR 2022, arXiv:2203.05740, algorithm 1.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;

use super::reconstruction::{AFFINE, BATCH, DROP, LAMBDA, iterations, settings, step_rate};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Unlabelled;
use crate::parts::reconstruct::{Reach, Steps, reconstruct};

/// Block reconstruction with randomly dropped quantization.
pub struct QDrop;

static CARD: Card = Card {
    name: "qdrop",
    version: 1,
    family: Family::DataDependent,
    summary: "reconstructs blocks with activations that are quantized at random",
    when: "weights and activations of 4 bits and below, when minutes may be spent",
    paper: "X. Wei et al., QDrop: Randomly dropping quantization for extremely low-bit \
            post-training quantization, ICLR 2022, arXiv:2203.05740",
    cite: "wei2022qdrop",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[iterations(20_000), BATCH, LAMBDA, DROP, step_rate(4e-5), AFFINE],
    departures: &["ranges of activations come from all images at once instead of 256"],
};

impl Recipe for QDrop {
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
        let settings = settings(job, CARD.name, Reach::Block, steps, job.float("drop") as f32);
        reconstruct(job, data.images(), &settings, cx)
    }
}
