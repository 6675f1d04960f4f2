//! Sums of losses.

use quantbench_core::Tensor;

use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// The sum of numbers, each times a factor.
pub fn total(tape: &mut Tape, terms: &[(Var, f32)]) -> Var {
    let sum = terms.iter().map(|(v, f)| tape.scalar(*v) * f).sum();
    let inputs: Vec<Var> = terms.iter().map(|t| t.0).collect();
    let value = Value::Flat(Tensor::new(vec![1], vec![sum]));
    tape.push(&inputs, value, Total(terms.to_vec()))
}

struct Total(Vec<(Var, f32)>);

impl Op for Total {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        for (var, factor) in &self.0 {
            let data = vec![gradient.data[0] * factor];
            back.give(*var, Value::Flat(Tensor::new(vec![1], data)));
        }
    }
}
