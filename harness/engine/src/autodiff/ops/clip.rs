//! Values cut off at two ends, as Relu6 does.

use pulp::Simd;

use crate::autodiff::kernels::pointwise::{self, Pointwise, Update};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// `min(max(x, low), high)` of maps; the gradient passes strictly between the ends.
pub fn clip(tape: &mut Tape, input: Var, low: f32, high: f32) -> Var {
    let x = tape.map(input);
    let mut y = x.device().dirty(x.shape());
    let ends = Ends { low, high };
    pointwise::apply(ends, [x], &mut y);
    tape.push(&[input], Value::Map(y), Clip { input, ends })
}

#[derive(Clone, Copy)]
struct Ends {
    low: f32,
    high: f32,
}

struct Clip {
    input: Var,
    ends: Ends,
}

impl Op for Clip {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(mut gradient) = gradient else { return };
        pointwise::update(self.ends, &mut gradient, [back.output()]);
        back.give(self.input, Value::Map(gradient));
    }
}

impl Pointwise<1> for Ends {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [x]: [S::f32s; 1]) -> S::f32s {
        simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(self.low)), simd.splat_f32s(self.high))
    }
}

impl Update<1> for Ends {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, gradient: S::f32s, [y]: [S::f32s; 1]) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let above = simd.greater_than_f32s(y, simd.splat_f32s(self.low));
        let below = simd.less_than_f32s(y, simd.splat_f32s(self.high));
        simd.select_f32s(above, simd.select_f32s(below, gradient, zero), zero)
    }
}
