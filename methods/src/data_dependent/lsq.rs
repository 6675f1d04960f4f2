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

use std::collections::BTreeMap;

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, Tensor};
use quantbench_engine::autodiff::ops::{Affine, Ends, fake_quantize, fake_quantize_flat};
use quantbench_engine::autodiff::optim::Momentum;
use quantbench_engine::autodiff::{Map, Tape, Value, Var};
use quantbench_graph::{Artefact, SiteKind};

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{Codes, Grids, Training, train};

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
        Param {
            name: "epochs",
            help: "passes over the training images",
            default: Default::Int(90),
            range: ParamRange::Int(1, 10_000),
        },
        Param {
            name: "batch",
            help: "images per step",
            default: Default::Int(128),
            range: ParamRange::Int(1, 65_536),
        },
        Param {
            name: "rate",
            help: "learning rate at the start; it falls along a cosine to zero",
            default: Default::Float(0.01),
            range: ParamRange::Float(0.0, 10.0),
        },
        Param {
            name: "weight_decay",
            help: "weight decay of all parameters but the steps",
            default: Default::Float(1e-4),
            range: ParamRange::Float(0.0, 1.0),
        },
        Param {
            name: "augment",
            help: "random crops with an eighth of the side as zeros around the image, and mirroring",
            default: Default::Bool(true),
            range: ParamRange::Switch,
        },
    ],
    departures: &[
        "all readers of a value share the step of its grid",
        "the image's grid comes from the extremes of the first batch and is not trained",
        "weight decay is the same at all widths",
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
        let how = Training {
            epochs: job.int("epochs") as usize,
            batch: job.int("batch") as usize,
            rate: job.float("rate"),
            warm_up: 0,
            momentum: Momentum::Heavy(0.9),
            weight_decay: job.float("weight_decay"),
            smoothing: 0.0,
            augment: job.switch("augment"),
        };
        let image = job.sites.activations.iter().find(|s| s.kind == SiteKind::Image);
        let mut steps = Steps { image: image.map(|s| s.value.clone()), ..Steps::default() };
        train(job, &data, &how, &mut steps, cx)
    }
}

/// Grids with a step each.
#[derive(Default)]
struct Steps {
    image: Option<String>,
    weights: BTreeMap<String, Step>,
    values: BTreeMap<String, Step>,
}

/// A grid `s (low ..= high)`.
#[derive(Debug, Clone, Copy)]
struct Step {
    first: f32,
    low: i32,
    high: i32,
    bits: Bits,
    /// What the step's gradient is multiplied with: `1 / sqrt(numbers * high)`.
    rate: f32,
    trained: bool,
}

impl Step {
    /// With the step `2 mean|v| / sqrt(high)`.
    fn new(low: i32, high: i32, bits: Bits, mean: f64, numbers: usize) -> Self {
        let top = f64::from(high.max(1));
        let first = (2.0 * mean / top.sqrt()) as f32;
        let rate = 1.0 / (numbers.max(1) as f64 * top).sqrt();
        let first = if first > 0.0 { first } else { 1.0 };
        Self { first, low, high, bits, rate: rate as f32, trained: true }
    }

    fn affine(&self) -> Affine {
        Affine { zero_point: -self.low, top: self.high - self.low, rate: self.rate, float: None }
    }

    fn ends(&self) -> Ends {
        Ends { low: self.low, high: self.high, rate: self.rate }
    }

    /// The step on the tape, or what it began with.
    fn var(&self, tape: &mut Tape, name: &str, vars: &BTreeMap<String, Var>) -> Var {
        match vars.get(name) {
            Some(var) => *var,
            None => tape.constant(Value::Flat(Tensor::new(vec![1], vec![self.first]))),
        }
    }

    fn now(&self, name: &str, parameters: &BTreeMap<String, Tensor>) -> f32 {
        parameters.get(name).map_or(self.first, |t| t.data[0])
    }
}

