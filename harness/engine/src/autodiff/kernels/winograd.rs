//! Convolution with 3 x 3 kernels and steps of one by minimal filtering (Lavin and Gray 2016,
//! `F(2 x 2, 3 x 3)`): a tile of 2 x 2 outputs takes 16 products per pair of channels, not 36.
//!
//! Tiles of a batch are transformed (equation 13's `B`), multiplied at each of their 16 points by
//! the register tiles of [`super::conv`], and transformed back (`A`). Rounding errors are of the size
//! of those of the direct sum.

// Loops over lanes and registers are counted: the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::conv::{Blocks, Layout, Packed, each_block, padded};
use super::plan::Plan;
use super::{load, store};
use crate::autodiff::isa::Isa;
use crate::autodiff::map::{BLOCK, Lanes, Map};

/// Points of a transformed tile.
const POINTS: usize = 16;

/// Tiles that are transformed before they are multiplied.
const TILES: usize = 16;

/// Vectors between the same tile's points: one more than needed, so that they do not all fall on the
/// same lines of the cache.
const ROOM: usize = TILES + 1;

/// With fewer channels transforming costs more than it saves.
const LEAST: usize = 8;

/// A plan with 3 x 3 kernels and steps of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nine {
    /// The kernel position at each place of the 3 x 3 that are read, row by row.
    taps: [usize; 9],
}

impl Nine {
    /// What a plan reads; none if it is of another kind, or its output smaller than a tile.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let [phase] = plan.phases.as_slice() else { return None };
        let steps = plan.step == [1; 2] && phase.every == [1; 2] && phase.origin == [0; 2];
        if !steps || phase.taps.len() != 9 || plan.output.iter().any(|size| *size < 2) {
            return None;
        }
        let mut taps = phase.taps.clone();
        taps.sort_unstable_by_key(|(_, shift)| *shift);
        let corner = taps[0].1;
        let width = plan.padded[1];
        let nine = (0..9).map(|i| corner + i / 3 * width + i % 3);
        if !nine.eq(taps.iter().map(|(_, shift)| *shift)) {
            return None;
        }
        Some(Self { taps: std::array::from_fn(|i| taps[i].0) })
    }

    /// Whether it saves time with that many channels to read.
    pub(super) fn pays(channels: usize) -> bool {
        channels >= LEAST
    }
}

/// Writes all of `out` from `source`, with a start per written block: [`super::conv::pass`].
pub(super) fn pass(
    source: &Map,
    plan: &Plan,
    nine: &Nine,
    weights: &Packed,
    start: &[Lanes],
    out: &mut Map,
) {
    let isa = out.device().isa;
    let weights = transformed(isa, weights, nine);
    let per_image = out.shape().per_image();
    let shape = source.shape();
    out.par_chunks_mut(per_image.max(1)).enumerate().for_each_init(
        || (Vec::new(), Scratch::new(shape.blocks())),
        |(zeros, scratch), (n, out)| {
            let source = padded(source.image(n), shape, plan, zeros);
            isa.run(Image { source, plan, weights: &weights, start, scratch, out });
        },
    );
}

/// `G g G'` of each pair of channels, in the order of [`Layout`] with points in place of taps.
fn transformed(isa: Isa, weights: &Packed, nine: &Nine) -> Packed {
    let layout = weights.layout.with_taps(POINTS);
    let mut data = vec![Lanes::ZERO; layout.len];
    // As many for each block that is read by one that is written.
    let out = data.par_chunks_mut(POINTS * BLOCK);
    out.zip(weights.data.par_chunks(9 * BLOCK)).for_each(|(out, taps)| {
        isa.run(Kernels { nine, taps, out });
    });
    Packed { layout, data }
}

