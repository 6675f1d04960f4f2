//! Parameters on a tape.

use quantbench_core::Tensor;

use crate::autodiff::optim::Parameters;
use crate::autodiff::tape::{Gradients, Tape, Value, Var};

/// All parameters of a registry as values of a tape.
pub struct OnTape(Vec<Var>);

impl OnTape {
    /// Parameters that get gradients.
    pub fn trained(tape: &mut Tape, parameters: &Parameters) -> Self {
        Self(parameters.all().iter().map(|p| tape.parameter(p.value())).collect())
    }

    /// Parameters that get none.
    pub fn frozen(tape: &mut Tape, parameters: &Parameters) -> Self {
        let all = parameters.all().iter();
        Self(all.map(|p| tape.constant(Value::Flat(p.value().clone()))).collect())
    }

    /// The parameter at an index; none if there is none.
    pub fn get(&self, index: usize) -> Option<Var> {
        self.0.get(index).copied()
    }

    /// Takes the gradients in the order of the parameters, as an optimizer wants them.
    pub fn gradients(&self, gradients: &mut Gradients) -> Vec<Option<Tensor>> {
        self.0.iter().map(|var| gradients.flat(*var)).collect()
    }
}
