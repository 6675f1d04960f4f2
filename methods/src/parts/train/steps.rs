//! Grids with one step each, trained by the gradient of Esser et al. 2020 (LSQ).

use quantbench_core::{Granularity, Grid, Levels, QuantTensor, Tensor};
use quantbench_engine::autodiff::ops::{Ends, fake_quantize_flat};
use quantbench_engine::autodiff::{Tape, Var};

use super::SMALLEST;
use super::grids::{Parameter, Trained, WeightGrid, WeightStart, positive, signed_codes};
use quantbench_core::Bits;

/// What the gradient of a step is multiplied with: `1 / sqrt(numbers * top)`.
pub(crate) fn step_rate(numbers: usize, top: i32) -> f32 {
    (1.0 / (numbers.max(1) as f64 * f64::from(top.max(1))).sqrt()) as f32
}

/// A step as a parameter, kept from vanishing.
pub(crate) fn step_parameter(step: f32) -> Parameter {
    Parameter::of(vec![step]).within(step * SMALLEST, f32::MAX)
}

/// Weights on `s (low ..= high)` around zero with one code more below than above.
pub(crate) struct StepWeights {
    step: f32,
    bits: Bits,
    ends: Ends,
}

impl StepWeights {
    /// With a step to begin with; one if that is not positive.
    pub(crate) fn new(start: &WeightStart<'_>, step: f64) -> Self {
        let (low, high) = signed_codes(start.bits);
        let rate = step_rate(start.weights.data.len(), high);
        Self { step: positive(step), bits: start.bits, ends: Ends { low, high, rate } }
    }
}

impl Trained for StepWeights {
    fn parameters(&self) -> Vec<Parameter> {
        vec![step_parameter(self.step)]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        fake_quantize_flat(tape, value, *own.first()?, self.ends)
    }
}

impl WeightGrid for StepWeights {
    fn quantized(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor {
        let grid = Grid {
            levels: Levels::Affine { qmin: self.ends.low, qmax: self.ends.high },
            bits: self.bits,
            granularity: Granularity::Tensor,
            scale: vec![own[0].data[0]],
            zero_point: vec![0],
        };
        grid.put(weights)
    }
}