/// Signed ends: a code more below zero than above.
fn signed(bits: Bits) -> (i32, i32) {
    let half = 1 << (bits.get() - 1);
    (-half, half - 1)
}

fn weight_name(name: &str) -> String {
    format!("step of weight {name}")
}

fn value_name(name: &str) -> String {
    format!("step of value {name}")
}

impl Grids for Steps {
    fn start_weight(&mut self, name: &str, weights: &Tensor, bits: Bits) {
        let (low, high) = signed(bits);
        let sum: f64 = weights.data.iter().map(|w| f64::from(w.abs())).sum();
        let mean = sum / weights.data.len().max(1) as f64;
        let step = Step::new(low, high, bits, mean, weights.data.len());
        self.weights.entry(name.to_string()).or_insert(step);
    }

    fn start_value(&mut self, name: &str, seen: &Map, bits: Bits) {
        let tensor = seen.to_tensor();
        let (mut sum, mut least, mut most) = (0f64, 0f32, 0f32);
        for v in &tensor.data {
            sum += f64::from(v.abs());
            least = least.min(*v);
            most = most.max(*v);
        }
        let mean = sum / tensor.data.len().max(1) as f64;
        let numbers = tensor.data.len() / seen.shape().images.max(1);
        let top = (1i32 << bits.get()) - 1;
        let step = if self.image.as_deref() == Some(name) {
            let grid = Grid::activation(least, most, bits);
            let zero = grid.zero_point[0];
            let fixed = Step::new(-zero, top - zero, bits, mean, numbers);
            Step { first: grid.scale[0], trained: false, ..fixed }
        } else if least < 0.0 {
            let (low, high) = signed(bits);
            Step::new(low, high, bits, mean, numbers)
        } else {
            Step::new(0, top, bits, mean, numbers)
        };
        self.values.insert(name.to_string(), step);
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        let one = |v: f32| Tensor::new(vec![1], vec![v]);
        let weights = self.weights.iter().map(|(n, s)| (weight_name(n), one(s.first)));
        let values = self.values.iter().filter(|(_, s)| s.trained);
        weights.chain(values.map(|(n, s)| (value_name(n), one(s.first)))).collect()
    }

    fn weight(&self, tape: &mut Tape, name: &str, value: Var, vars: &BTreeMap<String, Var>) -> Var {
        let Some(grid) = self.weights.get(name) else { return value };
        let step = grid.var(tape, &weight_name(name), vars);
        fake_quantize_flat(tape, value, step, grid.ends()).unwrap_or(value)
    }

    fn value(&self, tape: &mut Tape, name: &str, value: Var, vars: &BTreeMap<String, Var>) -> Var {
        let Some(grid) = self.values.get(name) else { return value };
        let step = grid.var(tape, &value_name(name), vars);
        fake_quantize(tape, value, step, grid.affine()).unwrap_or(value)
    }

    fn codes(
        &self,
        name: &str,
        weights: &Tensor,
        parameters: &BTreeMap<String, Tensor>,
    ) -> Option<Codes> {
        let grid = self.weights.get(name)?;
        let s = grid.now(&weight_name(name), parameters);
        let (low, high) = (grid.low as f32, grid.high as f32);
        let code = |w: &f32| (w / s).clamp(low, high).round_ties_even() as i32;
        let each = weights.data.iter().map(code).collect();
        Some(Codes { each, scale: vec![s], low: grid.low, high: grid.high })
    }

    fn values(&self, parameters: &BTreeMap<String, Tensor>) -> BTreeMap<String, Grid> {
        let grid = |name: &str, step: &Step| Grid {
            levels: Levels::Affine { qmin: 0, qmax: step.high - step.low },
            bits: step.bits,
            granularity: Granularity::Tensor,
            scale: vec![step.now(&value_name(name), parameters)],
            zero_point: vec![-step.low],
        };
        self.values.iter().map(|(n, s)| (n.clone(), grid(n, s))).collect()
    }
}
