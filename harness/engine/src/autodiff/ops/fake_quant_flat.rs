//! Weights quantized in simulation, with a gradient for the step.

use quantbench_core::Tensor;

use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// A grid around zero, but for its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends {
    /// Smallest code.
    pub low: i32,
    /// Largest code.
    pub high: i32,
    /// What the step's gradient is multiplied with.
    pub rate: f32,
}

impl Ends {
    /// `w / s`, and its code.
    fn code(&self, w: f32, s: f32) -> (f32, f32) {
        let v = w / s;
        (v, v.clamp(self.low as f32, self.high as f32).round_ties_even())
    }
}

/// `s round(clip(w / s, low, high))` of a parameter, with the step `s` `[1]` and the gradients of
/// [`super::fake_quantize`]; none if the step is not one number.
pub fn fake_quantize_flat(tape: &mut Tape, weights: Var, step: Var, ends: Ends) -> Option<Var> {
    let s = *tape.flat(step).data.first().filter(|_| tape.flat(step).data.len() == 1)?;
    let w = tape.flat(weights);
    let data = w.data.iter().map(|w| s * ends.code(*w, s).1).collect();
    let value = Value::Flat(Tensor::new(w.dims.clone(), data));
    Some(tape.push(&[weights, step], value, FakeQuantizeFlat { weights, step, ends }))
}

struct FakeQuantizeFlat {
    weights: Var,
    step: Var,
    ends: Ends,
}

impl Op for FakeQuantizeFlat {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        let s = back.flat(self.step).data[0];
        let mut sum = 0f64;
        for (g, w) in gradient.data.iter_mut().zip(&back.flat(self.weights).data) {
            let (v, q) = self.ends.code(*w, s);
            let inside = v >= self.ends.low as f32 && v <= self.ends.high as f32;
            sum += f64::from(*g * if inside { q - v } else { q });
            *g = if inside { *g } else { 0.0 };
        }
        let sum = (sum * f64::from(self.ends.rate)) as f32;
        back.give(self.weights, Value::Flat(gradient));
        back.give(self.step, Value::Flat(Tensor::new(vec![1], vec![sum])));
    }
}