struct Kernels<'a> {
    nine: &'a Nine,
    taps: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl WithSimd for Kernels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for i in 0..BLOCK {
            for part in 0..BLOCK / S::F32_LANES {
                let mut columns = [[simd.splat_f32s(0.0); 4]; 3];
                for c in 0..3 {
                    let mut column = [simd.splat_f32s(0.0); 3];
                    for r in 0..3 {
                        column[r] =
                            load::<S>(&self.taps[self.nine.taps[3 * r + c] * BLOCK + i], part);
                    }
                    columns[c] = kernel_line(simd, column);
                }
                for r in 0..4 {
                    let done = kernel_line(simd, [columns[0][r], columns[1][r], columns[2][r]]);
                    for c in 0..4 {
                        store::<S>(&mut self.out[(4 * r + c) * BLOCK + i], part, done[c]);
                    }
                }
            }
        }
    }
}

/// `G` times a column.
#[inline(always)]
fn kernel_line<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 4] {
    let (half, ends) = (simd.splat_f32s(0.5), simd.add_f32s(a, c));
    let plus = simd.mul_f32s(half, simd.add_f32s(ends, b));
    let minus = simd.mul_f32s(half, simd.sub_f32s(ends, b));
    [a, plus, minus, c]
}

/// `B'` times a column.
#[inline(always)]
fn source_line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// `A'` times a column.
#[inline(always)]
fn output_line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    let (plus, minus) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
    [simd.add_f32s(a, plus), simd.sub_f32s(minus, d)]
}

/// Some transformed tiles of a block of channels.
type Points = [[Lanes; ROOM]; POINTS];

/// What one thread keeps.
struct Scratch {
    /// [`Points`] of each block that is read.
    tiles: Vec<[Lanes; ROOM]>,
    /// Their products for two blocks that are written.
    products: Vec<[Lanes; ROOM]>,
}

impl Scratch {
    fn new(reads: usize) -> Self {
        let zeros = |blocks: usize| vec![[Lanes::ZERO; ROOM]; blocks * POINTS];
        Self { tiles: zeros(reads), products: zeros(2) }
    }
}

/// One image.
struct Image<'a> {
    source: &'a [Lanes],
    plan: &'a Plan,
    weights: &'a Packed,
    /// What sums begin with, per written block.
    start: &'a [Lanes],
    scratch: &'a mut Scratch,
    out: &'a mut [Lanes],
}

impl WithSimd for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, plan, weights, start, scratch, out } = self;
        let tiles = scratch.tiles.as_chunks_mut().0;
        let products = scratch.products.as_chunks_mut().0;
        let [height, width] = plan.output;
        let across = width.div_ceil(2);
        let count = height.div_ceil(2) * across;
        for first in (0..count).step_by(TILES) {
            let mut corners = [[0; 2]; TILES];
            let corners = &mut corners[..TILES.min(count - first)];
            for (corner, tile) in corners.iter_mut().zip(first..) {
                // The last tiles may overlap the ones before.
                let (y, x) = (2 * (tile / across), 2 * (tile % across));
                *corner = [y.min(height - 2), x.min(width - 2)];
            }
            forth(simd, source, plan, corners, tiles);
            let (corners, size) = (&*corners, plan.output);
            let mut batch = Batch { corners, size, weights, start, tiles, products, out };
            each_block(simd, &mut batch);
        }
    }
}

/// `B' d B` of the tiles with these corners, of an image with zeros around it.
#[inline(always)]
fn forth<S: Simd>(
    simd: S,
    source: &[Lanes],
    plan: &Plan,
    corners: &[[usize; 2]],
    tiles: &mut [Points],
) {
    let width = plan.padded[1];
    let first = plan.phases[0].taps.iter().map(|(_, shift)| *shift).min().unwrap_or(0);
    let planes = source.chunks_exact(plan.plane().max(1));
    for (plane, tiles) in planes.zip(tiles) {
        for (tile, [y, x]) in corners.iter().enumerate() {
            let mut rows: [&[Lanes]; 4] = [&[]; 4];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = &plane[first + (y + r) * width + x..][..4];
            }
            for part in 0..BLOCK / S::F32_LANES {
                let mut columns = [[simd.splat_f32s(0.0); 4]; 4];
                for c in 0..4 {
                    let mut column = [simd.splat_f32s(0.0); 4];
                    for r in 0..4 {
                        column[r] = load::<S>(&rows[r][c], part);
                    }
                    columns[c] = source_line(simd, column);
                }
                for r in 0..4 {
                    let line = [columns[0][r], columns[1][r], columns[2][r], columns[3][r]];
                    let done = source_line(simd, line);
                    for c in 0..4 {
                        store::<S>(&mut tiles[4 * r + c][tile], part, done[c]);
                    }
                }
            }
        }
    }
}

