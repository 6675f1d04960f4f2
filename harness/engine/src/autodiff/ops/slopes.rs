//! Values that come with their slopes: straight-through estimators.

use quantbench_core::Tensor;

use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// A tensor that was computed from `input` number by number, with the slope of each; none for one
/// everywhere.
pub fn with_slopes(tape: &mut Tape, input: Var, value: Tensor, slopes: Option<Vec<f32>>) -> Var {
    tape.push(&[input], Value::Flat(value), WithSlopes { input, slopes })
}

struct WithSlopes {
    input: Var,
    slopes: Option<Vec<f32>>,
}

impl Op for WithSlopes {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        if let Some(slopes) = &self.slopes {
            gradient.data.iter_mut().zip(slopes).for_each(|(g, s)| *g *= s);
        }
        back.give(self.input, Value::Flat(gradient));
    }
}
