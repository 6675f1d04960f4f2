//! What the methods that reconstruct outputs have in common: their parameters.

use quantbench_core::card::{Default, Param, ParamRange};

use crate::contract::Job;
use crate::parts::ranges::WeightStyle;
use crate::parts::reconstruct::{Reach, Rounds, Settings, Steps, Teach};

/// The parameter by which weights get their grid; affine, as the released code of these methods.
pub(super) const AFFINE: Param = Param { default: Default::Text("affine"), ..super::WEIGHTS };

/// Images per iteration.
pub(super) const BATCH: Param = Param {
    name: "batch",
    help: "images per iteration",
    default: Default::Int(32),
    range: ParamRange::Int(1, 1024),
};

/// Weight of the regulariser.
pub(super) const LAMBDA: Param = Param {
    name: "lambda",
    help: "weight of the regulariser that drives each weight to one of its two neighbours",
    default: Default::Float(0.01),
    range: ParamRange::Float(0.0, 10.0),
};

/// Probability of float.
pub(super) const DROP: Param = Param {
    name: "drop",
    help: "probability with which a number of an activation stays in float",
    default: Default::Float(0.5),
    range: ParamRange::Float(0.0, 1.0),
};

/// Iterations per part.
pub(super) const fn iterations(count: i64) -> Param {
    Param {
        name: "iterations",
        help: "steps of Adam per layer or block",
        default: Default::Int(count),
        range: ParamRange::Int(1, 1_000_000),
    }
}

/// Learning rate of the steps of activations.
pub(super) const fn step_rate(rate: f64) -> Param {
    Param {
        name: "step_rate",
        help: "learning rate of the steps of activations at the start; it falls along a cosine",
        default: Default::Float(rate),
        range: ParamRange::Float(0.0, 1.0),
    }
}

/// How roundings are learned: Adam at 1e-3, a fifth of the iterations without the regulariser, its
/// exponent from 20 to 2.
pub(super) fn rounds(job: &Job<'_>) -> Rounds {
    Rounds { rate: 1e-3, lambda: job.float("lambda"), warm_up: 0.2, beta: (20.0, 2.0) }
}

/// The settings of a job that learns roundings.
pub(super) fn settings(
    job: &Job<'_>,
    method: &'static str,
    reach: Reach,
    steps: Steps,
    drop: f32,
) -> Settings {
    Settings {
        method,
        reach,
        iterations: job.int("iterations") as usize,
        batch: job.int("batch") as usize,
        teach: Teach::Rounding(rounds(job)),
        steps,
        drop,
        difference: None,
        correction: None,
        style: WeightStyle::from_name(job.choice("weights")),
    }
}
