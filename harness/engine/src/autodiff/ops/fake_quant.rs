//! Quantization simulated in float, with a gradient for the step.

use pulp::{Simd, WithSimd};
use quantbench_core::Tensor;
use rayon::prelude::*;

use super::chance::Chance;
use crate::autodiff::kernels::{load, store};
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
        isa.run(Forward { grid, s, input: x.image(n), at: grid.place(n, per_image), out });
    });
    Some(tape.push(&[input, step], Value::Map(y), FakeQuantize { input, step, grid }))
}

/// Half to even, for magnitudes below `2^22`.
#[inline(always)]
fn round<S: Simd>(simd: S, v: S::f32s) -> S::f32s {
    // Adding 1.5 * 2^23 leaves no bit below one, on every instruction set.
    let magic = simd.splat_f32s(12_582_912.0);
    simd.sub_f32s(simd.add_f32s(v, magic), magic)
}

/// The ends of a grid, and its step, in vectors.
#[derive(Clone, Copy)]
struct Scale<S: Simd> {
    s: S::f32s,
    low: S::f32s,
    high: S::f32s,
}

impl<S: Simd> Scale<S> {
    #[inline(always)]
    fn new(simd: S, grid: &Affine, s: f32) -> Self {
        Self {
            s: simd.splat_f32s(s),
            low: simd.splat_f32s(-(grid.zero_point as f32)),
            high: simd.splat_f32s((grid.top - grid.zero_point) as f32),
        }
    }

    /// `x / s`, and the same cut off at the ends.
    #[inline(always)]
    fn cut(&self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let v = simd.div_f32s(x, self.s);
        // In this order what is not a number stays that.
        (v, simd.min_f32s(self.high, simd.max_f32s(self.low, v)))
    }
}

impl Affine {
    /// The place of an image's first number.
    fn place(&self, image: usize, per_image: usize) -> usize {
        self.float.map_or(0, |(_, chance)| chance.place(image, per_image))
    }

    /// One where a number stays in float.
    #[inline(always)]
    fn kept(&self, place: usize) -> Lanes {
        match self.float {
            Some((share, chance)) => chance.below(place, share),
            None => Lanes::ZERO,
        }
    }
}

/// One image.
struct Forward<'a> {
    grid: Affine,
    s: f32,
    input: &'a [Lanes],
    at: usize,
    out: &'a mut [Lanes],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scale = Scale::new(simd, &self.grid, self.s);
        let zero = simd.splat_f32s(0.0);
        for (i, (out, input)) in self.out.iter_mut().zip(self.input).enumerate() {
            for part in 0..BLOCK / S::F32_LANES {
                let (_, cut) = scale.cut(simd, load::<S>(input, part));
                store::<S>(out, part, simd.mul_f32s(scale.s, round(simd, cut)));
            }
            if self.grid.float.is_some() {
                let kept = self.grid.kept(self.at + i);
                for part in 0..BLOCK / S::F32_LANES {
                    let mask = simd.greater_than_f32s(load::<S>(&kept, part), zero);
                    let (x, y) = (load::<S>(input, part), load::<S>(out, part));
                    store::<S>(out, part, simd.select_f32s(mask, x, y));
                }
            }
        }
    }
}

/// Turns the gradient of the output into that of the input, for one image; gives that of the step.
struct Backward<'a> {
    grid: Affine,
    s: f32,
    input: &'a [Lanes],
    at: usize,
    gradient: &'a mut [Lanes],
}

impl WithSimd for Backward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // So many sums are added in FP32 before they go to FP64.
        const RUN: usize = 64;
        let scale = Scale::new(simd, &self.grid, self.s);
        let zero = simd.splat_f32s(0.0);
        let mut total = 0f64;
        let runs = self.gradient.chunks_mut(RUN).zip(self.input.chunks(RUN));
        for (run, (gradient, input)) in runs.enumerate() {
            let mut sum = zero;
            for (i, (gradient, input)) in gradient.iter_mut().zip(input).enumerate() {
                let kept = self.grid.kept(self.at + run * RUN + i);
                for part in 0..BLOCK / S::F32_LANES {
                    let g = load::<S>(gradient, part);
                    let (v, cut) = scale.cut(simd, load::<S>(input, part));
                    let (inside, q) = (simd.equal_f32s(cut, v), round(simd, cut));
                    let slope = simd.select_f32s(inside, simd.sub_f32s(q, v), q);
                    let mut more = simd.mul_f32s(g, slope);
                    let mut passed = simd.select_f32s(inside, g, zero);
                    if self.grid.float.is_some() {
                        let kept = simd.greater_than_f32s(load::<S>(&kept, part), zero);
                        more = simd.select_f32s(kept, zero, more);
                        passed = simd.select_f32s(kept, g, passed);
                    }
                    sum = simd.add_f32s(sum, more);
                    store::<S>(gradient, part, passed);
                }
            }
            total += f64::from(simd.reduce_sum_f32s(sum));
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
                let at = grid.place(n, per_image);
                isa.run(Backward { grid, s, input: x.image(n), at, gradient })
            })
            .collect();
        let sum = sums.iter().sum::<f64>() * f64::from(grid.rate);
        back.give(self.input, Value::Map(gradient));
        back.give(self.step, Value::Flat(Tensor::new(vec![1], vec![sum as f32])));
    }
}
