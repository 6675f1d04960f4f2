//! # What it does
//! Trains the network with levels that are sums of the numbers of a small basis with signs
//! (weights) or without them (activations); in each step the basis moves towards the one with the
//! smallest squared error for the codes of that step.
//!
//! # When to use it
//! At 2 to 4 bits, when products are made of bit planes: each code is as many bits as its basis has
//! numbers.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `average` (0.1): share of a step's basis in the moving one.
//! - `epochs` (400), `batch` (100), `rate` (0.02), `schedule` (`steps`), `warm_up` (0),
//!   `weight_decay` (5e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Training starts from the FP32 network: bases of weights begin with each channel's deviation in
//! place of that of a random start, bases of activations with the root mean square of the first
//! batch, and both are fitted to it by alternating codes and basis before training. The normal
//! equations of activations get the same ridge as those of weights. Sites wider than 4 bits (first
//! and last layers, FP32 in the paper) have uniform grids over what was seen; a value that can be
//! negative has one that is not trained.
//!
//! # Reference
//! D. Zhang et al., "LQ-Nets: learned quantization for highly accurate and compact deep neural
//! networks", ECCV 2018, arXiv:1807.10029, equations 4 to 9 and algorithm 1.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, with_slopes};
use quantbench_engine::autodiff::{BLOCK, Lanes, Map, Tape, Var};
use quantbench_graph::Artefact;
use rayon::prelude::*;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::basis::Basis;
use crate::parts::train::{
    Grids, Still, Trained, Training, ValueGrid, ValueStart, WeightGrid, WeightStart, moments,
    nothing, params, positive, rows, train,
};
use crate::parts::vector::vectorised;

/// LQ-Nets.
pub struct LqNets;

static CARD: Card = Card {
    name: "lq-nets",
    version: 1,
    family: Family::DataDependent,
    summary: "trains on sums of a basis that follows weights and activations by least squares",
    when: "2 to 4 bits, for products of bit planes",
    paper: "D. Zhang et al., LQ-Nets: learned quantization for highly accurate and compact deep \
            neural networks, ECCV 2018, arXiv:1807.10029",
    cite: "zhang2018lqnets",
    widths: WidthRange { weights: (1, 4), ternary: false, activations: (2, 4) },
    granularity: "weights per output channel with levels of its own, activations per tensor",
    stochastic: true,
    params: &[
        Param {
            name: "average",
            help: "share of a step's basis in the moving one",
            default: Default::Float(0.1),
            range: ParamRange::Float(0.0, 1.0),
        },
        params::epochs(400),
        params::batch(100),
        params::rate(0.02),
        params::schedule("steps"),
        params::WARM_UP,
        params::weight_decay(5e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "training starts from the FP32 network, with bases fitted to it",
        "normal equations of activations get a ridge as well",
        "sites wider than 4 bits have uniform grids over what was seen",
        "batch norm is folded after training",
    ],
};

impl Recipe for LqNets {
    type Data = Labelled;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let how = Training::of(CARD.name, job, params::sgd());
        train(job, &data, &how, &Bases { average: job.float("average") as f32 }, cx)
    }
}

/// Alternations of codes and basis before training.
const FITS: usize = 20;

/// Where the middle half of a normal distribution ends, in standard deviations (the official
/// code's start).
const QUARTILE: f32 = 0.6745;

/// Bases that follow what they stand for.
struct Bases {
    average: f32,
}

impl Grids for Bases {
    fn widest(&self) -> (u8, u8) {
        (4, 4)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let bits = start.bits.get();
        let rows = rows(start.weights, start.axis);
        let of = |row: &Vec<f32>| {
            let unit = QUARTILE * positive(moments(row).1) / f32::from(1u8 << (bits - 1));
            let mut basis = Basis::signed(unit, bits);
            (0..FITS).for_each(|_| basis.follow(&basis.tally(row), 1.0));
            basis
        };
        let bases = rows.iter().map(of).collect();
        let (axis, average) = (start.axis, self.average);
        Ok(Box::new(Weights { bases, axis, average, bits: start.bits }))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        if start.signed() {
            return Ok(Box::new(Still::around_zero(start)));
        }
        let bits = start.bits.get();
        let squares: f64 = start.seen.iter().map(|v| f64::from(*v).powi(2)).sum();
        let root = positive((squares / start.seen.len().max(1) as f64).sqrt());
        let unit = QUARTILE * 2.0 * root / f32::from((1u8 << bits) - 1);
        let mut basis = Basis::unsigned(unit, bits);
        (0..FITS).for_each(|_| basis.follow(&basis.tally(start.seen), 1.0));
        Ok(Box::new(Values { basis, average: self.average, bits: start.bits }))
    }
}

/// Weights with a basis for each output channel.
struct Weights {
    bases: Vec<Basis>,
    axis: usize,
    average: f32,
    bits: Bits,
}

impl Trained for Weights {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let weights = tape.flat(value);
        let quantized = self.quantized(weights, &[]).dequantize();
        let rows = rows(weights, self.axis);
        for (basis, row) in self.bases.iter_mut().zip(&rows) {
            basis.follow(&basis.tally(row), self.average);
        }
        Some(with_slopes(tape, value, quantized, None))
    }

    fn state(&self) -> Vec<f32> {
        self.bases.iter().flat_map(|b| b.numbers().iter().copied()).collect()
    }

    fn restore(&mut self, state: &[f32]) {
        let each = usize::from(self.bits.get());
        self.bases.iter_mut().zip(state.chunks(each)).for_each(|(b, s)| b.set(s));
    }
}

