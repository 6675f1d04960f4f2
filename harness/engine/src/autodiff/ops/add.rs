//! Sum of two values, with an optional rectified linear unit behind it.

use pulp::Simd;

use super::WherePositive;
use crate::autodiff::kernels::pointwise::{self, Pointwise};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// `a + b`, or `max(a + b, 0)`, of maps of equal shape; none if the shapes differ.
pub fn add(tape: &mut Tape, a: Var, b: Var, relu: bool) -> Option<Var> {
    let (x, y) = (tape.map(a), tape.map(b));
    if x.shape() != y.shape() {
        return None;
    }
    let mut sum = x.device().dirty(x.shape());
    if relu {
        pointwise::apply(PositiveSum, [x, y], &mut sum);
    } else {
        pointwise::apply(Sum, [x, y], &mut sum);
    }
    Some(tape.push(&[a, b], Value::Map(sum), Add { a, b, relu }))
}

struct Add {
    a: Var,
    b: Var,
    relu: bool,
}

impl Op for Add {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(mut gradient) = gradient else { return };
        if self.relu {
            pointwise::update(WherePositive, &mut gradient, [back.output()]);
        }
        if back.wants(self.a) && back.wants(self.b) {
            let copy = gradient.copy();
            back.give(self.a, Value::Map(copy));
            back.give(self.b, Value::Map(gradient));
        } else {
            let to = if back.wants(self.a) { self.a } else { self.b };
            back.give(to, Value::Map(gradient));
        }
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl Pointwise<2> for Sum {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [x, y]: [S::f32s; 2]) -> S::f32s {
        simd.add_f32s(x, y)
    }
}

#[derive(Clone, Copy)]
struct PositiveSum;

impl Pointwise<2> for PositiveSum {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [x, y]: [S::f32s; 2]) -> S::f32s {
        simd.max_f32s(simd.add_f32s(x, y), simd.splat_f32s(0.0))
    }
}
