//! Fully connected layer.

use super::{Init, OnTape};
use crate::autodiff::ops;
use crate::autodiff::optim::OptimError;
use crate::autodiff::tape::{Tape, Var};

/// Vectors (maps of one pixel) times weights `[outputs, inputs]`, plus a bias.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: usize,
    bias: Option<usize>,
}

impl Linear {
    /// With parameters `<name>.weight` and, if asked, `<name>.bias`.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(
        init: &mut Init<'_>,
        name: &str,
        (inputs, outputs): (usize, usize),
        bias: bool,
    ) -> Result<Self, OptimError> {
        let weight = init.uniform(&format!("{name}.weight"), &[outputs, inputs], inputs)?;
        let bias = bias.then(|| init.uniform(&format!("{name}.bias"), &[outputs], inputs));
        Ok(Self { weight, bias: bias.transpose()? })
    }

    /// The layer's output; none if the input does not fit.
    pub fn run(&self, tape: &mut Tape, on: &OnTape, input: Var) -> Option<Var> {
        let bias = self.bias.and_then(|bias| on.get(bias));
        ops::linear(tape, input, on.get(self.weight)?, bias)
    }
}
