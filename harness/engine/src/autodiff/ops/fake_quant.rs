//! Quantization simulated in float, with a gradient for the step.

// Loops over lanes are counted: the compiler turns them into vectors.
#![allow(clippy::needless_range_loop)]

use quantbench_core::Tensor;
use rayon::prelude::*;

use super::chance::Chance;
use crate::autodiff::map::{BLOCK, Lanes, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// An affine grid of a map, but for its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Code of zero.
    pub zero_point: i32,
    /// Largest code; the smallest is 0.
    pub top: i32,
    /// What the step's gradient is multiplied with.
    pub rate: f32,
    /// Share of the numbers that stay in float, and which ones.
    pub float: Option<(f32, Chance)>,
}

/// `s (clip(round(x / s), -z, top - z))` of a map, with the step `s` `[1]`.
///
/// Rounding is half to even and passes the gradient on as if it were not there. The gradient of
/// `x` is 1 where `x / s` lies within the range and 0 elsewhere; that of `s` is
/// `round(x / s) - x / s` within and the end of the range elsewhere, summed (Esser et al. 2020,
/// equations 3 and 5). Numbers that stay in float have gradient 1 and give none to the step.
///
/// None if the step is not one number.
pub fn fake_quantize(tape: &mut Tape, input: Var, step: Var, grid: Affine) -> Option<Var> {
    let s = *tape.flat(step).data.first().filter(|_| tape.flat(step).data.len() == 1)?;
    let x = tape.map(input);
    let isa = x.device().isa;
    let mut y = x.device().dirty(x.shape());
    let per_image = x.shape().per_image();
    y.par_chunks_mut(per_image.max(1)).enumerate().for_each(|(n, out)| {
        let image = x.image(n);
        isa.run(
            #[inline(always)]
            || grid.forward(s, image, n * per_image, out),
        );
    });
    Some(tape.push(&[input, step], Value::Map(y), FakeQuantize { input, step, grid }))
}

/// `v` rounded half to even, for magnitudes below `2^22`.
#[inline(always)]
pub(crate) fn round(v: f32) -> f32 {
    // Adding it leaves no bit below one; every instruction set can do it to several numbers.
    const MAGIC: f32 = 12_582_912.0;
    (v + MAGIC) - MAGIC
}

/// Cut off at both ends; NaN stays.
#[inline(always)]
pub(crate) fn clip(v: f32, low: f32, high: f32) -> f32 {
    let v = if v < low { low } else { v };
    if v > high { high } else { v }
}

impl Affine {
    #[inline(always)]
    fn ends(&self) -> (f32, f32) {
        (-(self.zero_point as f32), (self.top - self.zero_point) as f32)
    }

    #[inline(always)]
    fn forward(&self, s: f32, input: &[Lanes], at: usize, out: &mut [Lanes]) {
        let (low, high) = self.ends();
        for (i, (out, x)) in out.iter_mut().zip(input).enumerate() {
            for lane in 0..BLOCK {
                out.0[lane] = s * round(clip(x.0[lane] / s, low, high));
            }
            if let Some((share, chance)) = self.float {
                let kept = chance.below(at + i, share);
                for lane in 0..BLOCK {
                    out.0[lane] = if kept[lane] { x.0[lane] } else { out.0[lane] };
                }
            }
        }
    }

    /// Turns the gradient of the output into that of the input; gives that of the step.
    #[inline(always)]
    fn backward(&self, s: f32, input: &[Lanes], at: usize, gradient: &mut [Lanes]) -> f64 {
        let (low, high) = self.ends();
        let mut total = 0f64;
        for (block, (gradient, input)) in gradient.chunks_mut(64).zip(input.chunks(64)).enumerate()
        {
            let mut sums = [0f32; BLOCK];
            for (i, (g, x)) in gradient.iter_mut().zip(input).enumerate() {
                let kept = match self.float {
                    Some((share, chance)) => chance.below(at + block * 64 + i, share),
                    None => [false; BLOCK],
                };
                for lane in 0..BLOCK {
                    let v = x.0[lane] / s;
                    let cut = clip(v, low, high);
                    let (inside, q) = (cut == v, round(cut));
                    let slope = if inside { q - v } else { q };
                    sums[lane] += if kept[lane] { 0.0 } else { g.0[lane] * slope };
                    g.0[lane] = if inside || kept[lane] { g.0[lane] } else { 0.0 };
                }
            }
            total += f64::from(sums.iter().sum::<f32>());
        }
        total
    }
}

struct FakeQuantize {
    input: Var,
    step: Var,
    grid: Affine,
}

impl Op for FakeQuantize {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(mut gradient) = gradient else { return };
        let s = back.flat(self.step).data[0];
        let x: &Map = back.map(self.input);
        let (isa, per_image) = (x.device().isa, x.shape().per_image());
        let grid = self.grid;
        let sums: Vec<f64> = gradient
            .par_chunks_mut(per_image.max(1))
            .enumerate()
            .map(|(n, gradient)| {
                let image = x.image(n);
                isa.run(
                    #[inline(always)]
                    || grid.backward(s, image, n * per_image, gradient),
                )
            })
            .collect();
        let sum = sums.iter().sum::<f64>() * f64::from(grid.rate);
        back.give(self.input, Value::Map(gradient));
        back.give(self.step, Value::Flat(Tensor::new(vec![1], vec![sum as f32])));
    }
}
