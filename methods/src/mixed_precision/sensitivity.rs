//! # What it does
//! Measures how much each layer suffers from each width, then takes the widths with the smallest
//! total under a budget. A layer's sensitivity is the Kullback-Leibler divergence between the FP32
//! network's softmax and that of the network with only this layer's weights quantized (activations
//! in FP32), averaged over images. The budget is what the spec's uniform widths would cost.
//!
//! # When to use it
//! When some layers need more bits than others and the target can mix widths. At the smallest
//! width nothing is left to choose: the budget of uniform 2 bits is met by 2 bits everywhere. At
//! 8 bits every layer gets the largest width.
//!
//! # Inputs and cost
//! Unlabelled images: activation ranges from all of them, sensitivities from the first
//! `images_for_kl`. Per free layer five passes over those from this layer to the end of the
//! network, none where the budget leaves no choice. No training. The front of all allocations that
//! no other beats is recorded as evidence (64 points of it), with the sensitivities.
//!
//! # Parameters
//! - `budget`: `size` (default; bits of weights) or `bit-operations` (weight bits x activation
//!   bits x multiply-accumulates), over the layers that the spec leaves free.
//! - `mean_bits` (bits, 0 to 8, default 0): mean weight width that the budget pays for, weighted
//!   by what the budget counts; 0 takes the spec's uniform width. Below 2 nothing is feasible.
//! - `images_for_kl` (images, 1 to 100000, default 256).
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! Sensitivities are measured on calibration images instead of distilled ones (ZeroQ) and the
//! widths are 2, 3, 4, 6, 8 instead of 2, 4, 8. Total sensitivity is minimised exactly by dynamic
//! programming; ZeroQ's search was not released. Ranges by mean squared error, not min-max.
//! Activations keep the spec's width.
//!
//! # Reference
//! Y. Cai et al., "ZeroQ: a novel zero shot quantization framework", CVPR 2020, arXiv:2001.00281,
//! section 3.2.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::Artefact;

use super::{BUDGET, MEAN_BITS, quantize_weights};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::data_dependent::WEIGHTS;
use crate::grant::Unlabelled;
use crate::parts::calibrate::{First, activation_grids};
use crate::parts::ranges::Mse;

/// Sensitivity-based mixed precision.
pub struct Sensitivity;

static CARD: Card = Card {
    name: "sensitivity",
    version: 2,
    family: Family::MixedPrecision,
    summary: "chooses a width per layer by the divergence that its quantization alone causes, \
              under the budget of the uniform width",
    when: "when some layers need more bits than others and the target can mix widths; at 2 bits \
           and at 8 nothing is left to choose",
    paper: "Y. Cai et al., ZeroQ: a novel zero shot quantization framework, CVPR 2020, \
            arXiv:2001.00281",
    cite: "cai2020zeroq",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        BUDGET,
        MEAN_BITS,
        Param {
            name: "images_for_kl",
            help: "images on which sensitivities are measured: the first of the draw",
            default: Default::Int(256),
            range: ParamRange::Int(1, 100_000),
        },
        WEIGHTS,
    ],
    departures: &[
        "sensitivities from calibration images instead of distilled ones",
        "widths 2, 3, 4, 6, 8 instead of 2, 4, 8, allocated exactly by dynamic programming",
        "ranges by mean squared error instead of min-max",
        "activations keep the spec's width",
    ],
};

impl Recipe for Sensitivity {
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
        let count = usize::try_from(job.int("images_for_kl")).unwrap_or(1);
        let some = First { images: data.images(), count };
        let quantized = quantize_weights(job, CARD.name, || &some, cx)?;
        let activations = activation_grids(job.graph, job.sites, data.images(), &Mse, cx)?;
        Ok(Artefact {
            graph: job.graph.clone(),
            weights: quantized.weights,
            activations,
            notes: quantized.notes,
        })
    }
}
