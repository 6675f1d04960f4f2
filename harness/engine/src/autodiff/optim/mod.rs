//! Optimizers: how parameters follow their gradients, step by step.
//!
//! [`Parameters`] are named tensors in groups; an [`Optimizer`] owns them and changes them by a
//! [`Rule`], with the learning rate of a [`Schedule`]. Arithmetic is that of PyTorch 2 in FP32,
//! with sums in the order that the rules state, in plain loops without fused multiplications: the
//! same bits on every machine, and fast enough for the million numbers of a small network.

mod adam;
mod error;
mod parameters;
mod schedule;
mod sgd;
mod state;
#[cfg(test)]
mod tests;

use quantbench_core::Tensor;

pub use adam::{Adam, Decay};
pub use error::{OptimError, Tensors};
pub use parameters::{Group, Parameter, Parameters};
pub use schedule::{Schedule, ScheduleError, Shape};
pub use sgd::{Momentum, Sgd};

/// How a parameter follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Gradient descent, with or without momentum.
    Sgd(Sgd),
    /// Adam and AdamW.
    Adam(Adam),
}

/// Numbers of one update of one parameter.
#[derive(Debug, Clone, Copy)]
struct Update {
    /// Learning rate of the parameter's group.
    rate: f64,
    /// Weight decay of the group.
    weight_decay: f64,
    /// Updates of this parameter, this one included.
    count: u64,
}

/// What a rule remembers of a parameter. A rule that needs less leaves vectors empty.
#[derive(Debug, Clone, PartialEq)]
struct Memory {
    /// Updates so far; steps without a gradient are none.
    updates: u64,
    /// SGD: the momentum buffer. Adam: the mean of the gradients.
    first: Vec<f32>,
    /// Adam: the mean of the squared gradients.
    second: Vec<f32>,
}

impl Rule {
    /// The word for it in states and messages. SGD with momentum is another word, because it
    /// remembers more.
    fn word(&self) -> &'static str {
        match self {
            Rule::Sgd(Sgd { momentum: Momentum::None }) => "sgd",
            Rule::Sgd(_) => "sgd-momentum",
            Rule::Adam(_) => "adam",
        }
    }

    fn check(&self) -> Result<(), OptimError> {
        match self {
            Rule::Sgd(sgd) => sgd.check(),
            Rule::Adam(adam) => adam.check(),
        }
    }

    /// The memory of a parameter of `len` numbers before its first update.
    fn memory(&self, len: usize) -> Memory {
        let (first, second) = match self {
            Rule::Sgd(Sgd { momentum: Momentum::None }) => (0, 0),
            Rule::Sgd(_) => (len, 0),
            Rule::Adam(_) => (len, len),
        };
        Memory { updates: 0, first: vec![0.0; first], second: vec![0.0; second] }
    }

    fn update(&self, with: Update, value: &mut [f32], gradient: &[f32], memory: &mut Memory) {
        match self {
            Rule::Sgd(sgd) => sgd.update(with, value, gradient, memory),
            Rule::Adam(adam) => adam.update(with, value, gradient, memory),
        }
    }
}

/// Parameters in training: their values, and what the rule remembers of them.
#[derive(Debug, Clone)]
pub struct Optimizer {
    rule: Rule,
    parameters: Parameters,
    memory: Vec<Memory>,
    steps: u64,
}

impl Optimizer {
    /// Parameters before the first step.
    ///
    /// # Errors
    /// There are no parameters, or a number of the rule is out of its range.
    pub fn new(rule: Rule, parameters: Parameters) -> Result<Self, OptimError> {
        rule.check()?;
        if parameters.all().is_empty() {
            return Err(OptimError::NoParameters);
        }
        let memory = parameters.all().iter().map(|p| rule.memory(p.value().len())).collect();
        Ok(Self { rule, parameters, memory, steps: 0 })
    }

    /// The parameters with their values of now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Name and numbers of each parameter, to change them between steps: clipping, projection.
    /// What the rule remembers stays as it is.
    pub fn values_mut(&mut self) -> impl Iterator<Item = (&str, &mut [f32])> {
        self.parameters.all_mut().iter_mut().map(|p| (p.name.as_str(), p.value.data.as_mut_slice()))
    }

    /// Steps that were taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes one step. `gradients` are in the order of the parameters; a parameter without one
    /// stays as it is and forgets nothing, not even by weight decay. `rate` is the learning rate
    /// before the groups' factors.
    ///
    /// # Errors
    /// Gradients do not fit the parameters, the rate or a gradient is not finite: nothing was
    /// changed. Or a parameter is not finite after the step: training has diverged, and the
    /// parameters are of no more use. Messages count steps from 0, as [`Schedule::rate`] does.
    pub fn step(&mut self, gradients: &[Option<Tensor>], rate: f64) -> Result<(), OptimError> {
        let step = self.steps;
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(OptimError::Rate { rate, step });
        }
        self.fitting(gradients)?;
        let (groups, all) = self.parameters.split_mut();
        for ((parameter, memory), gradient) in all.iter_mut().zip(&mut self.memory).zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let group = &groups[parameter.group];
            memory.updates += 1;
            let with = Update {
                rate: rate * group.rate,
                weight_decay: group.weight_decay,
                count: memory.updates,
            };
            self.rule.update(with, &mut parameter.value.data, &gradient.data, memory);
            finite(Tensors::Parameter, &parameter.name, step, &parameter.value.data)?;
        }
        self.steps += 1;
        Ok(())
    }

    /// Whether there is a place for every gradient and all are finite.
    fn fitting(&self, gradients: &[Option<Tensor>]) -> Result<(), OptimError> {
        let all = self.parameters.all();
        if gradients.len() != all.len() {
            return Err(OptimError::Count { gradients: gradients.len(), parameters: all.len() });
        }
        for (parameter, gradient) in all.iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            if gradient.dims != parameter.value.dims || gradient.len() != parameter.value.len() {
                return Err(OptimError::Dims {
                    name: parameter.name.clone(),
                    gradient: gradient.dims.clone(),
                    parameter: parameter.value.dims.clone(),
                });
            }
            finite(Tensors::Gradient, &parameter.name, self.steps, &gradient.data)?;
        }
        Ok(())
    }
}

/// Whether all numbers are finite. The usual case is one pass that vectorises, because it does
/// not stop early.
fn finite(what: Tensors, name: &str, step: u64, values: &[f32]) -> Result<(), OptimError> {
    if values.iter().fold(true, |all, v| all & v.is_finite()) {
        return Ok(());
    }
    let at = values.iter().position(|v| !v.is_finite()).unwrap_or_default();
    Err(OptimError::NotFinite { what, name: name.to_string(), at, value: values[at], step })
}