/// Some tiles of an image, transformed.
struct Batch<'a> {
    corners: &'a [[usize; 2]],
    /// Rows and columns of the output.
    size: [usize; 2],
    weights: &'a Packed,
    start: &'a [Lanes],
    tiles: &'a [Points],
    products: &'a mut [Points],
    out: &'a mut [Lanes],
}

impl Blocks for Batch<'_> {
    fn layout(&self) -> &Layout {
        &self.weights.layout
    }

    /// Products of `N` tiles at once.
    #[inline(always)]
    fn block<S: Simd, const V: usize, const N: usize>(&mut self, simd: S, block: usize) {
        let len = self.corners.len();
        for point in 0..POINTS {
            let mut tile = 0;
            while len - tile >= N {
                self.multiply::<S, V, N>(simd, block, point, tile);
                tile += N;
            }
            while tile < len {
                // Beyond the last tile lie numbers that nothing reads.
                self.multiply::<S, V, 4>(simd, block, point, tile.min(TILES - 4));
                tile += 4;
            }
        }
        for v in 0..V {
            self.back::<S>(simd, block, v);
        }
    }
}

impl Batch<'_> {
    /// `N` tiles from one on at a point, over all channels that are read.
    #[inline(always)]
    fn multiply<S: Simd, const V: usize, const N: usize>(
        &mut self,
        simd: S,
        block: usize,
        point: usize,
        tile: usize,
    ) {
        let parts = BLOCK / S::F32_LANES;
        let layout = &self.weights.layout;
        let (reads, _) = &layout.blocks[block];
        let mut sums = [[simd.splat_f32s(0.0); V]; N];
        for (k, from) in reads.clone().enumerate() {
            let lanes = (layout.read - from * BLOCK).min(BLOCK);
            let tiles = &self.tiles[from][point][tile..][..N];
            let at = (k * POINTS + point) * BLOCK;
            self.weights.add_products(simd, block, at, lanes, tiles, 1, &mut sums);
        }
        for v in 0..V {
            let to = &mut self.products[v / parts][point][tile..][..N];
            for (to, sum) in to.iter_mut().zip(&sums) {
                store::<S>(to, v % parts, sum[v]);
            }
        }
    }

    /// `A' m A` of all tiles, for a vector of channels from a block on.
    #[inline(always)]
    fn back<S: Simd>(&mut self, simd: S, block: usize, vector: usize) {
        let parts = BLOCK / S::F32_LANES;
        let (block, slot, part) = (block + vector / parts, vector / parts, vector % parts);
        let [height, width] = self.size;
        let start = load::<S>(&self.start[block], part);
        let products = &self.products[slot];
        let out = &mut self.out[block * height * width..][..height * width];
        for (tile, [y, x]) in self.corners.iter().enumerate() {
            let mut columns = [[simd.splat_f32s(0.0); 2]; 4];
            for c in 0..4 {
                let mut column = [simd.splat_f32s(0.0); 4];
                for r in 0..4 {
                    column[r] = load::<S>(&products[4 * r + c][tile], part);
                }
                columns[c] = output_line(simd, column);
            }
            for r in 0..2 {
                let line = [columns[0][r], columns[1][r], columns[2][r], columns[3][r]];
                let done = output_line(simd, line);
                let out = &mut out[(y + r) * width + x..][..2];
                for c in 0..2 {
                    store::<S>(&mut out[c], part, simd.add_f32s(start, done[c]));
                }
            }
        }
    }
}
