//! Functions of numbers one by one that networks have between layers.

use quantbench_core::Tensor;

use super::curve::{Curve, curve};
use super::functions::{erf, exp, sigmoid, softplus, tanh};
use crate::autodiff::map::{BLOCK, Lanes};
use crate::autodiff::tape::{Tape, Value, Var};

/// A function between layers, by its ONNX name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `|x|`; slope 0 at 0.
    Abs,
    /// `x` above zero, else `alpha (e^x - 1)`.
    Elu(f32),
    /// The error function, of which GELU is made.
    Erf,
    /// `e^x`.
    Exp,
    /// `min(max(alpha x + beta, 0), 1)`; slope 0 at both ends.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// `x` above zero, else `alpha x`.
    LeakyRelu(f32),
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `ln(1 + e^x)`.
    Softplus,
    /// Square root.
    Sqrt,
    /// Hyperbolic tangent.
    Tanh,
}

/// A function of a map or a tensor, number by number.
pub fn activate(tape: &mut Tape, input: Var, activation: Activation) -> Var {
    let none = tape.constant(Value::Flat(Tensor::new(vec![0], Vec::new())));
    curve(tape, input, none, activation)
}

impl Curve for Activation {
    #[inline(always)]
    fn value(&self, _: &[f32], x: &Lanes) -> Lanes {
        match *self {
            Self::Abs => each(x, f32::abs),
            Self::Elu(alpha) => each(x, |x| if x > 0.0 { x } else { alpha * (exp(x) - 1.0) }),
            Self::Erf => each(x, erf),
            Self::Exp => each(x, exp),
            Self::HardSigmoid { alpha, beta } => each(x, |x| (alpha * x + beta).clamp(0.0, 1.0)),
            Self::HardSwish => each(x, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            Self::LeakyRelu(alpha) => each(x, |x| if x > 0.0 { x } else { alpha * x }),
            Self::Sigmoid => each(x, sigmoid),
            Self::Softplus => each(x, softplus),
            Self::Sqrt => each(x, f32::sqrt),
            Self::Tanh => each(x, tanh),
        }
    }

    #[inline(always)]
    fn slope(&self, _: &[f32], x: &Lanes, gradient: &mut Lanes, _: &mut [Lanes]) {
        let slope = match *self {
            Self::Abs => each(x, |x| if x == 0.0 { 0.0 } else { 1f32.copysign(x) }),
            Self::Elu(alpha) => each(x, |x| if x > 0.0 { 1.0 } else { alpha * exp(x) }),
            Self::Erf => each(x, |x| std::f32::consts::FRAC_2_SQRT_PI * exp(-x * x)),
            Self::Exp => each(x, exp),
            Self::HardSigmoid { alpha, beta } => each(x, |x| {
                let y = alpha * x + beta;
                if y > 0.0 && y < 1.0 { alpha } else { 0.0 }
            }),
            Self::HardSwish => each(x, |x| {
                let inside = if x > -3.0 && x < 3.0 { x / 6.0 } else { 0.0 };
                (x / 6.0 + 0.5).clamp(0.0, 1.0) + inside
            }),
            Self::LeakyRelu(alpha) => each(x, |x| if x > 0.0 { 1.0 } else { alpha }),
            Self::Sigmoid => each(x, |x| {
                let y = sigmoid(x);
                y * (1.0 - y)
            }),
            Self::Softplus => each(x, sigmoid),
            Self::Sqrt => each(x, |x| 0.5 / x.sqrt()),
            Self::Tanh => each(x, |x| {
                let y = tanh(x);
                1.0 - y * y
            }),
        };
        for (g, s) in gradient.0.iter_mut().zip(&slope.0) {
            *g *= s;
        }
    }
}

#[inline(always)]
fn each(x: &Lanes, f: impl Fn(f32) -> f32) -> Lanes {
    let mut y = Lanes::ZERO;
    for i in 0..BLOCK {
        y.0[i] = f(x.0[i]);
    }
    y
}
