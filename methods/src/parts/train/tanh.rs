//! Weights through a hyperbolic tangent (Zhou et al. 2016, DoReFa-Net, equation 9).

use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, with_slopes};
use quantbench_engine::autodiff::{Lanes, Tape, Var};

use super::grids::{Trained, WeightGrid, WeightStart, mean_abs, positive};
use super::nothing;
use crate::parts::elementary::tanh;

/// `2^b` levels around zero and without it, over `tanh` of the weights; at one bit the sign times
/// the mean magnitude.
pub(crate) struct TanhWeights {
    bits: Bits,
    /// What levels from -1 to 1 are multiplied with.
    scale: f32,
}

impl TanhWeights {
    /// With levels whose mean magnitude is that of the weights.
    pub(crate) fn new(start: &WeightStart<'_>) -> Self {
        let unit = Self { bits: start.bits, scale: 1.0 };
        let scale = start.scale_of(&unit.quantized(start.weights, &[]));
        Self { scale, ..unit }
    }

    fn steps(&self) -> f32 {
        ((1u32 << self.bits.get()) - 1) as f32
    }

    fn curve(&self, weights: &Tensor) -> Tanh {
        let most = weights.data.iter().fold(0f32, |m, w| m.max(tanh(w.abs())));
        let steps = self.steps();
        Tanh { most: if most > 0.0 { most } else { 1.0 }, steps, unit: self.scale / steps }
    }
}

impl Trained for TanhWeights {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let weights = tape.flat(value);
        if self.bits.get() == 1 {
            let signs = self.quantized(weights, &[]).dequantize();
            return Some(with_slopes(tape, value, signs, None));
        }
        let shape = self.curve(weights);
        let none = nothing(tape);
        Some(curve(tape, value, none, shape))
    }
}

impl WeightGrid for TanhWeights {
    fn quantized(&self, weights: &Tensor, _: &[Tensor]) -> QuantTensor {
        let (granularity, zero_point) = (Granularity::Tensor, vec![0]);
        if self.bits.get() == 1 {
            let scale = vec![positive(mean_abs(&weights.data))];
            let levels = Levels::Binary;
            let grid = Grid { levels, bits: self.bits, granularity, scale, zero_point };
            return grid.put(weights);
        }
        let shape = self.curve(weights);
        let codes = weights.data.iter().map(|w| shape.code(*w) as i32).collect();
        let levels = Levels::Table(Table::odd(1 << self.bits.get()));
        let scale = vec![shape.unit];
        let grid = Grid { levels, bits: self.bits, granularity, scale, zero_point };
        QuantTensor { dims: weights.dims.clone(), grid, codes }
    }
}

/// `unit (2 round(steps (tanh(w) / (2 most) + 1/2)) - steps)`, with the rounding passed over on the
/// way back and the largest tangent as a constant.
#[derive(Debug, Clone, Copy)]
struct Tanh {
    most: f32,
    steps: f32,
    unit: f32,
}

impl Tanh {
    #[inline(always)]
    fn code(&self, w: f32) -> f32 {
        (self.steps * (tanh(w) / (2.0 * self.most) + 0.5)).round_ties_even()
    }
}

impl Curve for Tanh {
    #[inline(always)]
    fn value(&self, _: &[f32], x: &Lanes) -> Lanes {
        Lanes(x.0.map(|w| self.unit * (2.0 * self.code(w) - self.steps)))
    }

    #[inline(always)]
    fn slope(&self, _: &[f32], x: &Lanes, gradient: &mut Lanes, _: &mut [Lanes]) {
        for (g, w) in gradient.0.iter_mut().zip(x.0) {
            let t = tanh(w);
            *g *= self.unit * self.steps * (1.0 - t * t) / self.most;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::slopes_are_those_of;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slopes_are_those_of_the_tangent(x in -2f32..2.0, most in 0.5f32..1.0) {
            let curve = Tanh { most, steps: 3.0, unit: 0.5 };
            let most = f64::from(most);
            slopes_are_those_of(&curve, &[], x, &[], |_, x| 0.5 * 3.0 * x.tanh() / most);
        }

        #[test]
        fn levels_lie_alike_on_both_sides_and_reach_the_largest_weight(
            mut weights in prop::collection::vec(-1f32..1.0, 5..30), bits in 1u8..=8,
        ) {
            weights.push(1.5);
            let tensor = Tensor::new(vec![weights.len()], weights);
            let bits = Bits::new(bits).unwrap();
            let start = WeightStart { weights: &tensor, axis: 0, bits };
            let grid = TanhWeights::new(&start);
            let found = grid.quantized(&tensor, &[]).dequantize().data;
            let most = found.iter().fold(0f32, |m, v| m.max(v.abs()));
            prop_assert_eq!(*found.last().unwrap(), most);
            // The mean magnitude is kept.
            let (a, b) = (mean_abs(&found), mean_abs(&tensor.data));
            prop_assert!((a - b).abs() < 1e-3 * b, "{} {}", a, b);
        }
    }
}
