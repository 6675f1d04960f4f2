//! Gradient of a convolution's weights: for a tap, a few vectors of output channels times a few
//! input channels are summed over all pixels in registers. Rows are taken in bands that stay near
//! the processor while all taps go over them; sums go on in the next band where they were left.

// Loops over lanes and registers are counted: the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

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
        .map_init(Default::default, |(scratch, left): &mut (Vec<Lanes>, Vec<Lanes>), &first| {
            left.resize(layout.len, Lanes::ZERO);
            let mut sums = vec![Lanes::ZERO; layout.len];
            for n in first..(first + GROUP).min(shape.images) {
                let input = padded(input.image(n), shape, plan, scratch);
                let gradient = gradient.image(n);
                let (layout, sums) = (&layout, &mut sums);
                isa.run(WeightGradient { input, plan, layout, gradient, left, sums });
            }
            sums
        })
        .collect();
    let mut sums = sums.into_iter();
    let mut total = sums.next().unwrap_or_else(|| vec![Lanes::ZERO; layout.len]);
    for more in sums {
        for (total, more) in total.iter_mut().zip(&more) {
            total.0.iter_mut().zip(&more.0).for_each(|(t, m)| *t += m);
        }
    }
    let mut weights =
        vec![0.0; channels.outputs * channels.inputs / channels.groups * channels.taps];
    layout.each(channels.outputs, |vector, lane, [output, input, tap]| {
        if let Some(i) = channels.weight(output, input, tap) {
            weights[i] = total[vector].0[lane];
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
    /// Sums over the bands before.
    left: &'a mut [Lanes],
    sums: &'a mut [Lanes],
}

/// Rows of a band are at least one, and as many as hold this many vectors of a block: a third of
/// the fastest memory of today's processors.
const BAND: usize = 128;

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
        let [height, width] = self.plan.output;
        let band = (BAND / width.max(1)).max(1);
        for (k, from) in reads.enumerate() {
            let lanes = (self.layout.read - from * BLOCK).min(BLOCK);
            for first in (0..height).step_by(band) {
                let rows = first..(first + band).min(height);
                for &(tap, shift) in taps {
                    for tile in 0..lanes.div_ceil(I) {
                        let at = (k * self.layout.taps + tap) * BLOCK + tile * I;
                        let source = from * self.plan.plane() + shift;
                        let rows = rows.clone();
                        match self.plan.step[1] {
                            1 => self.tile::<S, V, I>(simd, block, rows, source, tile, at, 1),
                            2 => self.tile::<S, V, I>(simd, block, rows, source, tile, at, 2),
                            step => self.tile::<S, V, I>(simd, block, rows, source, tile, at, step),
                        }
                    }
                }
            }
        }
    }
}

impl WeightGradient<'_> {
    #[allow(clippy::too_many_arguments)] // All of them differ from tile to tile.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const I: usize>(
        &mut self,
        simd: S,
        block: usize,
        rows: Range<usize>,
        source: usize,
        tile: usize,
        at: usize,
        step: usize,
    ) {
        let Self { input, plan, layout, gradient, left, sums } = self;
        let parts = BLOCK / S::F32_LANES;
        let [height, width] = plan.output;
        let is_last = rows.end == height;
        let mut totals = [[simd.splat_f32s(0.0); V]; I];
        if rows.start > 0 {
            for (i, total) in totals.iter_mut().enumerate() {
                for v in 0..V {
                    let place = layout.blocks[block + v / parts].1 + at + i;
                    total[v] = load::<S>(&left[place], v % parts);
                }
            }
        }
        for y in rows {
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
                let place = layout.blocks[block + v / parts].1 + at + i;
                if !is_last {
                    store::<S>(&mut left[place], v % parts, total[v]);
                    continue;
                }
                let sum = &mut sums[place];
                let more = simd.add_f32s(load::<S>(sum, v % parts), total[v]);
                store::<S>(sum, v % parts, more);
            }
        }
    }
}
