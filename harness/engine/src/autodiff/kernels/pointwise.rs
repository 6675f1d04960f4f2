//! Arithmetic that treats every number alike, or alike within a channel.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{GROUP, load, store};
use crate::autodiff::map::{BLOCK, Lanes, Map};

/// Vectors of a work item, enough to outweigh its hand-over.
const CHUNK: usize = 1 << 12;

/// A function of one number, or of several at the same place.
pub(crate) trait Pointwise<const N: usize>: Copy + Send + Sync {
    /// The function.
    fn apply<S: Simd>(&self, simd: S, inputs: [S::f32s; N]) -> S::f32s;
}

/// Writes the function of maps of equal shape to all of `out`.
pub(crate) fn apply<const N: usize>(
    function: impl Pointwise<N>,
    inputs: [&[Lanes]; N],
    out: &mut Map,
) {
    let isa = out.device().isa;
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, out)| {
        let inputs = inputs.map(|input| &input[i * CHUNK..][..out.len()]);
        isa.run(Apply { function, inputs, out });
    });
}

struct Apply<'a, F, const N: usize> {
    function: F,
    inputs: [&'a [Lanes]; N],
    out: &'a mut [Lanes],
}

impl<F: Pointwise<N>, const N: usize> WithSimd for Apply<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { function, inputs, out } = self;
        for (i, out) in out.iter_mut().enumerate() {
            for part in 0..BLOCK / S::F32_LANES {
                let mut values = [simd.splat_f32s(0.0); N];
                for (value, input) in values.iter_mut().zip(&inputs) {
                    *value = load::<S>(&input[i], part);
                }
                store::<S>(out, part, function.apply(simd, values));
            }
        }
    }
}

/// Changes a map in place: the function of what stands there and of maps of equal shape.
pub(crate) fn update<const N: usize>(
    function: impl Update<N>,
    map: &mut Map,
    inputs: [&[Lanes]; N],
) {
    let isa = map.device().isa;
    map.par_chunks_mut(CHUNK).enumerate().for_each(|(i, map)| {
        let inputs = inputs.map(|input| &input[i * CHUNK..][..map.len()]);
        isa.run(Change { function, inputs, map });
    });
}

/// A function of the number that is replaced and others at the same place.
pub(crate) trait Update<const N: usize>: Copy + Send + Sync {
    /// The function.
    fn apply<S: Simd>(&self, simd: S, old: S::f32s, inputs: [S::f32s; N]) -> S::f32s;
}

struct Change<'a, F, const N: usize> {
    function: F,
    inputs: [&'a [Lanes]; N],
    map: &'a mut [Lanes],
}

