//! Weights that are learned: which way they are rounded, or they themselves with their grids.

use std::collections::BTreeMap;

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::optim::Parameters;
use quantbench_engine::autodiff::{Tape, Var};

use super::rounding::{Rounding, soften};
use super::settings::Teach;
use super::straight::Straight;

/// A weight tensor that is learned.
pub(super) enum Learnable {
    /// Its roundings.
    Soft(Rounding),
    /// It and its steps.
    Straight(Straight),
}

/// A tensor to learn, with its learning rate.
pub(super) struct Start {
    pub(super) name: String,
    pub(super) value: Tensor,
    pub(super) rate: f64,
}

/// Name of the variable of a weight's steps.
fn steps_of(name: &str) -> String {
    format!("steps of {name}")
}

impl Learnable {
    /// Of FP32 weights and their quantized form; none for grids that are not affine.
    pub(super) fn new(teach: &Teach, float: &Tensor, quantized: &QuantTensor) -> Option<Self> {
        match teach {
            Teach::Rounding(_) => Rounding::new(float, quantized).map(Learnable::Soft),
            Teach::Straight { .. } => Straight::new(float, quantized).map(Learnable::Straight),
        }
    }

    /// Its variables; the first stands in place of the weight.
    pub(super) fn starts(&self, name: &str, teach: &Teach) -> Vec<Start> {
        let rates = match teach {
            Teach::Rounding(rounds) => (rounds.rate, 0.0),
            Teach::Straight { rate, range_rate, .. } => (*rate, *range_rate),
        };
        let start = |name: String, value: Tensor, rate| Start { name, value, rate };
        match self {
            Learnable::Soft(soft) => vec![start(name.to_string(), soft.first.clone(), rates.0)],
            Learnable::Straight(straight) => vec![
                start(name.to_string(), straight.weights.clone(), rates.0),
                start(steps_of(name), straight.steps.clone(), rates.1 / straight.span()),
            ],
        }
    }

    /// The smallest values that a variable may have; none if it is not of this weight, or free.
    pub(super) fn smallest(&self, name: &str, variable: &str) -> Option<Vec<f32>> {
        match self {
            Learnable::Straight(straight) if variable == steps_of(name) => {
                Some(straight.smallest())
            }
            _ => None,
        }
    }

    /// The weights that the variables give, and the regulariser if there is one.
    pub(super) fn on_tape(
        &self,
        tape: &mut Tape,
        name: &str,
        variable: Var,
        vars: &BTreeMap<String, Var>,
        regulariser: Option<(f32, f32)>,
    ) -> (Var, Option<Var>) {
        match (self, vars.get(&steps_of(name))) {
            (Learnable::Soft(soft), _) => soften(tape, variable, soft, regulariser),
            (Learnable::Straight(straight), Some(steps)) => {
                (straight.on_tape(tape, variable, *steps), None)
            }
            // Both variables are put on the tape together.
            (Learnable::Straight(_), None) => (variable, None),
        }
    }

    /// The quantized weights at the end, and the share of them that had not decided.
    pub(super) fn harden(&self, name: &str, learned: &Parameters) -> Option<(QuantTensor, f64)> {
        let value = |name: &str| Some(learned.all()[learned.find(name)?].value());
        match self {
            Learnable::Soft(soft) => Some(soft.harden(value(name)?)),
            Learnable::Straight(straight) => {
                Some((straight.harden(value(name)?, value(&steps_of(name))?), 0.0))
            }
        }
    }
}
