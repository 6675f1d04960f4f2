//! # What it does
//! Trains the network with weights on levels that a hyperbolic tangent spreads over [-1, 1], and
//! with activations cut off at one and rounded; gradients pass the rounding as if it were not there.
//!
//! # When to use it
//! As the simplest baseline of quantization-aware training: nothing but the network is trained.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `epochs` (200), `batch` (128), `rate` (0.1), `schedule` (`steps`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Training starts from the FP32 network, and gradients are not quantized. Levels of weights are
//! multiplied by a constant per layer, so that their mean magnitude is that of the FP32 weights;
//! where a batch norm follows this changes nothing. The rule for first and last layers is the
//! spec's (in the paper they stay in FP32). A value that can be negative is cut off at both ends.
//!
//! # Reference
//! S. Zhou et al., "DoReFa-Net: training low bitwidth convolutional neural networks with low
//! bitwidth gradients", 2016, arXiv:1606.06160, equations 5, 7, 9 and 10.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Still, TanhWeights, Training, ValueGrid, ValueStart, WeightGrid, WeightStart, params,
    signed_codes, top_code, train,
};

/// DoReFa-Net.
pub struct DoReFa;

static CARD: Card = Card {
    name: "dorefa",
    version: 1,
    family: Family::DataDependent,
    summary: "trains weights through a hyperbolic tangent and activations cut off at one",
    when: "as the simplest baseline of quantization-aware training",
    paper: "S. Zhou et al., DoReFa-Net: training low bitwidth convolutional neural networks with \
            low bitwidth gradients, 2016, arXiv:1606.06160",
    cite: "zhou2016dorefa",
    widths: WidthRange { weights: (1, 8), ternary: false, activations: (1, 8) },
    granularity: "weights per tensor, without zero (per output channel once batch norm is folded), \
                  activations per tensor",
    stochastic: true,
    params: &[
        params::epochs(200),
        params::batch(128),
        params::rate(0.1),
        params::schedule("steps"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "training starts from the FP32 network, gradients are not quantized",
        "levels of weights are multiplied by a constant per layer",
        "the image's grid comes from the extremes of the first batch",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for DoReFa {
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
        train(job, &data, &how, &Bounded, cx)
    }
}

/// Weights through a tangent, activations up to one.
struct Bounded;

impl Grids for Bounded {
    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        Ok(Box::new(TanhWeights::new(start)))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        let top = if start.signed() { signed_codes(start.bits).1 } else { top_code(start.bits) };
        Ok(Box::new(Still::with_step(1.0 / top.max(1) as f32, start)))
    }
}