impl<F: Update<N>, const N: usize> WithSimd for Change<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { function, inputs, map } = self;
        for (i, out) in map.iter_mut().enumerate() {
            for part in 0..BLOCK / S::F32_LANES {
                let mut values = [simd.splat_f32s(0.0); N];
                for (value, input) in values.iter_mut().zip(&inputs) {
                    *value = load::<S>(&input[i], part);
                }
                let old = load::<S>(out, part);
                store::<S>(out, part, function.apply(simd, old, values));
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Add;

impl Update<1> for Add {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, old: S::f32s, [more]: [S::f32s; 1]) -> S::f32s {
        simd.add_f32s(old, more)
    }
}

/// Adds a map to another of equal shape.
pub(crate) fn add_to(sum: &mut Map, more: &Map) {
    update(Add, sum, [more]);
}

/// `K` sums over images and pixels, per channel, of functions of maps of equal shape.
pub(crate) trait Reduce<const N: usize, const K: usize>: Copy + Send + Sync {
    /// What one place adds to each sum; `block` is its block of channels.
    fn terms<S: Simd>(
        &self,
        simd: S,
        block: usize,
        part: usize,
        inputs: [S::f32s; N],
    ) -> [S::f32s; K];
}

/// The sums of a [`Reduce`], `[sum][channel]`.
pub(crate) fn reduce<const N: usize, const K: usize>(
    function: impl Reduce<N, K>,
    inputs: [&Map; N],
) -> [Vec<f64>; K] {
    let (shape, isa) = (inputs[0].shape(), inputs[0].device().isa);
    let groups: Vec<usize> = (0..shape.images).step_by(GROUP).collect();
    let sums: Vec<Vec<[Lanes; K]>> = groups
        .par_iter()
        .map(|&first| {
            let mut sums = vec![[Lanes::ZERO; K]; shape.blocks()];
            for n in first..(first + GROUP).min(shape.images) {
                let inputs = inputs.map(|input| input.image(n));
                let pixels = shape.pixels();
                isa.run(Sum { function, inputs, pixels, sums: &mut sums });
            }
            sums
        })
        .collect();
    std::array::from_fn(|k| {
        (0..shape.channels)
            .map(|c| sums.iter().map(|s| f64::from(s[c / BLOCK][k].0[c % BLOCK])).sum())
            .collect()
    })
}

struct Sum<'a, F, const N: usize, const K: usize> {
    function: F,
    inputs: [&'a [Lanes]; N],
    pixels: usize,
    sums: &'a mut [[Lanes; K]],
}

impl<F: Reduce<N, K>, const N: usize, const K: usize> WithSimd for Sum<'_, F, N, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Sums that are added to in turn, so that one addition need not wait for the one before.
        const TURNS: usize = 4;
        for block in 0..self.sums.len() {
            let inputs = self.inputs.map(|input| &input[block * self.pixels..][..self.pixels]);
            for part in 0..BLOCK / S::F32_LANES {
                let mut totals = [[simd.splat_f32s(0.0); K]; TURNS];
                let whole = self.pixels / TURNS * TURNS;
                for i in (0..whole).step_by(TURNS) {
                    for (turn, totals) in totals.iter_mut().enumerate() {
                        self.take(simd, [block, part, i + turn], &inputs, totals);
                    }
                }
                for i in whole..self.pixels {
                    self.take(simd, [block, part, i], &inputs, &mut totals[0]);
                }
                let [a, b, c, d] = totals;
                for k in 0..K {
                    let total = simd.add_f32s(simd.add_f32s(a[k], b[k]), simd.add_f32s(c[k], d[k]));
                    let sum = &mut self.sums[block][k];
                    let total = simd.add_f32s(load::<S>(sum, part), total);
                    store::<S>(sum, part, total);
                }
            }
        }
    }
}

impl<F: Reduce<N, K>, const N: usize, const K: usize> Sum<'_, F, N, K> {
    /// Adds the terms of a pixel.
    #[inline(always)]
    fn take<S: Simd>(
        &self,
        simd: S,
        [block, part, pixel]: [usize; 3],
        inputs: &[&[Lanes]; N],
        totals: &mut [S::f32s; K],
    ) {
        let mut values = [simd.splat_f32s(0.0); N];
        for (value, input) in values.iter_mut().zip(inputs) {
            *value = load::<S>(&input[pixel], part);
        }
        let terms = self.function.terms(simd, block, part, values);
        for (total, term) in totals.iter_mut().zip(terms) {
            *total = simd.add_f32s(*total, term);
        }
    }
}

/// A function of a channel's own numbers and of numbers at the same place.
pub(crate) trait PerChannel<const N: usize>: Copy + Send + Sync {
    /// The function.
    fn apply<S: Simd>(&self, simd: S, block: usize, part: usize, inputs: [S::f32s; N]) -> S::f32s;
}

/// Writes a function of maps of equal shape to all of `out`.
pub(crate) fn per_channel<const N: usize>(
    function: impl PerChannel<N>,
    inputs: [&Map; N],
    out: &mut Map,
) {
    let (shape, isa) = (out.shape(), out.device().isa);
    let pixels = shape.pixels().max(1);
    out.par_chunks_mut(shape.per_image().max(1)).enumerate().for_each(|(n, out)| {
        let inputs = inputs.map(|input| input.image(n));
        isa.run(Scale { function, inputs, pixels, out });
    });
}

struct Scale<'a, F, const N: usize> {
    function: F,
    inputs: [&'a [Lanes]; N],
    pixels: usize,
    out: &'a mut [Lanes],
}

impl<F: PerChannel<N>, const N: usize> WithSimd for Scale<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { function, inputs, pixels, out } = self;
        for (block, out) in out.chunks_mut(pixels).enumerate() {
            let inputs = inputs.map(|input| &input[block * pixels..][..out.len()]);
            for part in 0..BLOCK / S::F32_LANES {
                for (i, out) in out.iter_mut().enumerate() {
                    let mut values = [simd.splat_f32s(0.0); N];
                    for (value, input) in values.iter_mut().zip(&inputs) {
                        *value = load::<S>(&input[i], part);
                    }
                    store::<S>(out, part, function.apply(simd, block, part, values));
                }
            }
        }
    }
}
