//! Soft rounding: a variable per weight that says how far up it is rounded (Nagel et al. 2020,
//! equations 21 to 25).

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::{Back, Op, Tape, Value, Var};
use rayon::prelude::*;

use super::ends;
use crate::parts::elementary::{exp, ln};
use crate::parts::vector::vectorised;

/// Stretch of the sigmoid beyond 0 and 1.
const STRETCH: (f32, f32) = (-0.1, 1.1);

/// What a weight tensor is rounded from and to.
pub(super) struct Rounding {
    /// The variables at the start: with them each weight is itself.
    pub(super) first: Tensor,
    grid: Lattice,
    quantized: QuantTensor,
}

/// The grid seen from each weight.
#[derive(Default)]
struct Lattice {
    /// Code below the weight, without zero point.
    floor: Vec<f32>,
    /// Step of each weight.
    step: Vec<f32>,
    /// Smallest code of each weight, without zero point.
    low: Vec<f32>,
    /// Largest code of each weight, without zero point.
    high: Vec<f32>,
}

impl Rounding {
    /// Of FP32 weights and the grid of their quantized form; none for grids that are not affine.
    pub(super) fn new(weights: &Tensor, quantized: &QuantTensor) -> Option<Self> {
        let grid = &quantized.grid;
        let (low, high) = ends(grid)?;
        let (_, channels, inner) = grid.layout(&weights.dims);
        let mut lattice = Lattice::default();
        let mut first = Vec::with_capacity(weights.data.len());
        for (i, w) in weights.data.iter().enumerate() {
            let c = i / inner.max(1) % channels;
            let (s, z) = (grid.scale[c], grid.zero_point[c]);
            let floor = (w / s).floor();
            first.push(inverse(w / s - floor));
            lattice.floor.push(floor);
            lattice.step.push(s);
            lattice.low.push((low - z) as f32);
            lattice.high.push((high - z) as f32);
        }
        let first = Tensor::new(weights.dims.clone(), first);
        Some(Self { first, grid: lattice, quantized: quantized.clone() })
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
            let code = (self.grid.floor[i] + up).clamp(self.grid.low[i], self.grid.high[i]) as i32;
            done.codes[i] = code + done.grid.zero_point[i / inner.max(1) % channels];
        }
        (done, open as f64 / variables.data.len().max(1) as f64)
    }
}

/// The rectified sigmoid and its slope.
#[inline(always)]
fn sigmoid(v: f32) -> (f32, f32) {
    let (low, high) = STRETCH;
    let s = 1.0 / (1.0 + exp(-v));
    let h = (high - low) * s + low;
    let slope = if h > 0.0 && h < 1.0 { (high - low) * s * (1.0 - s) } else { 0.0 };
    let h = if h < 0.0 { 0.0 } else { h };
    (if h > 1.0 { 1.0 } else { h }, slope)
}

/// The rectified sigmoid.
fn height(v: f32) -> f32 {
    sigmoid(v).0
}

/// The variable of a height between 0 and 1.
fn inverse(h: f32) -> f32 {
    let (low, high) = STRETCH;
    -((high - low) / (h - low) - 1.0).ln()
}

/// Numbers per work item.
const CHUNK: usize = 1 << 12;

/// The weights that the variables give, `s clip(floor(w / s) + h(v))`, and the regulariser
/// `sum(1 - |2 h(v) - 1|^beta)` times `lambda`, if there is a `beta`.
pub(super) fn soften(
    tape: &mut Tape,
    variables: Var,
    rounding: &Rounding,
    regulariser: Option<(f32, f32)>,
) -> (Var, Option<Var>) {
    let v = tape.flat(variables);
    let grid = &rounding.grid;
    let (beta, lambda) = regulariser.unwrap_or((2.0, 0.0));
    let mut made = Softened::new(v.data.len());
    let Softened { soft, own, pull, terms } = &mut made;
    let outputs = soft.par_chunks_mut(CHUNK).zip(own.par_chunks_mut(CHUNK));
    let outputs = outputs.zip(pull.par_chunks_mut(CHUNK).zip(terms.par_chunks_mut(CHUNK)));
    outputs.enumerate().for_each(|(i, ((soft, own), (pull, terms)))| {
        let at = i * CHUNK..i * CHUNK + soft.len();
        let part = Part {
            v: &v.data[at.clone()],
            floor: &grid.floor[at.clone()],
            step: &grid.step[at.clone()],
            low: &grid.low[at.clone()],
            high: &grid.high[at],
            beta,
            lambda,
        };
        vectorised(
            #[inline(always)]
            || part.soften(soft, own, pull, terms),
        );
    });
    let dims = v.dims.clone();
    let Softened { soft, own, pull, terms } = made;
    let op = Scaled { variables, slopes: own };
    let soft = tape.push(&[variables], Value::Flat(Tensor::new(dims, soft)), op);
    let regulariser = regulariser.map(|_| {
        let sum: f64 = terms.iter().map(|t| f64::from(*t)).sum();
        let value = Value::Flat(Tensor::new(vec![1], vec![sum as f32]));
        tape.push(&[variables], value, Scaled { variables, slopes: pull })
    });
    (soft, regulariser)
}

