//! Parameters that all methods of the trainer share.

use quantbench_core::card::{Default, Param, ParamRange};
use quantbench_engine::autodiff::optim::{Adam, Momentum, Rule, Sgd};

use super::{Curriculum, Training};
use crate::contract::Job;

pub(crate) const fn epochs(default: i64) -> Param {
    Param {
        name: "epochs",
        help: "passes over the training images",
        default: Default::Int(default),
        range: ParamRange::Int(1, 10_000),
    }
}

pub(crate) const fn batch(default: i64) -> Param {
    Param {
        name: "batch",
        help: "images per step; what does not fill a batch is left out",
        default: Default::Int(default),
        range: ParamRange::Int(1, 65_536),
    }
}

pub(crate) const fn rate(default: f64) -> Param {
    Param {
        name: "rate",
        help: "learning rate at the start",
        default: Default::Float(default),
        range: ParamRange::Float(0.0, 10.0),
    }
}

pub(crate) const fn schedule(default: &'static str) -> Param {
    Param {
        name: "schedule",
        help: "how the learning rate falls: along a cosine, by a tenth at half and three quarters of \
               the epochs, along a line, or not at all",
        default: Default::Text(default),
        range: ParamRange::Choice(&["cosine", "steps", "linear", "constant"]),
    }
}

pub(crate) const WARM_UP: Param = Param {
    name: "warm_up",
    help: "epochs in which the learning rate rises",
    default: Default::Float(0.0),
    range: ParamRange::Float(0.0, 1000.0),
};

pub(crate) const fn weight_decay(default: f64) -> Param {
    Param {
        name: "weight_decay",
        help: "weight decay of the network's parameters",
        default: Default::Float(default),
        range: ParamRange::Float(0.0, 1.0),
    }
}

pub(crate) const SMOOTHING: Param = Param {
    name: "smoothing",
    help: "label smoothing",
    default: Default::Float(0.0),
    range: ParamRange::Float(0.0, 1.0),
};

pub(crate) const fn teacher(default: f64) -> Param {
    Param {
        name: "teacher",
        help: "share of the loss that is the divergence from the FP32 network's classes",
        default: Default::Float(default),
        range: ParamRange::Float(0.0, 1.0),
    }
}

pub(crate) const AUGMENT: Param = Param {
    name: "augment",
    help: "random crops with an eighth of the side as zeros around the image, and mirroring",
    default: Default::Bool(true),
    range: ParamRange::Switch,
};

/// Gradient descent with a momentum of 0.9.
pub(crate) fn sgd() -> Rule {
    Rule::Sgd(Sgd { momentum: Momentum::Heavy(0.9) })
}

/// Adam with its usual constants.
pub(crate) fn adam() -> Rule {
    Rule::Adam(Adam::default())
}

impl Training {
    /// What a job's parameters say.
    pub(crate) fn of(method: &'static str, job: &Job<'_>, rule: Rule) -> Self {
        Self {
            method,
            epochs: job.int("epochs") as usize,
            batch: job.int("batch") as usize,
            rule,
            rate: job.float("rate"),
            curriculum: match job.choice("schedule") {
                "steps" => Curriculum::Steps,
                "linear" => Curriculum::Linear,
                "constant" => Curriculum::Constant,
                _ => Curriculum::Cosine,
            },
            warm_up: job.float("warm_up"),
            weight_decay: job.float("weight_decay"),
            smoothing: job.float("smoothing") as f32,
            teacher: job.float("teacher") as f32,
            augment: job.switch("augment"),
        }
    }
}
