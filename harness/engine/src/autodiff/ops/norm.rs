//! Batch normalisation, with an optional rectified linear unit behind it.

use pulp::Simd;
use quantbench_core::Tensor;

use super::where_positive;
use crate::autodiff::kernels::pointwise::{self, PerChannel, Reduce};
use crate::autodiff::kernels::{load, multiply_add};
use crate::autodiff::map::{BLOCK, Lanes, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Mean and variance per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances: sums of squares over the number of values.
    pub variance: Vec<f32>,
}

impl Moments {
    /// Moves towards the moments of a batch of so many values per channel:
    /// `(1 - momentum) old + momentum new`, variances unbiased (PyTorch's semantics).
    pub fn follow(&mut self, batch: &Moments, count: usize, momentum: f32) {
        let unbiased = count as f32 / (count.max(2) - 1) as f32;
        let pairs = self.mean.iter_mut().zip(&batch.mean);
        pairs.for_each(|(old, new)| *old += momentum * (new - *old));
        let pairs = self.variance.iter_mut().zip(&batch.variance);
        pairs.for_each(|(old, new)| *old += momentum * (new * unbiased - *old));
    }
}

/// How maps are normalised.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Added to variances.
    pub epsilon: f32,
    /// With these moments; none: with those of the batch, through which the gradient goes.
    pub frozen: Option<&'a Moments>,
    /// Whether `max(., 0)` follows.
    pub relu: bool,
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta` per channel (Ioffe and Szegedy 2015),
/// with as many numbers in `gamma` and `beta` as channels, and the moments of the batch.
///
/// None if a parameter has another number of channels, or a batch of no values is to have moments.
pub fn norm(
    tape: &mut Tape,
    input: Var,
    gamma: Var,
    beta: Var,
    how: &Norm<'_>,
) -> Option<(Var, Moments)> {
    let x = tape.map(input);
    let channels = x.shape().channels;
    let moments = match how.frozen {
        Some(moments) => moments.clone(),
        None => moments_of(x)?,
    };
    let (g, b) = (&tape.flat(gamma).data, &tape.flat(beta).data);
    let fits = [g.len(), b.len(), moments.mean.len(), moments.variance.len()];
    if fits.iter().any(|n| *n != channels) {
        return None;
    }
    let deviation = moments.variance.iter().map(|v| 1.0 / (v + how.epsilon).sqrt());
    let deviation: Vec<f32> = deviation.collect();
    let slope: Vec<f32> = g.iter().zip(&deviation).map(|(g, d)| g * d).collect();
    let offset = b.iter().zip(&slope).zip(&moments.mean).map(|((b, s), m)| b - s * m);
    let (slope, offset) = (lanes(slope.iter().copied()), lanes(offset));
    let mut y = x.device().dirty(x.shape());
    let line = Line { slope: &slope, offset: &offset, relu: how.relu };
    pointwise::per_channel(line, [x], &mut y);
    let op = NormOp {
        vars: [input, gamma, beta],
        deviation,
        mean: moments.mean.clone(),
        batch: how.frozen.is_none(),
        relu: how.relu,
    };
    Some((tape.push(&[input, gamma, beta], Value::Map(y), op), moments))
}

/// Mean and variance of the values of each channel; none without values.
pub(super) fn moments_of(x: &Map) -> Option<Moments> {
    let count = (x.shape().images * x.shape().pixels()) as f64;
    if count == 0.0 {
        return None;
    }
    // Around the first value, so that a large mean does not swallow the variance.
    let first: Vec<f32> = (0..x.shape().channels).map(|c| x.at(0, c, 0)).collect();
    let shift = lanes(first.iter().copied());
    let [sums, squares] = pointwise::reduce(Shifted(&shift), [x]);
    let mean = sums.iter().map(|s| s / count);
    let variance = mean.clone().zip(&squares).map(|(m, s)| (s / count - m * m).max(0.0) as f32);
    let mean = mean.zip(&first).map(|(m, f)| (m + f64::from(*f)) as f32);
    Some(Moments { mean: mean.collect(), variance: variance.collect() })
}

/// One number per channel, as maps hold them.
pub(super) fn lanes(values: impl ExactSizeIterator<Item = f32>) -> Vec<Lanes> {
    let mut lanes = vec![Lanes::ZERO; values.len().div_ceil(BLOCK)];
    for (i, v) in values.enumerate() {
        lanes[i / BLOCK].0[i % BLOCK] = v;
    }
    lanes
}

struct NormOp {
    vars: [Var; 3],
    deviation: Vec<f32>,
    mean: Vec<f32>,
    batch: bool,
    relu: bool,
}

impl Op for NormOp {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let [input, gamma, beta] = self.vars;
        let x = back.map(input);
        let (mean, deviation) =
            (lanes(self.mean.iter().copied()), lanes(self.deviation.iter().copied()));
        let unit = Unit { mean: &mean, deviation: &deviation };
        // Sums of the gradient, and of the gradient times the normalised value, if they are needed.
        let idle = !self.batch && !back.wants(gamma) && !back.wants(beta);
        let [plain, weighted] = if idle {
            [vec![0.0; x.shape().channels], vec![0.0; x.shape().channels]]
        } else if self.relu {
            pointwise::reduce(MaskedSums(unit), [&gradient, x, back.output()])
        } else {
            pointwise::reduce(Sums(unit), [&gradient, x])
        };
        let narrow = |of: Var, sums: &[f64]| {
            let data = sums.iter().map(|s| *s as f32).collect();
            Value::Flat(Tensor::new(back.flat(of).dims.clone(), data))
        };
        let (to_gamma, to_beta) = (narrow(gamma, &weighted), narrow(beta, &plain));
        if back.wants(input) {
            let count = (x.shape().images * x.shape().pixels()) as f64;
            let slope = back.flat(gamma).data.iter().zip(&self.deviation).map(|(g, d)| g * d);
            let slope = lanes(slope.collect::<Vec<f32>>().into_iter());
            let share = |sums: &[f64]| {
                let share = if self.batch { 1.0 / count } else { 0.0 };
                lanes(sums.iter().map(|s| (s * share) as f32).collect::<Vec<f32>>().into_iter())
            };
            let (plain, weighted) = (share(&plain), share(&weighted));
            let way = Way { unit, slope: &slope, plain: &plain, weighted: &weighted };
            let mut out = x.device().dirty(x.shape());
            if self.relu {
                pointwise::per_channel(Masked(way), [&gradient, x, back.output()], &mut out);
            } else {
                pointwise::per_channel(way, [&gradient, x], &mut out);
            }
            back.give(input, Value::Map(out));
        }
        back.give(gamma, to_gamma);
        back.give(beta, to_beta);
    }
}

/// `slope x + offset`.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) slope: &'a [Lanes],
    pub(super) offset: &'a [Lanes],
    pub(super) relu: bool,
}

impl PerChannel<1> for Line<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, block: usize, part: usize, [x]: [S::f32s; 1]) -> S::f32s {
        let (slope, offset) =
            (load::<S>(&self.slope[block], part), load::<S>(&self.offset[block], part));
        let y = multiply_add(simd, x, slope, offset);
        if self.relu { simd.max_f32s(y, simd.splat_f32s(0.0)) } else { y }
    }
}

/// Sums of values and of their squares around a value per channel.
#[derive(Clone, Copy)]
struct Shifted<'a>(&'a [Lanes]);

impl Reduce<1, 2> for Shifted<'_> {
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        simd: S,
        block: usize,
        part: usize,
        [x]: [S::f32s; 1],
    ) -> [S::f32s; 2] {
        let x = simd.sub_f32s(x, load::<S>(&self.0[block], part));
        [x, simd.mul_f32s(x, x)]
    }
}

/// What makes a value one of mean zero and variance one.
#[derive(Clone, Copy)]
struct Unit<'a> {
    mean: &'a [Lanes],
    deviation: &'a [Lanes],
}

impl Unit<'_> {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, block: usize, part: usize, x: S::f32s) -> S::f32s {
        let centred = simd.sub_f32s(x, load::<S>(&self.mean[block], part));
        simd.mul_f32s(centred, load::<S>(&self.deviation[block], part))
    }
}

#[derive(Clone, Copy)]
struct Sums<'a>(Unit<'a>);

impl Reduce<2, 2> for Sums<'_> {
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        simd: S,
        block: usize,
        part: usize,
        [g, x]: [S::f32s; 2],
    ) -> [S::f32s; 2] {
        [g, simd.mul_f32s(g, self.0.of(simd, block, part, x))]
    }
}

#[derive(Clone, Copy)]
struct MaskedSums<'a>(Unit<'a>);

impl Reduce<3, 2> for MaskedSums<'_> {
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        simd: S,
        block: usize,
        part: usize,
        [g, x, y]: [S::f32s; 3],
    ) -> [S::f32s; 2] {
        Sums(self.0).terms(simd, block, part, [where_positive(simd, y, g), x])
    }
}

/// `slope (g - plain - unit(x) weighted)`.
#[derive(Clone, Copy)]
struct Way<'a> {
    unit: Unit<'a>,
    slope: &'a [Lanes],
    plain: &'a [Lanes],
    weighted: &'a [Lanes],
}

impl PerChannel<2> for Way<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, block: usize, part: usize, [g, x]: [S::f32s; 2]) -> S::f32s {
        let unit = self.unit.of(simd, block, part, x);
        let g = simd.sub_f32s(g, load::<S>(&self.plain[block], part));
        let weighted = load::<S>(&self.weighted[block], part);
        let g = simd.sub_f32s(g, simd.mul_f32s(unit, weighted));
        simd.mul_f32s(g, load::<S>(&self.slope[block], part))
    }
}

#[derive(Clone, Copy)]
struct Masked<'a>(Way<'a>);

impl PerChannel<3> for Masked<'_> {
    #[inline(always)]
    fn apply<S: Simd>(
        &self,
        simd: S,
        block: usize,
        part: usize,
        [g, x, y]: [S::f32s; 3],
    ) -> S::f32s {
        self.0.apply(simd, block, part, [where_positive(simd, y, g), x])
    }
}
