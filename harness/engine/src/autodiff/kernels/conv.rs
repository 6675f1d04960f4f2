//! Convolution over all channels of a group, by register tiles on a padded copy of each image.
//!
//! A tile holds a few vectors of output channels for a few neighbouring pixels; each input value
//! is spread over a vector and multiplied with the weights of all these channels. Forward and
//! backward to the input are the same pass with other weights, see [`Plan`]. What [`winograd`] can do
//! with fewer products goes there.

// Loops over lanes and registers are counted: the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::plan::{Phase, Plan};
use super::winograd::{self, Nine};
use super::{load, multiply_add, store};
use crate::autodiff::map::{BLOCK, Lanes, Map, MapShape};

/// Channels and groups of a convolution with as many kernel positions as `taps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    /// Of the input.
    pub(crate) inputs: usize,
    /// Of the output.
    pub(crate) outputs: usize,
    /// Groups; both are multiples.
    pub(crate) groups: usize,
    /// Kernel positions.
    pub(crate) taps: usize,
}

impl Channels {
    /// Whether each channel is convolved on its own.
    pub(crate) fn alone(&self) -> bool {
        self.groups == self.inputs && self.groups == self.outputs
    }

    /// Position of a weight in `[output, input of the group, tap]`; none across groups.
    pub(super) fn weight(&self, output: usize, input: usize, tap: usize) -> Option<usize> {
        if self.groups == 1 {
            return Some((output * self.inputs + input) * self.taps + tap);
        }
        let (per_in, per_out) = (self.inputs / self.groups, self.outputs / self.groups);
        let same = output / per_out == input / per_in;
        same.then(|| (output * per_in + input % per_in) * self.taps + tap)
    }
}

/// For each block of written channels the blocks that it reads, and where its weights begin.
///
/// Weights lie as `[written block][read block][tap][read channel]`, each a vector of written
/// channels; pairs of channels in different groups have weight zero.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) blocks: Vec<(Range<usize>, usize)>,
    pub(super) len: usize,
    pub(super) taps: usize,
    /// Channels that are read.
    pub(super) read: usize,
}

impl Layout {
    /// Whether the next block reads the same blocks.
    fn alike(&self, block: usize) -> bool {
        let next = self.blocks.get(block + 1);
        next.is_some_and(|next| next.0 == self.blocks[block].0)
    }

    /// The same with another number of kernel positions.
    pub(super) fn with_taps(&self, taps: usize) -> Self {
        let scaled = |at: usize| at / self.taps.max(1) * taps;
        let blocks = self.blocks.iter().map(|(reads, at)| (reads.clone(), scaled(*at)));
        Self { blocks: blocks.collect(), len: scaled(self.len), taps, read: self.read }
    }

    /// Forward, or backward to the input.
    pub(super) fn new(channels: &Channels, backward: bool) -> Self {
        let Channels { inputs, outputs, groups, taps } = *channels;
        let (read, written) = if backward { (outputs, inputs) } else { (inputs, outputs) };
        let (per_read, per_written) = (read / groups, written / groups);
        let mut len = 0;
        let blocks = (0..written.div_ceil(BLOCK))
            .map(|block| {
                let last = ((block + 1) * BLOCK).min(written) - 1;
                let first = block * BLOCK / per_written * per_read / BLOCK;
                let end = ((last / per_written + 1) * per_read).div_ceil(BLOCK);
                let at = len;
                len += (end - first) * taps * BLOCK;
                (first..end, at)
            })
            .collect();
        Self { blocks, len, taps, read }
    }

    /// Calls with each place of a weight: its vector and lane, written and read channel, tap.
    pub(super) fn each(&self, written: usize, mut call: impl FnMut(usize, usize, [usize; 3])) {
        for (block, (reads, at)) in self.blocks.iter().enumerate() {
            for (k, from) in reads.clone().enumerate() {
                for tap in 0..self.taps {
                    for i in 0..BLOCK.min(self.read - from * BLOCK) {
                        let vector = at + (k * self.taps + tap) * BLOCK + i;
                        for lane in 0..BLOCK.min(written - block * BLOCK) {
                            call(vector, lane, [block * BLOCK + lane, from * BLOCK + i, tap]);
                        }
                    }
                }
            }
        }
    }
}

/// Weights as a pass reads them.
pub(crate) struct Packed {
    pub(super) layout: Layout,
    pub(super) data: Vec<Lanes>,
}

