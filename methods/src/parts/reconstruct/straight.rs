//! Weights learned together with the steps of their grid, straight through the rounding
//! (Hubara et al. 2021, equation 3).

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::{Back, Op, Tape, Value, Var};

use super::ends;
use super::quantizers::SMALLEST;

/// A weight tensor with a step per channel.
pub(super) struct Straight {
    /// The weights at the start.
    pub(super) weights: Tensor,
    /// The steps at the start.
    pub(super) steps: Tensor,
    grid: Channels,
    quantized: QuantTensor,
}

/// The grid of each channel, but for its step.
#[derive(Clone)]
struct Channels {
    /// Smallest code of each channel, without zero point.
    low: Vec<f32>,
    /// Largest code of each channel, without zero point.
    high: Vec<f32>,
    /// Channels of zeros, which stay that.
    zero: Vec<bool>,
    /// Weights that lie side by side in a channel.
    inner: usize,
}

impl Channels {
    /// The channel of a weight.
    fn of(&self, weight: usize) -> usize {
        weight / self.inner % self.low.len()
    }

    /// `w / s`, and its code without zero point.
    fn code(&self, channel: usize, w: f32, s: f32) -> (f32, f32) {
        let v = w / s;
        (v, v.clamp(self.low[channel], self.high[channel]).round_ties_even())
    }
}

impl Straight {
    /// Of FP32 weights and the grid of their quantized form; none for grids that are not affine.
    pub(super) fn new(weights: &Tensor, quantized: &QuantTensor) -> Option<Self> {
        let grid = &quantized.grid;
        let (low, high) = ends(grid)?;
        let (_, channels, inner) = grid.layout(&weights.dims);
        let zeros = || grid.zero_point.iter().take(channels);
        let mut zero = vec![true; channels];
        let inner = inner.max(1);
        for (i, w) in weights.data.iter().enumerate() {
            zero[i / inner % channels] &= *w == 0.0;
        }
        let grid = Channels {
            low: zeros().map(|z| (low - z) as f32).collect(),
            high: zeros().map(|z| (high - z) as f32).collect(),
            zero,
            inner,
        };
        let steps = Tensor::new(vec![channels], quantized.grid.scale.clone());
        Some(Self { weights: weights.clone(), steps, grid, quantized: quantized.clone() })
    }

    /// Steps between the ends of the grid.
    pub(super) fn span(&self) -> f64 {
        f64::from((self.grid.high[0] - self.grid.low[0]).max(1.0))
    }

    /// The smallest step of each channel.
    pub(super) fn smallest(&self) -> Vec<f32> {
        self.steps.data.iter().map(|s| s * SMALLEST).collect()
    }

    /// `s_c round(clip(w / s_c, low_c, high_c))`.
    pub(super) fn on_tape(&self, tape: &mut Tape, weights: Var, steps: Var) -> Var {
        let grid = self.grid.clone();
        let (w, s) = (tape.flat(weights), &tape.flat(steps).data);
        let one = |(i, w): (usize, &f32)| {
            let c = grid.of(i);
            s[c] * grid.code(c, *w, s[c]).1
        };
        let data = w.data.iter().enumerate().map(one).collect();
        let value = Value::Flat(Tensor::new(w.dims.clone(), data));
        tape.push(&[weights, steps], value, Rounded { weights, steps, grid })
    }

    /// Weights on their grid.
    pub(super) fn harden(&self, weights: &Tensor, steps: &Tensor) -> QuantTensor {
        let mut done = self.quantized.clone();
        done.grid.scale.clone_from(&steps.data);
        for (i, (code, w)) in done.codes.iter_mut().zip(&weights.data).enumerate() {
            let c = self.grid.of(i);
            *code = self.grid.code(c, *w, steps.data[c]).1 as i32 + done.grid.zero_point[c];
        }
        done
    }
}

/// Within the range the gradient of a weight is passed on and that of the step is
/// `round(w / s) - w / s`; outside they are 0 and the end of the range.
struct Rounded {
    weights: Var,
    steps: Var,
    grid: Channels,
}

impl Op for Rounded {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        let (grid, s) = (&self.grid, &back.flat(self.steps).data);
        let mut sums = vec![0f64; s.len()];
        let weights = &back.flat(self.weights).data;
        for (i, (g, w)) in gradient.data.iter_mut().zip(weights).enumerate() {
            let c = grid.of(i);
            let (v, q) = grid.code(c, *w, s[c]);
            let inside = v >= grid.low[c] && v <= grid.high[c];
            sums[c] += f64::from(*g * if inside { q - v } else { q });
            *g = if inside && !grid.zero[c] { *g } else { 0.0 };
        }
        let sums: Vec<f32> = sums.iter().map(|s| *s as f32).collect();
        back.give(self.weights, Value::Flat(gradient));
        back.give(self.steps, Value::Flat(Tensor::new(vec![sums.len()], sums)));
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

    struct Weighted(Var, Vec<f32>);

