//! Arithmetic with two maps of equal shape.

use pulp::Simd;

use super::{add, clear_filling};
use crate::autodiff::kernels::pointwise::{self, Pointwise};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `a + b`.
    Add,
    /// `a - b`.
    Subtract,
    /// `a b`.
    Multiply,
    /// `a / b`.
    Divide,
    /// The larger one; of equal ones the first gets the gradient.
    Max,
    /// The smaller one, likewise.
    Min,
}

/// Arithmetic with maps number by number; none if their shapes differ.
pub fn arithmetic(tape: &mut Tape, what: Arithmetic, a: Var, b: Var) -> Option<Var> {
    if what == Arithmetic::Add {
        return add(tape, a, b, false);
    }
    let (x, y) = (tape.map(a), tape.map(b));
    if x.shape() != y.shape() {
        return None;
    }
    let mut out = x.device().dirty(x.shape());
    pointwise::apply(what, [x, y], &mut out);
    clear_filling(&mut out);
    Some(tape.push(&[a, b], Value::Map(out), Operands { what, a, b }))
}

struct Operands {
    what: Arithmetic,
    a: Var,
    b: Var,
}

impl Op for Operands {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        for (var, first) in [(self.a, true), (self.b, false)] {
            if back.wants(var) {
                let mut out = gradient.device().dirty(gradient.shape());
                let slope = Slope { what: self.what, first };
                pointwise::apply(slope, [&gradient, back.map(self.a), back.map(self.b)], &mut out);
                clear_filling(&mut out);
                back.give(var, Value::Map(out));
            }
        }
    }
}

impl Pointwise<2> for Arithmetic {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [a, b]: [S::f32s; 2]) -> S::f32s {
        match self {
            Arithmetic::Add => simd.add_f32s(a, b),
            Arithmetic::Subtract => simd.sub_f32s(a, b),
            Arithmetic::Multiply => simd.mul_f32s(a, b),
            Arithmetic::Divide => simd.div_f32s(a, b),
            Arithmetic::Max => simd.max_f32s(a, b),
            Arithmetic::Min => simd.min_f32s(a, b),
        }
    }
}

/// The gradient of one operand.
#[derive(Clone, Copy)]
struct Slope {
    what: Arithmetic,
    first: bool,
}

impl Pointwise<3> for Slope {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [g, a, b]: [S::f32s; 3]) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let other = |mask| {
            let (yes, no) = if self.first { (zero, g) } else { (g, zero) };
            simd.select_f32s(mask, yes, no)
        };
        match (self.what, self.first) {
            (Arithmetic::Add, _) | (Arithmetic::Subtract, true) => g,
            (Arithmetic::Subtract, false) => simd.sub_f32s(zero, g),
            (Arithmetic::Multiply, true) => simd.mul_f32s(g, b),
            (Arithmetic::Multiply, false) => simd.mul_f32s(g, a),
            (Arithmetic::Divide, true) => simd.div_f32s(g, b),
            (Arithmetic::Divide, false) => {
                let quotient = simd.div_f32s(a, b);
                simd.sub_f32s(zero, simd.div_f32s(simd.mul_f32s(g, quotient), b))
            }
            (Arithmetic::Max, _) => other(simd.less_than_f32s(a, b)),
            (Arithmetic::Min, _) => other(simd.greater_than_f32s(a, b)),
        }
    }
}