/// What one look at the variables gives, a number for each.
struct Softened {
    /// The weights.
    soft: Vec<f32>,
    /// Their slopes.
    own: Vec<f32>,
    /// Slopes of the regulariser.
    pull: Vec<f32>,
    /// Terms of the regulariser.
    terms: Vec<f32>,
}

impl Softened {
    fn new(len: usize) -> Self {
        let zeros = || vec![0.0; len];
        Self { soft: zeros(), own: zeros(), pull: zeros(), terms: zeros() }
    }
}

/// Some of the weights of a tensor.
struct Part<'a> {
    v: &'a [f32],
    floor: &'a [f32],
    step: &'a [f32],
    low: &'a [f32],
    high: &'a [f32],
    beta: f32,
    lambda: f32,
}

impl Part<'_> {
    #[inline(always)]
    fn soften(&self, soft: &mut [f32], own: &mut [f32], pull: &mut [f32], terms: &mut [f32]) {
        let Self { v, floor, step, low, high, beta, lambda } = *self;
        let len = soft.len();
        // Of known length, so that no index has to be checked in the loop.
        let (v, floor, step) = (&v[..len], &floor[..len], &step[..len]);
        let (low, high) = (&low[..len], &high[..len]);
        let (own, pull, terms) = (&mut own[..len], &mut pull[..len], &mut terms[..len]);
        for i in 0..len {
            let (h, slope) = sigmoid(v[i]);
            let at = floor[i] + h;
            let cut = if at < low[i] { low[i] } else { at };
            let cut = if cut > high[i] { high[i] } else { cut };
            soft[i] = step[i] * cut;
            own[i] = if cut == at { step[i] * slope } else { 0.0 };
            // |d|^(beta - 1), without the power of zero.
            let d = 2.0 * h - 1.0;
            let size = if d.abs() < 1e-30 { 1e-30 } else { d.abs() };
            let power = exp((beta - 1.0) * ln(size));
            let sign = if d < 0.0 { 1.0 } else { -1.0 };
            pull[i] = lambda * sign * beta * power * 2.0 * slope;
            terms[i] = lambda * (1.0 - power * size);
        }
    }
}

/// A value with a slope per variable, or one number with a gradient.
struct Scaled {
    variables: Var,
    slopes: Vec<f32>,
}

impl Op for Scaled {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        // One number for all, or one for each.
        let slopes = self.slopes.iter();
        let data = match gradient.data.as_slice() {
            [one] => slopes.map(|s| s * one).collect(),
            each => slopes.zip(each).map(|(s, g)| s * g).collect(),
        };
        let dims = back.flat(self.variables).dims.clone();
        back.give(self.variables, Value::Flat(Tensor::new(dims, data)));
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
            let (soft, none) = soften(&mut tape, v, &rounding, None);
            prop_assert!(none.is_none());
            for (i, (s, w)) in tape.flat(soft).data.iter().zip(&weights.data).enumerate() {
                let (low, high) = (rounding.grid.low[i], rounding.grid.high[i]);
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
                let (soft, second) = soften(&mut tape, var, &rounding, Some((beta, 0.1)));
                let sum: f32 = tape.flat(soft).data.iter().zip(factors).map(|(a, b)| a * b).sum();
                let value = Value::Flat(Tensor::new(vec![1], vec![sum]));
                let first = tape.push(&[soft], value, Weighted(soft, factors.to_vec()));
                let all = total(&mut tape, &[(first, 1.0), (second.unwrap(), 1.0)]);
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