impl WeightGrid for Weights {
    fn quantized(&self, weights: &Tensor, _: &[Tensor]) -> QuantTensor {
        let channels = self.bases.len();
        let levels = self.bases.iter().flat_map(Basis::levels).collect();
        let grid = Grid {
            levels: Levels::Table(Table::rows(levels, 1 << self.bits.get())),
            bits: self.bits,
            granularity: Granularity::Channel { axis: self.axis },
            scale: vec![1.0; channels],
            zero_point: vec![0; channels],
        };
        grid.put(weights)
    }
}

/// A value from zero on with a basis.
struct Values {
    basis: Basis,
    average: f32,
    bits: Bits,
}

impl Trained for Values {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let (levels, thresholds) = (self.basis.levels(), self.basis.thresholds());
        let tally = tally(tape.map(value), &thresholds);
        let none = nothing(tape);
        let done = curve(tape, value, none, Stairs { levels, thresholds });
        self.basis.follow(&tally, self.average);
        Some(done)
    }

    fn state(&self) -> Vec<f32> {
        self.basis.numbers().to_vec()
    }

    fn restore(&mut self, state: &[f32]) {
        self.basis.set(state);
    }
}

impl ValueGrid for Values {
    fn grid(&self, _: &[Tensor]) -> Grid {
        Grid::table(Table::new(self.basis.levels()), 1.0, self.bits)
    }
}

/// Levels from zero on; the way back is open from zero to the highest.
#[derive(Debug, Clone)]
struct Stairs {
    levels: Vec<f32>,
    thresholds: Vec<f32>,
}

impl Curve for Stairs {
    #[inline(always)]
    fn value(&self, _: &[f32], x: &Lanes) -> Lanes {
        let mut found = [self.levels[0]; BLOCK];
        for (threshold, level) in self.thresholds.iter().zip(&self.levels[1..]) {
            for (found, x) in found.iter_mut().zip(x.0) {
                *found = if x >= *threshold { *level } else { *found };
            }
        }
        Lanes(found)
    }

    #[inline(always)]
    fn slope(&self, _: &[f32], x: &Lanes, gradient: &mut Lanes, _: &mut [Lanes]) {
        let top = self.levels[self.levels.len() - 1];
        for i in 0..BLOCK {
            let inside = x.0[i] >= 0.0 && x.0[i] < top;
            gradient.0[i] = if inside { gradient.0[i] } else { 0.0 };
        }
    }
}

/// How many numbers of a map lie on each level, and their sums.
fn tally(map: &Map, thresholds: &[f32]) -> Vec<(f64, f64)> {
    let shape = map.shape();
    let images = (0..shape.images).into_par_iter().map(|n| {
        let image = map.image(n);
        vectorised(
            #[inline(always)]
            || above(image, shape.pixels(), &|block| shape.lanes(block), thresholds),
        )
    });
    let parts: Vec<_> = images.collect();
    let mut above = vec![(0f64, 0f64); thresholds.len() + 1];
    for part in parts {
        above.iter_mut().zip(part).for_each(|(a, (n, s))| *a = (a.0 + n, a.1 + s));
    }
    for i in 0..thresholds.len() {
        above[i] = (above[i].0 - above[i + 1].0, above[i].1 - above[i + 1].1);
    }
    above
}

/// Number and sum of what lies at or above each threshold, first of all numbers, of one image.
#[inline(always)]
fn above(
    image: &[Lanes],
    pixels: usize,
    lanes: &dyn Fn(usize) -> usize,
    thresholds: &[f32],
) -> Vec<(f64, f64)> {
    // So many are added in FP32 before they go to FP64.
    const RUN: usize = 256;
    let mut totals = vec![(0f64, 0f64); thresholds.len() + 1];
    for (block, plane) in image.chunks(pixels).enumerate() {
        let real = lanes(block);
        for run in plane.chunks(RUN) {
            for (at, total) in totals.iter_mut().enumerate() {
                let threshold = if at == 0 { f32::MIN } else { thresholds[at - 1] };
                let (mut count, mut sum) = ([0f32; BLOCK], [0f32; BLOCK]);
                for x in run {
                    for i in 0..BLOCK {
                        let reached = x.0[i] >= threshold;
                        count[i] += if reached { 1.0 } else { 0.0 };
                        sum[i] += if reached { x.0[i] } else { 0.0 };
                    }
                }
                total.0 += count[..real].iter().map(|v| f64::from(*v)).sum::<f64>();
                total.1 += sum[..real].iter().map(|v| f64::from(*v)).sum::<f64>();
            }
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_engine::autodiff::Device;

    #[test]
    fn every_number_is_counted_on_its_level() {
        let data: Vec<f32> = (0..2 * 19 * 9).map(|i| (i % 7) as f32 / 2.0).collect();
        let map = Device::new().map(&Tensor::new(vec![2, 19, 3, 3], data.clone())).unwrap();
        let basis = Basis::unsigned(1.0, 2);
        let found = tally(&map, &basis.thresholds());
        let want = basis.tally(&data);
        for (a, b) in found.iter().zip(&want) {
            assert!((a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-3, "{a:?} {b:?}");
        }
    }
}
