//! Gradient of a convolution's weights: for a tap, a few vectors of output channels times a few
//! input channels are summed over all pixels in registers. Rows are taken in bands that stay near
//! the processor while all taps go over them; sums go on in the next band where they were left. A tap
//! goes over those outputs alone for which it reads a pixel of the input.

// Loops over lanes and registers are counted: the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::conv::{Blocks, Channels, Layout, each_block};
use super::plan::Plan;
use super::{GROUP, load, multiply_add, store};
use crate::autodiff::map::{BLOCK, Lanes, Map};

/// Gradient of the weights `[output, input of the group, tap]`, given the input and the gradient
/// of the output; `plan` is the pass forward.
pub(crate) fn gradient(input: &Map, plan: &Plan, channels: &Channels, gradient: &Map) -> Vec<f32> {
    let (isa, shape) = (input.device().isa, input.shape());
    let layout = Layout::new(channels, false);
    let taps = reaches(plan);
    let groups: Vec<usize> = (0..shape.images).step_by(GROUP).collect();
    let sums: Vec<Vec<Lanes>> = groups
        .par_iter()
        .map_init(Vec::new, |left, &first| {
            left.resize(layout.len, Lanes::ZERO);
            let mut sums = vec![Lanes::ZERO; layout.len];
            for n in first..(first + GROUP).min(shape.images) {
                let (input, gradient) = (input.image(n), gradient.image(n));
                let (taps, layout, sums) = (&taps, &layout, &mut sums);
                isa.run(WeightGradient { input, plan, taps, layout, gradient, left, sums });
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

/// The outputs for which a tap reads a pixel of the input.
struct Reach {
    tap: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Row and column of the input that it reads for the first of them.
    from: [usize; 2],
}

/// Those of all taps that read any.
fn reaches(plan: &Plan) -> Vec<Reach> {
    let taps = plan.phases.iter().flat_map(|phase| &phase.taps);
    taps.filter_map(|&(tap, shift)| {
        let first = [shift / plan.padded[1], shift % plan.padded[1]];
        let axis = |a: usize| {
            let (step, zeros) = (plan.step[a].max(1), plan.before[a]);
            let low = zeros.saturating_sub(first[a]).div_ceil(step);
            let high = (plan.source[a] + zeros).saturating_sub(first[a]).div_ceil(step);
            let high = high.min(plan.output[a]);
            (low < high).then(|| (low..high, low * step + first[a] - zeros))
        };
        let ((rows, row), (columns, column)) = (axis(0)?, axis(1)?);
        Some(Reach { tap, rows, columns, from: [row, column] })
    })
    .collect()
}

/// One image.
struct WeightGradient<'a> {
    input: &'a [Lanes],
    plan: &'a Plan,
    taps: &'a [Reach],
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
        let taps = self.taps;
        let [height, width] = self.plan.output;
        let band = (BAND / width.max(1)).max(1);
        for (k, from) in reads.enumerate() {
            let lanes = (self.layout.read - from * BLOCK).min(BLOCK);
            for first in (0..height).step_by(band) {
                let rows = first..(first + band).min(height);
                for reach in taps {
                    for tile in 0..lanes.div_ceil(I) {
                        let at = (k * self.layout.taps + reach.tap) * BLOCK + tile * I;
                        let rows = rows.clone();
                        match self.plan.step[1] {
                            1 => {
                                self.tile::<S, V, I>(simd, block, rows, reach, [from, tile, at], 1);
                            }
                            2 => {
                                self.tile::<S, V, I>(simd, block, rows, reach, [from, tile, at], 2);
                            }
                            s => {
                                self.tile::<S, V, I>(simd, block, rows, reach, [from, tile, at], s);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl WeightGradient<'_> {
    /// A tap in a band of rows, for the tile of a block that is read whose sums are at a place.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const I: usize>(
        &mut self,
        simd: S,
        block: usize,
        rows: Range<usize>,
        reach: &Reach,
        [from, tile, at]: [usize; 3],
        step: usize,
    ) {
        let Self { input, plan, layout, gradient, left, sums, .. } = self;
        let parts = BLOCK / S::F32_LANES;
        let ([height, width], [source_height, source_width]) = (plan.output, plan.source);
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
        let columns = reach.columns.len();
        for y in rows.start.max(reach.rows.start)..rows.end.min(reach.rows.end) {
            let row = reach.from[0] + (y - reach.rows.start) * plan.step[0];
            let pixels = (from * source_height + row) * source_width + reach.from[1];
            let pixels = &input[pixels..][..=(columns - 1) * step];
            let mut rows: [&[Lanes]; V] = [&[]; V];
            for (v, row) in rows.iter_mut().enumerate() {
                let row_at = ((block + v / parts) * height + y) * width + reach.columns.start;
                *row = &gradient[row_at..][..columns];
            }
            for x in 0..columns {
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