    impl Op for Weighted {
        fn backward(&self, _gradient: Value, back: &mut Back<'_>) {
            let dims = back.flat(self.0).dims.clone();
            back.give(self.0, Value::Flat(Tensor::new(dims, self.1.clone())));
        }
    }

    proptest! {
        #[test]
        fn at_the_start_weights_are_the_quantized_ones(
            values in prop::collection::vec(-1f32..1.0, 20), bits in 2u8..=8, affine: bool,
            axis in 0usize..2,
        ) {
            let style = if affine { WeightStyle::Affine } else { WeightStyle::Symmetric };
            let weights = Tensor::new(vec![4, 5], values);
            let quantized = quantize(&weights, axis, Bits::new(bits).unwrap(), style, &Mse);
            let straight = Straight::new(&weights, &quantized).unwrap();
            let mut tape = Tape::new(&Device::new());
            let (w, s) = (tape.parameter(&straight.weights), tape.parameter(&straight.steps));
            let y = straight.on_tape(&mut tape, w, s);
            prop_assert_eq!(&tape.flat(y).data, &quantized.dequantize().data);
            prop_assert_eq!(straight.harden(&straight.weights, &straight.steps), quantized);
        }

        /// Of `s clip(w / s + e)` with the rounding error `e` as it is, which is what the gradient
        /// takes the function for.
        #[test]
        fn gradients_are_those_of_the_function_with_fixed_rounding_errors(
            values in prop::collection::vec(-1f32..1.0, 12),
            factors in prop::collection::vec(-2f32..2.0, 12),
        ) {
            prop_assume!([0, 6].iter().all(|c| values[*c..c + 6].iter().any(|v| *v != 0.0)));
            let weights = Tensor::new(vec![2, 6], values);
            let bits = Bits::new(3).unwrap();
            let quantized = quantize(&weights, 0, bits, WeightStyle::Symmetric, &Mse);
            // Off the ends of the grid, where the function has no slope.
            let weights =
                Tensor::new(vec![2, 6], weights.data.iter().map(|w| 1.07 * w).collect());
            let straight = Straight::new(&weights, &quantized).unwrap();
            let codes = straight.harden(&straight.weights, &straight.steps).codes;
            let mut tape = Tape::new(&Device::new());
            let (w, s) = (tape.parameter(&straight.weights), tape.parameter(&straight.steps));
            let y = straight.on_tape(&mut tape, w, s);
            let one = Value::Flat(Tensor::new(vec![1], vec![0.0]));
            let loss = tape.push(&[y], one, Weighted(y, factors.clone()));
            let mut gradients = tape.backward(loss);
            let (dw, ds) = (gradients.flat(w).unwrap(), gradients.flat(s).unwrap());
            let mut want = [0f64; 2];
            for (i, factor) in factors.iter().enumerate() {
                let (c, w) = (i / 6, f64::from(weights.data[i]));
                let step = f64::from(straight.steps.data[c]);
                let (low, high) = (f64::from(straight.grid.low[c]), f64::from(straight.grid.high[c]));
                let error = f64::from(codes[i]) - w / step;
                let inside = w / step >= low && w / step <= high;
                let at = |w: f64, s: f64| {
                    if inside { s * (w / s + error) } else { s * (w / s).clamp(low, high) }
                };
                let h = 1e-6;
                let slope = (at(w + h, step) - at(w - h, step)) / (2.0 * h);
                let expected = slope * f64::from(*factor);
                prop_assert!((f64::from(dw.data[i]) - expected).abs() < 1e-4);
                want[c] += f64::from(*factor) * (at(w, step + h) - at(w, step - h)) / (2.0 * h);
            }
            for c in 0..2 {
                prop_assert!((f64::from(ds.data[c]) - want[c]).abs() < 1e-3, "{ds:?} {want:?}");
            }
        }
    }

    #[test]
    fn a_channel_of_zeros_learns_nothing() {
        let weights = Tensor::new(vec![2, 3], vec![0.0, 0.0, 0.0, 1.0, 0.1, -0.4]);
        let bits = Bits::new(4).unwrap();
        let quantized = quantize(&weights, 0, bits, WeightStyle::Affine, &Mse);
        let straight = Straight::new(&weights, &quantized).unwrap();
        let mut tape = Tape::new(&Device::new());
        let (w, s) = (tape.parameter(&straight.weights), tape.parameter(&straight.steps));
        let y = straight.on_tape(&mut tape, w, s);
        let one = Value::Flat(Tensor::new(vec![1], vec![0.0]));
        let loss = tape.push(&[y], one, Weighted(y, vec![1.0; 6]));
        let mut gradients = tape.backward(loss);
        let (dw, ds) = (gradients.flat(w).unwrap(), gradients.flat(s).unwrap());
        assert_eq!((&dw.data[..3], ds.data[0]), (&[0.0; 3][..], 0.0));
        assert_eq!(dw.data[4], 1.0);
    }
}
