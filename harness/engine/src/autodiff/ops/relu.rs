//! Rectified linear unit.

use pulp::Simd;

use super::WherePositive;
use crate::autodiff::kernels::pointwise::{self, Pointwise};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// `max(x, 0)` of maps; the gradient passes where the output is above zero.
pub fn relu(tape: &mut Tape, input: Var) -> Var {
    let x = tape.map(input);
    let mut y = x.device().dirty(x.shape());
    pointwise::apply(Positive, [x], &mut y);
    tape.push(&[input], Value::Map(y), Relu(input))
}

struct Relu(Var);

impl Op for Relu {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(mut gradient) = gradient else { return };
        pointwise::update(WherePositive, &mut gradient, [back.output()]);
        back.give(self.0, Value::Map(gradient));
    }
}

#[derive(Clone, Copy)]
struct Positive;

impl Pointwise<1> for Positive {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [x]: [S::f32s; 1]) -> S::f32s {
        simd.max_f32s(x, simd.splat_f32s(0.0))
    }
}
