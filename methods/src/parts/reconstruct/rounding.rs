//! Soft rounding: a variable per weight that says how far up it is rounded (Nagel et al. 2020,
//! equations 21 to 25).

use std::sync::Arc;

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::{Back, Op, Tape, Value, Var};

use super::ends;

/// Stretch of the sigmoid beyond 0 and 1.
const STRETCH: (f32, f32) = (-0.1, 1.1);

/// What a weight tensor is rounded from and to.
pub(super) struct Rounding {
    /// The variables at the start: with them each weight is itself.
    pub(super) first: Tensor,
    grid: Arc<Lattice>,
    quantized: QuantTensor,
}

/// The grid seen from each weight.
struct Lattice {
    /// Code below the weight, without zero point.
    floor: Vec<f32>,
    /// Step of each weight.
    step: Vec<f32>,
    /// Smallest and largest code of each weight, without zero point.
    ends: Vec<(f32, f32)>,
}

impl Rounding {
    /// Of FP32 weights and the grid of their quantized form; none for grids that are not affine.
    pub(super) fn new(weights: &Tensor, quantized: &QuantTensor) -> Option<Self> {
        let grid = &quantized.grid;
        let (low, high) = ends(grid)?;
        let (_, channels, inner) = grid.layout(&weights.dims);
        let mut lattice = Lattice { floor: Vec::new(), step: Vec::new(), ends: Vec::new() };
        let mut first = Vec::with_capacity(weights.data.len());
        for (i, w) in weights.data.iter().enumerate() {
            let c = i / inner.max(1) % channels;
            let (s, z) = (grid.scale[c], grid.zero_point[c]);
            let floor = (w / s).floor();
            first.push(inverse(w / s - floor));
            lattice.floor.push(floor);
            lattice.step.push(s);
            lattice.ends.push(((low - z) as f32, (high - z) as f32));
        }
        let first = Tensor::new(weights.dims.clone(), first);
        Some(Self { first, grid: Arc::new(lattice), quantized: quantized.clone() })
    }

    /// The codes that the variables round to, and the share of weights that had not decided.
    pub(super) fn harden(&self, variables: &Tensor) -> (QuantTensor, f64) {
        let mut done = self.quantized.clone();
        let (_, channels, inner) = done.grid.layout(&done.dims);
        let mut open = 0usize;
        for (i, v) in variables.data.iter().enumerate() {
            let h = height(*v);
            open += usize::from((2.0 * h - 1.0).abs() < 0.99);
            let up = if h >= 0.5 { 1.0 } else { 0.0 };
            let (low, high) = self.grid.ends[i];
            let code = (self.grid.floor[i] + up).clamp(low, high) as i32;
            done.codes[i] = code + done.grid.zero_point[i / inner.max(1) % channels];
        }
        (done, open as f64 / variables.data.len().max(1) as f64)
    }
}

/// The rectified sigmoid.
fn height(v: f32) -> f32 {
    let (low, high) = STRETCH;
    ((high - low) / (1.0 + (-v).exp()) + low).clamp(0.0, 1.0)
}

/// The variable of a height between 0 and 1.
fn inverse(h: f32) -> f32 {
    let (low, high) = STRETCH;
    -((high - low) / (h - low) - 1.0).ln()
}

/// Slope of [`height`].
fn slope(v: f32) -> f32 {
    let (low, high) = STRETCH;
    let s = 1.0 / (1.0 + (-v).exp());
    let h = (high - low) * s + low;
    if h > 0.0 && h < 1.0 { (high - low) * s * (1.0 - s) } else { 0.0 }
}

/// The weights that the variables give: `s clip(floor(w / s) + h(v))`.
pub(super) fn soften(tape: &mut Tape, variables: Var, rounding: &Rounding) -> Var {
    let v = tape.flat(variables);
    let grid = &rounding.grid;
    let data = v.data.iter().enumerate().map(|(i, v)| {
        let (low, high) = grid.ends[i];
        grid.step[i] * (grid.floor[i] + height(*v)).clamp(low, high)
    });
    let value = Value::Flat(Tensor::new(v.dims.clone(), data.collect()));
    tape.push(&[variables], value, Soften { variables, grid: Arc::clone(grid) })
}

struct Soften {
    variables: Var,
    grid: Arc<Lattice>,
}

impl Op for Soften {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        for (i, (g, v)) in gradient.data.iter_mut().zip(&back.flat(self.variables).data).enumerate()
        {
            let (low, high) = self.grid.ends[i];
            let at = self.grid.floor[i] + height(*v);
            let inside = at >= low && at <= high;
            *g *= if inside { self.grid.step[i] * slope(*v) } else { 0.0 };
        }
        back.give(self.variables, Value::Flat(gradient));
    }
}

