//! Gradient of a convolution's weights: for a tap, a few vectors of output channels times a few
//! input channels are summed over all pixels in registers.

// Loops over lanes and registers are counted: the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::conv::{Blocks, Channels, Layout, each_block, padded};
use super::plan::Plan;
use super::{GROUP, load, multiply_add, store};
use crate::autodiff::map::{BLOCK, Lanes, Map};

/// Gradient of the weights `[output, input of the group, tap]`, given the input and the gradient
/// of the output; `plan` is the pass forward.
pub(crate) fn gradient(input: &Map, plan: &Plan, channels: &Channels, gradient: &Map) -> Vec<f32> {
    let (isa, shape) = (input.device().isa, input.shape());
    let layout = Layout::new(channels, false);
    let groups: Vec<usize> = (0..shape.images).step_by(GROUP).collect();
    let sums: Vec<Vec<Lanes>> = groups
        .par_iter()
        .map_init(Vec::new, |scratch, &first| {
            let mut sums = vec![Lanes::ZERO; layout.len];
            for n in first..(first + GROUP).min(shape.images) {
                let input = padded(input.image(n), shape, plan, scratch);
                let gradient = gradient.image(n);
                isa.run(WeightGradient { input, plan, layout: &layout, gradient, sums: &mut sums });
            }
            sums
        })
        .collect();
    let mut weights =
        vec![0.0; channels.outputs * channels.inputs / channels.groups * channels.taps];
    layout.each(channels.outputs, |vector, lane, [output, input, tap]| {
        if let Some(i) = channels.weight(output, input, tap) {
            weights[i] = sums.iter().map(|s| s[vector].0[lane]).sum();
        }
    });
    weights
}

/// One image.
struct WeightGradient<'a> {
    input: &'a [Lanes],
    plan: &'a Plan,
    layout: &'a Layout,
    gradient: &'a [Lanes],
    sums: &'a mut [Lanes],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        each_block(simd, &mut self);
    }
}

impl Blocks for WeightGradient<'_> {
    fn layout(&self) -> &Layout {
        self.layout
    }

    /// Tiles of `I` input channels.
    #[inline(always)]
    fn block<S: Simd, const V: usize, const I: usize>(&mut self, simd: S, block: usize) {
        let reads = self.layout.blocks[block].0.clone();
        let taps = &self.plan.phases[0].taps;
        for (k, from) in reads.enumerate() {
            let lanes = (self.layout.read - from * BLOCK).min(BLOCK);
            for &(tap, shift) in taps {
                for tile in 0..lanes.div_ceil(I) {
                    let at = (k * self.layout.taps + tap) * BLOCK + tile * I;
                    let source = from * self.plan.plane() + shift;
                    match self.plan.step[1] {
                        1 => self.tile::<S, V, I>(simd, block, source, tile, at, 1),
                        2 => self.tile::<S, V, I>(simd, block, source, tile, at, 2),
                        step => self.tile::<S, V, I>(simd, block, source, tile, at, step),
                    }
                }
            }
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const I: usize>(
        &mut self,
        simd: S,
        block: usize,
        source: usize,
        tile: usize,
        at: usize,
        step: usize,
    ) {
        let Self { input, plan, layout, gradient, sums } = self;
        let parts = BLOCK / S::F32_LANES;
        let [height, width] = plan.output;
        let mut totals = [[simd.splat_f32s(0.0); V]; I];
        for y in 0..height {
            let from = source + y * plan.step[0] * plan.padded[1];
            let pixels = &input[from..][..=(width - 1) * step];
            let mut rows: [&[Lanes]; V] = [&[]; V];
            for (v, row) in rows.iter_mut().enumerate() {
                *row = &gradient[((block + v / parts) * height + y) * width..][..width];
            }
            for x in 0..width {
                let mut g = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    g[v] = load::<S>(&rows[v][x], v % parts);
                }
                let values = &pixels[x * step].0.as_chunks::<I>().0[tile];
                for i in 0..I {
                    let value = simd.splat_f32s(values[i]);
                    for v in 0..V {
                        totals[i][v] = multiply_add(simd, g[v], value, totals[i][v]);
                    }
                }
            }
        }
        for (i, total) in totals.iter().enumerate() {
            for v in 0..V {
                let sum = &mut sums[layout.blocks[block + v / parts].1 + at + i];
                let more = simd.add_f32s(load::<S>(sum, v % parts), total[v]);
                store::<S>(sum, v % parts, more);
            }
        }
    }
}