impl Packed {
    /// For the pass forward; `weights` are `[output, input of the group, tap]`.
    pub(crate) fn forward(weights: &[f32], channels: &Channels) -> Self {
        let layout = Layout::new(channels, false);
        let mut data = vec![Lanes::ZERO; layout.len];
        layout.each(channels.outputs, |vector, lane, [output, input, tap]| {
            if let Some(i) = channels.weight(output, input, tap) {
                data[vector].0[lane] = weights[i];
            }
        });
        Self { layout, data }
    }

    /// For the pass from the output's gradient to the input's.
    pub(crate) fn backward(weights: &[f32], channels: &Channels) -> Self {
        let layout = Layout::new(channels, true);
        let mut data = vec![Lanes::ZERO; layout.len];
        layout.each(channels.inputs, |vector, lane, [input, output, tap]| {
            if let Some(i) = channels.weight(output, input, tap) {
                data[vector].0[lane] = weights[i];
            }
        });
        Self { layout, data }
    }
}

impl Packed {
    /// Adds the products of `P` values, `step` vectors apart, with the weights of `V` vectors of
    /// channels from a written block on, over the first `lanes` channels of a block that is read;
    /// `at` is where its weights lie from the beginning of the written block's.
    #[allow(clippy::too_many_arguments)] // All of them differ from call to call.
    #[inline(always)]
    pub(super) fn add_products<S: Simd, const V: usize, const P: usize>(
        &self,
        simd: S,
        block: usize,
        at: usize,
        lanes: usize,
        values: &[Lanes],
        step: usize,
        sums: &mut [[S::f32s; V]; P],
    ) {
        let parts = BLOCK / S::F32_LANES;
        let mut rows: [&[Lanes]; V] = [&[]; V];
        for (v, row) in rows.iter_mut().enumerate() {
            *row = &self.data[self.layout.blocks[block + v / parts].1 + at..][..BLOCK];
        }
        for i in 0..lanes {
            let mut w = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                w[v] = load::<S>(&rows[v][i], v % parts);
            }
            for p in 0..P {
                let value = simd.splat_f32s(values[p * step].0[i]);
                for v in 0..V {
                    sums[p][v] = multiply_add(simd, w[v], value, sums[p][v]);
                }
            }
        }
    }
}

/// Writes all of `out` from `source`, with a bias per written channel if there is one.
pub(crate) fn pass(source: &Map, plan: &Plan, weights: &Packed, bias: &[f32], out: &mut Map) {
    let mut start = vec![Lanes::ZERO; weights.layout.blocks.len()];
    for (i, &b) in bias.iter().enumerate() {
        start[i / BLOCK].0[i % BLOCK] = b;
    }
    match Nine::of(plan).filter(|_| Nine::pays(weights.layout.read)) {
        Some(nine) => winograd::pass(source, plan, &nine, weights, &start, out),
        None => direct(source, plan, weights, &start, out),
    }
}

/// Product by product, with a start per written block.
pub(super) fn direct(source: &Map, plan: &Plan, weights: &Packed, start: &[Lanes], out: &mut Map) {
    let (isa, shape) = (out.device().isa, source.shape());
    let per_image = out.shape().per_image();
    out.par_chunks_mut(per_image.max(1)).enumerate().for_each_init(
        Vec::new,
        |scratch, (n, out)| {
            let source = padded(source.image(n), shape, plan, scratch);
            isa.run(Pass { source, plan, weights, start, out });
        },
    );
}

/// An image with zeros around it; itself if there are none.
pub(super) fn padded<'a>(
    image: &'a [Lanes],
    shape: MapShape,
    plan: &Plan,
    scratch: &'a mut Vec<Lanes>,
) -> &'a [Lanes] {
    if plan.padded == plan.source {
        return image;
    }
    let (plane, width) = (plan.plane(), plan.source[1].max(1));
    // Zeros stay zeros from image to image: only the inside is written.
    if scratch.len() != plane * shape.blocks() {
        scratch.clear();
        scratch.resize(plane * shape.blocks(), Lanes::ZERO);
    }
    for (block, rows) in image.chunks(shape.pixels().max(1)).enumerate() {
        for (y, row) in rows.chunks(width).enumerate() {
            let at = block * plane + (y + plan.before[0]) * plan.padded[1] + plan.before[1];
            scratch[at..at + width].copy_from_slice(row);
        }
    }
    scratch
}