/// The regulariser `sum(1 - |2 h(v) - 1|^beta)`.
pub(super) fn indecision(tape: &mut Tape, variables: Var, beta: f32) -> Var {
    let sum: f64 = tape
        .flat(variables)
        .data
        .iter()
        .map(|v| f64::from(1.0 - (2.0 * height(*v) - 1.0).abs().powf(beta)))
        .sum();
    let value = Value::Flat(Tensor::new(vec![1], vec![sum as f32]));
    tape.push(&[variables], value, Indecision { variables, beta })
}

struct Indecision {
    variables: Var,
    beta: f32,
}

impl Op for Indecision {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        let (beta, scale) = (self.beta, gradient.data[0]);
        let v = back.flat(self.variables);
        let data = v.data.iter().map(|v| {
            let d = 2.0 * height(*v) - 1.0;
            -scale * beta * d.abs().powf(beta - 1.0) * d.signum() * 2.0 * slope(*v)
        });
        let gradient = Tensor::new(v.dims.clone(), data.collect());
        back.give(self.variables, Value::Flat(gradient));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::ranges::{Mse, WeightStyle};
    use crate::parts::weights::quantize;
    use proptest::prelude::*;
    use quantbench_core::Bits;
    use quantbench_engine::autodiff::Device;
    use quantbench_engine::autodiff::ops::total;

    fn rounding(values: &[f32], bits: u8) -> (Tensor, Rounding) {
        let weights = Tensor::new(vec![2, values.len() / 2], values.to_vec());
        let bits = Bits::new(bits).unwrap();
        let quantized = quantize(&weights, 0, bits, WeightStyle::Affine, &Mse);
        let rounding = Rounding::new(&weights, &quantized).unwrap();
        (weights, rounding)
    }

    proptest! {
        #[test]
        fn at_the_start_weights_inside_the_range_are_themselves_and_round_to_nearest(
            values in prop::collection::vec(-1f32..1.0, 20..40), bits in 2u8..=4,
        ) {
            let values = &values[..values.len() / 2 * 2];
            let (weights, rounding) = rounding(values, bits);
            let mut tape = Tape::new(&Device::new());
            let v = tape.parameter(&rounding.first);
            let soft = soften(&mut tape, v, &rounding);
            for (i, (s, w)) in tape.flat(soft).data.iter().zip(&weights.data).enumerate() {
                let (low, high) = rounding.grid.ends[i];
                let step = rounding.grid.step[i];
                let want = w.clamp(low * step, high * step);
                prop_assert!((s - want).abs() < 1e-4 * step.max(1e-3), "{s} {want}");
            }
            let (hard, _) = rounding.harden(&rounding.first);
            for ((a, b), w) in hard.codes.iter().zip(&rounding.quantized.codes).zip(&weights.data) {
                // Ties may go either way.
                prop_assert!((a - b).abs() <= 1, "{a} {b} {w}");
            }
        }

        #[test]
        fn gradients_are_those_of_differences(
            values in prop::collection::vec(-1f32..1.0, 8), beta in 2f32..8.0,
        ) {
            let (_, rounding) = rounding(&values, 3);
            let factors = [0.3f32, -1.0, 0.7, 2.0, -0.2, 0.4, 1.1, -0.6];
            let loss = |v: &Tensor| {
                let mut tape = Tape::new(&Device::new());
                let var = tape.parameter(v);
                let soft = soften(&mut tape, var, &rounding);
                let sum: f32 = tape.flat(soft).data.iter().zip(factors).map(|(a, b)| a * b).sum();
                let value = Value::Flat(Tensor::new(vec![1], vec![sum]));
                let first = tape.push(&[soft], value, Weighted(soft, factors.to_vec()));
                let second = indecision(&mut tape, var, beta);
                let all = total(&mut tape, &[(first, 1.0), (second, 0.1)]);
                (f64::from(tape.scalar(all)), tape, all, var)
            };
            let (_, tape, all, var) = loss(&rounding.first);
            let gradient = tape.backward(all).flat(var).unwrap();
            for i in 0..values.len() {
                let h = height(rounding.first.data[i]);
                prop_assume!(h > 0.02 && h < 0.98 && (h - 0.5).abs() > 0.02);
                let moved = |by: f32| {
                    let mut v = rounding.first.clone();
                    v.data[i] += by;
                    loss(&v).0
                };
                let want = (moved(0.01) - moved(-0.01)) / 0.02;
                let off = (f64::from(gradient.data[i]) - want).abs();
                prop_assert!(off < 0.02 * want.abs() + 2e-3, "{i}: {} {want}", gradient.data[i]);
            }
        }
    }

    struct Weighted(Var, Vec<f32>);

    impl Op for Weighted {
        fn backward(&self, gradient: Value, back: &mut Back<'_>) {
            let Value::Flat(gradient) = gradient else { return };
            let data = self.1.iter().map(|f| f * gradient.data[0]).collect();
            let dims = back.flat(self.0).dims.clone();
            back.give(self.0, Value::Flat(Tensor::new(dims, data)));
        }
    }
}
