//! # What it does
//! Trains the network with weights and activations rounded in simulation; ranges follow what is
//! seen: extremes of the weights in each step, moving averages of the extremes of activations.
//!
//! # When to use it
//! At 8 bits, where it recovers what calibration leaves; below 4 bits ranges should be trained
//! (`lsq`, `pact`).
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `average` (0.01): share of a batch's extremes in the moving ones.
//! - `frozen` (0.1): share of the steps, the last ones, in which ranges stay as they are.
//! - `epochs` (10), `batch` (128), `rate` (1e-4), `schedule` (`cosine`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Weights have a scale per output channel, as in Krishnamoorthi 2018. With those, folding batch
//! norm before rounding, which the paper does in every step, gives the same codes as folding it
//! after training, which is done here. Training starts from the FP32 network with ranges of the
//! first batch, so that no delay is needed. Biases are stored as the exported file needs them.
//!
//! # Reference
//! B. Jacob et al., "Quantization and training of neural networks for efficient
//! integer-arithmetic-only inference", CVPR 2018, arXiv:1712.05877, section 3; R. Krishnamoorthi,
//! "Quantizing deep convolutional networks for efficient inference", 2018, arXiv:1806.08342.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::grid::{SignedRange, symmetric_scale};
use quantbench_core::{Bits, Grid, QuantTensor, Tensor};
use quantbench_engine::autodiff::ops::{Affine, fake_quantize, with_slopes};
use quantbench_engine::autodiff::{Map, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Trained, Training, ValueGrid, ValueStart, WeightGrid, WeightStart, constant, params,
    rows, train,
};

/// Training with simulated rounding.
pub struct Jacob;

static CARD: Card = Card {
    name: "jacob",
    version: 1,
    family: Family::DataDependent,
    summary: "trains through simulated rounding, with ranges that follow what is seen",
    when: "8 bits, where calibration alone loses accuracy",
    paper: "B. Jacob et al., Quantization and training of neural networks for efficient \
            integer-arithmetic-only inference, CVPR 2018, arXiv:1712.05877",
    cite: "jacob2018quantization",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: true,
    params: &[
        Param {
            name: "average",
            help: "share of a batch's extremes in the moving ones",
            default: Default::Float(0.01),
            range: ParamRange::Float(0.0, 1.0),
        },
        Param {
            name: "frozen",
            help: "share of the steps, the last ones, in which ranges stay as they are",
            default: Default::Float(0.1),
            range: ParamRange::Float(0.0, 1.0),
        },
        params::epochs(10),
        params::batch(128),
        params::rate(1e-4),
        params::schedule("cosine"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "weights have a scale per output channel (Krishnamoorthi 2018)",
        "training starts from the FP32 network with ranges of the first batch, without a delay",
        "the image's grid comes from the extremes of the first batch",
        "batch norm is folded after training, which gives the same codes",
    ],
};

impl Recipe for Jacob {
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
        let grids = Following { average: job.float("average") as f32, frozen: job.float("frozen") };
        train(job, &data, &how, &grids, cx)
    }
}

/// Ranges that follow what is seen.
struct Following {
    average: f32,
    frozen: f64,
}

impl Grids for Following {
    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        Ok(Box::new(Channels { axis: start.axis, bits: start.bits }))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        let ends = [start.least, start.most];
        let (average, frozen) = (self.average, self.frozen);
        Ok(Box::new(Moving { ends, average, frozen, bits: start.bits, still: false }))
    }
}

/// Weights up to the largest magnitude of each output channel.
struct Channels {
    axis: usize,
    bits: Bits,
}

impl Trained for Channels {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        // Nothing is cut off, so that every slope is one.
        let quantized = self.quantized(tape.flat(value), &[]).dequantize();
        Some(with_slopes(tape, value, quantized, None))
    }
}

impl WeightGrid for Channels {
    fn quantized(&self, weights: &Tensor, _: &[Tensor]) -> QuantTensor {
        let most = |row: &Vec<f32>| row.iter().fold(0f32, |m, w| m.max(w.abs()));
        let rows = rows(weights, self.axis);
        let scales = rows.iter().map(|row| symmetric_scale(most(row), self.bits)).collect();
        let grid = Grid::symmetric(scales, self.axis, self.bits, SignedRange::Restricted);
        grid.put(weights)
    }
}

/// A value within moving averages of its extremes.
struct Moving {
    ends: [f32; 2],
    average: f32,
    frozen: f64,
    bits: Bits,
    /// Whether the ends stay as they are.
    still: bool,
}

/// Smallest and largest number, zero among them.
fn extremes(map: &Map) -> [f32; 2] {
    let shape = map.shape();
    let mut ends = [0f32; 2];
    for image in 0..shape.images {
        let blocks = map.image(image).chunks(shape.pixels()).enumerate();
        for (block, pixels) in blocks {
            let lanes = shape.lanes(block);
            for v in pixels.iter().flat_map(|p| &p.0[..lanes]) {
                ends = [ends[0].min(*v), ends[1].max(*v)];
            }
        }
    }
    ends
}

impl Trained for Moving {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        if !self.still {
            let seen = extremes(tape.map(value));
            for (end, seen) in self.ends.iter_mut().zip(seen) {
                *end += self.average * (seen - *end);
            }
        }
        let grid = self.grid(&[]);
        let step = constant(tape, grid.scale[0]);
        let (zero_point, top) = (grid.zero_point[0], grid.code_range().1);
        fake_quantize(tape, value, step, Affine { zero_point, top, rate: 0.0, float: None })
    }

    fn begin(&mut self, step: usize, steps: usize) {
        self.still = step as f64 >= (1.0 - self.frozen) * steps as f64;
    }

    fn state(&self) -> Vec<f32> {
        self.ends.to_vec()
    }

    fn restore(&mut self, state: &[f32]) {
        self.ends.copy_from_slice(state);
    }
}

impl ValueGrid for Moving {
    fn grid(&self, _: &[Tensor]) -> Grid {
        Grid::activation(self.ends[0], self.ends[1], self.bits)
    }
}
