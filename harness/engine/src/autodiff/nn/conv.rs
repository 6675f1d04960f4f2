//! Convolution.

use super::{Init, OnTape};
use crate::autodiff::kernels::plan::Window;
use crate::autodiff::ops;
use crate::autodiff::optim::OptimError;
use crate::autodiff::tape::{Tape, Var};

/// Maps convolved with weights `[outputs, inputs of the group, rows, columns]`, plus a bias.
#[derive(Debug, Clone)]
pub struct Conv {
    weight: usize,
    bias: Option<usize>,
    window: Window,
    groups: usize,
}

impl Conv {
    /// With parameters `<name>.weight` and, if asked, `<name>.bias`; `groups` divides both numbers
    /// of channels.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(
        init: &mut Init<'_>,
        name: &str,
        (inputs, outputs): (usize, usize),
        window: Window,
        groups: usize,
        bias: bool,
    ) -> Result<Self, OptimError> {
        let per_group = inputs / groups.max(1);
        let dims = [outputs, per_group, window.kernel[0], window.kernel[1]];
        let fan = per_group * window.taps();
        let weight = init.uniform(&format!("{name}.weight"), &dims, fan)?;
        let bias = bias.then(|| init.uniform(&format!("{name}.bias"), &[outputs], fan));
        Ok(Self { weight, bias: bias.transpose()?, window, groups })
    }

    /// The layer's output; none if the input does not fit.
    pub fn run(&self, tape: &mut Tape, on: &OnTape, input: Var) -> Option<Var> {
        let bias = self.bias.and_then(|bias| on.get(bias));
        ops::conv(tape, input, on.get(self.weight)?, bias, self.window, self.groups)
    }
}
