//! # What it does
//! Trains the network with weights and activations on uniform grids whose steps are trained along
//! with the weights, by a gradient that tells a step how rounding errors change with it.
//!
//! # When to use it
//! At 4 bits and below, when labelled training images are at hand and hours may be spent: the
//! yardstick of quantization-aware training.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `epochs` (90): passes over the images.
//! - `batch` (128): images per step; what does not fill a batch is left out.
//! - `rate` (0.01): learning rate at the start; it falls along a cosine to zero.
//! - `weight_decay` (1e-4): of all parameters but the steps.
//! - `schedule` (`cosine`), `warm_up` (0), `smoothing` (0), `teacher` (0): see the trainer.
//! - `augment` (`true`): random crops with an eighth of the side as zeros around the image (4 pixels
//!   of CIFAR's 32), and mirroring.
//!
//! # Differences from the paper
//! Quantizers of activations sit on values, so that all readers of a value share its step. A value
//! that can be negative has a grid around zero with a code more below; the image's grid comes from
//! the extremes of the first batch and is not trained. Weight decay is the same at all widths (the
//! paper halves it at 3 bits and quarters it at 2). Batch norm is folded after training: scales
//! become one per output channel.
//!
//! # Reference
//! S. Esser et al., "Learned step size quantization", ICLR 2020, arXiv:1902.08153, equations 1 to
//! 5 and section 2.2.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_core::{Bits, Grid, Tensor};
use quantbench_engine::autodiff::ops::{Affine, fake_quantize};
use quantbench_engine::autodiff::{Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Parameter, StepWeights, Trained, Training, ValueGrid, ValueStart, WeightGrid,
    WeightStart, affine, mean_abs, params, positive, signed_codes, step_parameter, step_rate,
    top_code, train,
};

/// Learned step size quantization.
pub struct Lsq;

static CARD: Card = Card {
    name: "lsq",
    version: 1,
    family: Family::DataDependent,
    summary: "trains weights and the steps of all grids together",
    when: "4 bits and below, with labelled training images and hours to spend",
    paper: "S. Esser et al., Learned step size quantization, ICLR 2020, arXiv:1902.08153",
    cite: "esser2020lsq",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per tensor (per output channel once batch norm is folded), activations \
                  per tensor",
    stochastic: true,
    params: &[
        params::epochs(90),
        params::batch(128),
        params::rate(0.01),
        params::schedule("cosine"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "all readers of a value share the step of its grid",
        "the image's grid comes from the extremes of the first batch and is not trained",
        "weight decay is the same at all widths",
        "layers that the first/last rule makes wider have the same grids",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for Lsq {
    type Data = Labelled;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let how = Training::of(CARD.name, job, params::sgd());
        train(job, &data, &how, &Steps, cx)
    }
}

/// Grids with a step each.
struct Steps;

impl Grids for Steps {
    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let (_, high) = signed_codes(start.bits);
        let step = 2.0 * start.mean_abs() / f64::from(high.max(1)).sqrt();
        Ok(Box::new(StepWeights::new(start, step)))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        let (low, high) =
            if start.signed() { signed_codes(start.bits) } else { (0, top_code(start.bits)) };
        let first = positive(2.0 * mean_abs(start.seen) / f64::from(high.max(1)).sqrt());
        let rate = step_rate(start.per_image, high);
        Ok(Box::new(Step { first, low, high, bits: start.bits, rate }))
    }
}

/// A value on `s (low ..= high)`.
struct Step {
    first: f32,
    low: i32,
    high: i32,
    bits: Bits,
    rate: f32,
}

impl Trained for Step {
    fn parameters(&self) -> Vec<Parameter> {
        vec![step_parameter(self.first)]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let (zero_point, top) = (-self.low, self.high - self.low);
        let grid = Affine { zero_point, top, rate: self.rate, float: None };
        fake_quantize(tape, value, *own.first()?, grid)
    }
}

impl ValueGrid for Step {
    fn grid(&self, own: &[Tensor]) -> Grid {
        affine(own[0].data[0], self.low, self.high, self.bits)
    }
}
