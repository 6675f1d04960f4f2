//! # What it does
//! The same as `sensitivity` without an image: the sensitivities are measured on Gaussian noise,
//! and the ranges of activations come from the same noise or from batch-norm statistics.
//!
//! # When to use it
//! When no image may be used and the target can mix widths, and as the floor of every method that
//! makes better images. On small networks for CIFAR-10 noise calibrates almost as well as images,
//! so that such a network is a weak test of it; expect less of deep ones.
//!
//! # Inputs and cost
//! The model alone. As `sensitivity` with as many images, which it makes itself; each is counted
//! once. No training. The result depends on the seed.
//!
//! # Parameters
//! - `budget`: `size` (default; bits of weights) or `bit-operations` (weight bits x activation
//!   bits x multiply-accumulates), over the layers that the spec leaves free.
//! - `mean_bits` (bits, 0 to 8, default 0): mean weight width that the budget pays for, weighted
//!   by what the budget counts; 0 takes the spec's uniform width. Below 2 nothing is feasible.
//! - `images` (images, 1 to 100000, default 256): noise images.
//! - `noise`: `matched` (default) or `standard`, see below.
//! - `ranges`: `noise` (default; by mean squared error, the image included) or `statistics`
//!   (batch norms alone, as squant does, the image in FP32).
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! ZeroQ starts from noise of mean 0 and deviation 1 and then distils it until every batch norm
//! sees its statistics; here the noise stays noise. `standard` is the paper's start. It presumes
//! a network that reads normalised images: one that reads bytes from 0 to 255 would see a grey
//! image of next to no contrast. A data-free method knows no preprocessing, but the first batch
//! norm does: with `matched` the noise gets the mean per channel and the deviation under which the
//! first conv's outputs have the mean (least squares) and total variance of its batch norm. Pixels
//! stay independent, which those of photographs are not, so that smooth filters of the first
//! layer see too little and edge filters too much. Without a batch norm behind the first conv it
//! falls back to `standard` and says so. The rest as on the card of `sensitivity`.
//!
//! # Reference
//! Y. Cai et al., "ZeroQ: a novel zero shot quantization framework", CVPR 2020, arXiv:2001.00281,
//! sections 3.1 and 3.2.

use std::collections::BTreeMap;

use quantbench_core::Grid;
use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::{BUDGET, MEAN_BITS, quantize_weights};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::data_dependent::WEIGHTS;
use crate::data_free::squant;
use crate::grant::NoData;
use crate::parts::calibrate::activation_grids;
use crate::parts::noise::{Level, Noise};
use crate::parts::ranges::Mse;

/// Sensitivity-based mixed precision without data.
pub struct SensitivityNoise;

/// SQuant's defaults: the paper's clips, and the largest value four deviations above the mean.
const SIGMAS: (f64, f64) = (0.0, 4.0);

static CARD: Card = Card {
    name: "sensitivity-noise",
    version: 1,
    family: Family::MixedPrecision,
    summary: "chooses a width per layer by the divergence that its quantization alone causes on \
              Gaussian noise, under the budget of the uniform width",
    when: "when no image may be used and the target can mix widths; small CIFAR-10 networks are a \
           weak test of it, because noise calibrates almost as well as images there",
    paper: "Y. Cai et al., ZeroQ: a novel zero shot quantization framework, CVPR 2020, \
            arXiv:2001.00281",
    cite: "cai2020zeroq",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[
        BUDGET,
        MEAN_BITS,
        Param {
            name: "images",
            help: "noise images that the method makes",
            default: Default::Int(256),
            range: ParamRange::Int(1, 100_000),
        },
        Param {
            name: "noise",
            help: "mean and deviation of the noise: those that the first batch norm expects, or 0 \
                   and 1",
            default: Default::Text("matched"),
            range: ParamRange::Choice(&["matched", "standard"]),
        },
        Param {
            name: "ranges",
            help: "where ranges of activations come from: the noise, or batch norms alone",
            default: Default::Text("noise"),
            range: ParamRange::Choice(&["noise", "statistics"]),
        },
        WEIGHTS,
    ],
    departures: &[
        "noise instead of distilled images",
        "mean and deviation of the noise from the first batch norm instead of 0 and 1",
        "widths 2, 3, 4, 6, 8 instead of 2, 4, 8, allocated exactly by dynamic programming",
        "ranges by mean squared error instead of min-max",
        "activations keep the spec's width",
    ],
};

impl Recipe for SensitivityNoise {
    type Data = NoData;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        _data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let mut notes = Vec::new();
        let count = usize::try_from(job.int("images")).unwrap_or(1);
        let level = level(job, &mut notes)?;
        let noise = Noise::new(job.graph.image_dims(), count, level, &mut cx.rng);
        let quantized = quantize_weights(job, CARD.name, || &noise, cx)?;
        notes.splice(0..0, quantized.notes);
        let activations: BTreeMap<String, Grid> = if job.choice("ranges") == "statistics" {
            squant::activations(job, CARD.name, SIGMAS, &mut notes)?
        } else {
            activation_grids(job.graph, job.sites, &noise, &Mse, cx)?
        };
        cx.synthetic_images = noise.made();
        Ok(Artefact { graph: job.graph.clone(), weights: quantized.weights, activations, notes })
    }
}

/// Mean and deviation of the noise.
fn level(job: &Job<'_>, notes: &mut Vec<String>) -> Result<Level, MethodError> {
    let standard = Level::standard(job.graph.image_dims().first().copied().unwrap_or(1));
    if job.choice("noise") == "standard" {
        return Ok(standard);
    }
    if let Some(level) = Level::matched(job)? {
        let mean: Vec<String> = level.mean.iter().map(|m| format!("{m:.3}")).collect();
        notes.push(format!(
            "noise of mean {} and deviation {:.3}, from the first batch norm",
            mean.join(", "),
            level.std
        ));
        return Ok(level);
    }
    notes.push(
        "no batch norm behind a first conv on the image: noise of mean 0 and deviation 1, as if \
         the model read normalised images"
            .to_string(),
    );
    Ok(standard)
}
