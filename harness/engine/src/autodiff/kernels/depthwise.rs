//! Convolution of each channel on its own: a vector of channels at a time.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::conv::padded;
use super::plan::Plan;
use super::{GROUP, load, multiply_add, store};
use crate::autodiff::map::{BLOCK, Lanes, Map};

/// Pixels whose sums are kept in registers.
const PIXELS: usize = 4;

/// Weights `[channel, tap]` as `[block][tap]`.
pub(crate) fn pack(weights: &[f32], channels: usize, taps: usize) -> Vec<Lanes> {
    let mut data = vec![Lanes::ZERO; channels.div_ceil(BLOCK) * taps];
    for (i, &w) in weights.iter().enumerate().take(channels * taps) {
        let (channel, tap) = (i / taps, i % taps);
        data[channel / BLOCK * taps + tap].0[channel % BLOCK] = w;
    }
    data
}

/// Writes all of `out` from `source`: forward, or backward to the input.
pub(crate) fn pass(source: &Map, plan: &Plan, weights: &[Lanes], bias: &[f32], out: &mut Map) {
    let (isa, shape) = (out.device().isa, source.shape());
    let blocks = shape.blocks().max(1);
    let taps = weights.len() / blocks;
    let mut start = vec![Lanes::ZERO; blocks];
    for (i, &b) in bias.iter().enumerate() {
        start[i / BLOCK].0[i % BLOCK] = b;
    }
    let per_image = out.shape().per_image();
    out.par_chunks_mut(per_image.max(1)).enumerate().for_each_init(
        Vec::new,
        |scratch, (n, out)| {
            let source = padded(source.image(n), shape, plan, scratch);
            isa.run(Pass { source, plan, weights, taps, start: &start, out });
        },
    );
}

/// One image.
struct Pass<'a> {
    source: &'a [Lanes],
    plan: &'a Plan,
    weights: &'a [Lanes],
    taps: usize,
    start: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, plan, weights, taps, start, out } = self;
        let pixels = plan.output[0] * plan.output[1];
        for (block, out) in out.chunks_mut(pixels.max(1)).enumerate() {
            let source = &source[block * plan.plane()..][..plan.plane()];
            let weights = &weights[block * taps..][..taps];
            for phase in &plan.phases {
                for y in 0..phase.size[0] {
                    let from = y * plan.step[0] * plan.padded[1];
                    let to =
                        (phase.origin[0] + y * phase.every[0]) * plan.output[1] + phase.origin[1];
                    for part in 0..BLOCK / S::F32_LANES {
                        let first = load::<S>(&start[block], part);
                        let mut x = 0;
                        while x < phase.size[1] {
                            let count = PIXELS.min(phase.size[1] - x);
                            let mut sums = [first; PIXELS];
                            for &(tap, shift) in &phase.taps {
                                let w = load::<S>(&weights[tap], part);
                                let at = from + shift + x * plan.step[1];
                                for (p, sum) in sums.iter_mut().enumerate().take(count) {
                                    let v = load::<S>(&source[at + p * plan.step[1]], part);
                                    *sum = multiply_add(simd, w, v, *sum);
                                }
                            }
                            for (p, sum) in sums.iter().enumerate().take(count) {
                                let at = to + (x + p) * phase.every[1];
                                store::<S>(&mut out[at], part, *sum);
                            }
                            x += count;
                        }
                    }
                }
            }
        }
    }
}

/// Gradient of the weights `[channel, tap]`, given the input and the gradient of the output;
/// `plan` is the pass forward.
pub(crate) fn weight_gradient(input: &Map, plan: &Plan, taps: usize, gradient: &Map) -> Vec<f32> {
    let (isa, shape) = (input.device().isa, input.shape());
    let groups: Vec<usize> = (0..shape.images).step_by(GROUP).collect();
    let sums: Vec<Vec<Lanes>> = groups
        .par_iter()
        .map_init(Vec::new, |scratch, &first| {
            let mut sums = vec![Lanes::ZERO; shape.blocks() * taps];
            for n in first..(first + GROUP).min(shape.images) {
                let input = padded(input.image(n), shape, plan, scratch);
                let gradient = gradient.image(n);
                isa.run(WeightGradient { input, plan, taps, gradient, sums: &mut sums });
            }
            sums
        })
        .collect();
    (0..shape.channels * taps)
        .map(|i| {
            let (channel, tap) = (i / taps, i % taps);
            let at = channel / BLOCK * taps + tap;
            sums.iter().map(|s| s[at].0[channel % BLOCK]).sum()
        })
        .collect()
}

/// One image.
struct WeightGradient<'a> {
    input: &'a [Lanes],
    plan: &'a Plan,
    taps: usize,
    gradient: &'a [Lanes],
    sums: &'a mut [Lanes],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { input, plan, taps, gradient, sums } = self;
        let [height, width] = plan.output;
        for (block, sums) in sums.chunks_mut(taps.max(1)).enumerate() {
            let input = &input[block * plan.plane()..][..plan.plane()];
            let gradient = &gradient[block * height * width..][..height * width];
            for &(tap, shift) in plan.phases.iter().flat_map(|phase| &phase.taps) {
                for part in 0..BLOCK / S::F32_LANES {
                    // Several sums, for an addition takes longer than the next multiplication.
                    let mut totals = [simd.splat_f32s(0.0); PIXELS];
                    for y in 0..height {
                        let from = shift + y * plan.step[0] * plan.padded[1];
                        for (x, g) in gradient[y * width..][..width].iter().enumerate() {
                            let v = load::<S>(&input[from + x * plan.step[1]], part);
                            let total = &mut totals[x % PIXELS];
                            *total = multiply_add(simd, load::<S>(g, part), v, *total);
                        }
                    }
                    let [a, b, c, d] = totals;
                    let total = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
                    let more = simd.add_f32s(load::<S>(&sums[tap], part), total);
                    store::<S>(&mut sums[tap], part, more);
                }
            }
        }
    }
}