/// One image.
struct Pass<'a> {
    source: &'a [Lanes],
    plan: &'a Plan,
    weights: &'a Packed,
    /// What sums begin with, per written block.
    start: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        each_block(simd, &mut self);
    }
}

/// Work that is done for a block of written channels, or for two with the same read blocks at once.
pub(super) trait Blocks {
    /// Which blocks there are.
    fn layout(&self) -> &Layout;

    /// `V` vectors of channels from a block on, with `N` sums for each.
    fn block<S: Simd, const V: usize, const N: usize>(&mut self, simd: S, block: usize);
}

/// All blocks, with as many sums in registers as hide the latency of an addition.
#[inline(always)]
pub(super) fn each_block<S: Simd>(simd: S, work: &mut impl Blocks) {
    let blocks = work.layout().blocks.len();
    let mut block = 0;
    while block < blocks {
        match S::F32_LANES {
            16 if work.layout().alike(block) => {
                work.block::<S, 2, 8>(simd, block);
                block += 1;
            }
            16 => work.block::<S, 1, 16>(simd, block),
            8 => work.block::<S, 2, 4>(simd, block),
            _ if S::REGISTER_COUNT >= 32 => work.block::<S, 4, 4>(simd, block),
            _ => work.block::<S, 4, 2>(simd, block),
        }
        block += 1;
    }
}

impl Blocks for Pass<'_> {
    fn layout(&self) -> &Layout {
        &self.weights.layout
    }

    /// Tiles of `P` pixels.
    #[inline(always)]
    fn block<S: Simd, const V: usize, const P: usize>(&mut self, simd: S, block: usize) {
        let plan = self.plan;
        for phase in &plan.phases {
            for y in 0..phase.size[0] {
                let width = phase.size[1];
                if width >= P {
                    let mut x = 0;
                    while x < width {
                        // The last tile may overlap the one before.
                        x = x.min(width - P);
                        self.strided::<S, V, P>(simd, block, phase, y, x);
                        x += P;
                    }
                } else {
                    let mut x = 0;
                    while width - x >= 4 {
                        self.strided::<S, V, 4>(simd, block, phase, y, x);
                        x += 4;
                    }
                    while x < width {
                        self.strided::<S, V, 1>(simd, block, phase, y, x);
                        x += 1;
                    }
                }
            }
        }
    }
}

impl Pass<'_> {
    /// With the usual steps known to the compiler.
    #[inline(always)]
    fn strided<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        block: usize,
        phase: &Phase,
        y: usize,
        x: usize,
    ) {
        match self.plan.step[1] {
            1 => self.tile::<S, V, P>(simd, block, phase, [y, x], 1),
            2 => self.tile::<S, V, P>(simd, block, phase, [y, x], 2),
            step => self.tile::<S, V, P>(simd, block, phase, [y, x], step),
        }
    }

    /// One tile.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        block: usize,
        phase: &Phase,
        [y, x]: [usize; 2],
        step: usize,
    ) {
        let Self { source, plan, weights, start, out } = self;
        let parts = BLOCK / S::F32_LANES;
        let layout = &weights.layout;
        let (reads, _) = &layout.blocks[block];
        let base = y * plan.step[0] * plan.padded[1] + x * step;
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for v in 0..V {
            let first = load::<S>(&start[block + v / parts], v % parts);
            for sum in &mut sums {
                sum[v] = first;
            }
        }
        for (k, from) in reads.clone().enumerate() {
            let lanes = (layout.read - from * BLOCK).min(BLOCK);
            for &(tap, shift) in &phase.taps {
                let pixels = &source[from * plan.plane() + base + shift..][..=(P - 1) * step];
                let at = (k * layout.taps + tap) * BLOCK;
                weights.add_products(simd, block, at, lanes, pixels, step, &mut sums);
            }
        }
        let pixels = plan.output[0] * plan.output[1];
        let to = (phase.origin[0] + y * phase.every[0]) * plan.output[1]
            + phase.origin[1]
            + x * phase.every[1];
        for (p, sum) in sums.iter().enumerate() {
            for v in 0..V {
                let at = (block + v / parts) * pixels + to + p * phase.every[1];
                store::<S>(&mut out[at], v % parts, sum[v]);
            }
        }
    }
}
