//! Uniform grids over what was seen, without parameters: for images, and for sites wider than a
//! method's own grids reach.

use quantbench_core::grid::symmetric_scale;
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Tensor};
use quantbench_engine::autodiff::ops::{Affine, Ends, fake_quantize, fake_quantize_flat};
use quantbench_engine::autodiff::{Tape, Value, Var};

use super::fit::best_range;
use super::grids::{
    Trained, ValueGrid, ValueStart, WeightGrid, WeightStart, signed_codes, top_code,
};

/// A constant of one number.
pub(crate) fn constant(tape: &mut Tape, value: f32) -> Var {
    tape.constant(Value::Flat(Tensor::new(vec![1], vec![value])))
}

/// A grid of a value that stays as it is.
pub(crate) struct Still {
    grid: Grid,
}

impl Still {
    /// Over the extremes of the first batch.
    pub(crate) fn new(start: &ValueStart<'_>) -> Self {
        Self { grid: Grid::activation(start.least, start.most, start.bits) }
    }

    /// Around zero, with the step of the range of smallest squared error: for values that can be
    /// negative, where a method's own grids begin at zero.
    pub(crate) fn around_zero(start: &ValueStart<'_>) -> Self {
        let (low, high) = signed_codes(start.bits);
        let (least, most) = best_range(start.seen, high - low);
        Self::with_step((most - least) / (high - low) as f32, start)
    }

    /// From zero, or around it, with a step.
    pub(crate) fn with_step(step: f32, start: &ValueStart<'_>) -> Self {
        let (low, high) =
            if start.signed() { signed_codes(start.bits) } else { (0, top_code(start.bits)) };
        Self { grid: affine(step, low, high, start.bits) }
    }
}

/// A grid of a value with codes from `low` to `high` around zero, stored without sign.
pub(crate) fn affine(step: f32, low: i32, high: i32, bits: Bits) -> Grid {
    Grid {
        levels: Levels::Affine { qmin: 0, qmax: high - low },
        bits,
        granularity: Granularity::Tensor,
        scale: vec![step],
        zero_point: vec![-low],
    }
}

impl Trained for Still {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let step = constant(tape, self.grid.scale[0]);
        let (_, top) = self.grid.code_range();
        let grid = Affine { zero_point: self.grid.zero_point[0], top, rate: 0.0, float: None };
        fake_quantize(tape, value, step, grid)
    }
}

impl ValueGrid for Still {
    fn grid(&self, _: &[Tensor]) -> Grid {
        self.grid.clone()
    }
}

/// A grid of weights around zero up to the largest magnitude of each step.
pub(crate) struct Reaching {
    bits: Bits,
}

impl Reaching {
    /// Of weights.
    pub(crate) fn new(start: &WeightStart<'_>) -> Self {
        Self { bits: start.bits }
    }

    fn grid(&self, weights: &Tensor) -> Grid {
        let most = weights.data.iter().fold(0f32, |m, w| m.max(w.abs()));
        let top = (1 << (self.bits.get() - 1)) - 1;
        Grid {
            levels: Levels::Affine { qmin: -top, qmax: top },
            bits: self.bits,
            granularity: Granularity::Tensor,
            scale: vec![symmetric_scale(most, self.bits)],
            zero_point: vec![0],
        }
    }
}

impl Trained for Reaching {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let grid = self.grid(tape.flat(value));
        let step = constant(tape, grid.scale[0]);
        let (low, high) = grid.code_range();
        fake_quantize_flat(tape, value, step, Ends { low, high, rate: 0.0 })
    }
}

impl WeightGrid for Reaching {
    fn quantized(&self, weights: &Tensor, _: &[Tensor]) -> QuantTensor {
        self.grid(weights).put(weights)
    }
}

/// No parameters, where an operation wants some.
pub(crate) fn nothing(tape: &mut Tape) -> Var {
    tape.constant(Value::Flat(Tensor::new(vec![0], Vec::new())))
}
