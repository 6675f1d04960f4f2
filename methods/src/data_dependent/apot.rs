//! # What it does
//! Trains the network with levels that are sums of powers of two, dense around zero where weights
//! and activations are, scaled by a bound that is trained along; weights are normalised first.
//!
//! # When to use it
//! At 3 to 5 bits, when hardware can shift and add: products need no multiplier.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `weight_bound` (3) and `value_bound` (8): bounds at the start, in standard deviations for
//!   weights.
//! - `epochs` (300), `batch` (128), `rate` (0.04), `schedule` (`steps`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Training starts from the FP32 network and not from one of more bits. Normalised weights are
//! multiplied by the standard deviation that they had at the start, a constant per layer that
//! changes nothing where a batch norm follows. Sites wider than 5 bits (first and last layers) have
//! uniform grids over what was seen, as in the official code. A value that can be negative has a
//! uniform grid that is not trained. The levels of 5-bit magnitudes are recalled from the official
//! code.
//!
//! # Reference
//! Y. Li et al., "Additive powers-of-two quantization: an efficient non-uniform discretization for
//! neural networks", ICLR 2020, arXiv:1909.13144, equations 3 to 9.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve};
use quantbench_engine::autodiff::{BLOCK, Lanes, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Parameter, SMALLEST, Still, Trained, Training, ValueGrid, ValueStart, WeightGrid,
    WeightStart, moments, params, positive, train,
};

/// Additive powers of two.
pub struct APoT;

static CARD: Card = Card {
    name: "apot",
    version: 1,
    family: Family::DataDependent,
    summary: "trains on sums of powers of two, with trained bounds and normalised weights",
    when: "3 to 5 bits, for hardware that shifts and adds",
    paper: "Y. Li et al., Additive powers-of-two quantization: an efficient non-uniform \
            discretization for neural networks, ICLR 2020, arXiv:1909.13144",
    cite: "li2020apot",
    widths: WidthRange { weights: (2, 5), ternary: false, activations: (2, 5) },
    granularity: "weights per tensor (per output channel once batch norm is folded), activations \
                  per tensor; levels are sums of powers of two",
    stochastic: true,
    params: &[
        Param {
            name: "weight_bound",
            help: "bound of normalised weights at the start",
            default: Default::Float(3.0),
            range: ParamRange::Float(0.01, 100.0),
        },
        Param {
            name: "value_bound",
            help: "bound of activations at the start",
            default: Default::Float(8.0),
            range: ParamRange::Float(0.01, 1000.0),
        },
        params::epochs(300),
        params::batch(128),
        params::rate(0.04),
        params::schedule("steps"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "training starts from the FP32 network, not from one of more bits",
        "normalised weights are multiplied by a constant per layer",
        "sites wider than 5 bits have uniform grids over what was seen",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for APoT {
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
        let grids = Sums {
            weight: job.float("weight_bound") as f32,
            value: job.float("value_bound") as f32,
        };
        train(job, &data, &how, &grids, cx)
    }
}

/// Learning rates of bounds of weights and of values, as shares of the network's (the official
/// code has 0.02 and 0.1 beside 0.04), and their weight decay.
const RATES: (f64, f64) = (0.5, 2.5);
const DECAY: f64 = 1e-4;

/// Bounds at the start.
struct Sums {
    weight: f32,
    value: f32,
}

impl Grids for Sums {
    fn widest(&self) -> (u8, u8) {
        (5, 5)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let bits = start.bits;
        let levels = magnitudes(bits.get() - 1);
        let scale = positive(start.moments().1);
        Ok(Box::new(Weights { first: self.weight, scale, bits, levels }))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        if start.signed() {
            return Ok(Box::new(Still::around_zero(start)));
        }
        let levels = magnitudes(start.bits.get());
        Ok(Box::new(Values { first: self.value, bits: start.bits, levels }))
    }
}

/// All sums of one number of each set.
fn sums(sets: &[&[u8]]) -> Vec<f32> {
    let mut all = vec![0u8];
    for set in sets {
        all = all.iter().flat_map(|sum| set.iter().map(move |term| sum + term)).collect();
    }
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(f32::from).collect()
}

/// Magnitudes of so many bits as whole numbers, ascending from zero (section 2.2; the sets for an
/// odd number of bits are the official code's).
fn magnitudes(bits: u8) -> Vec<f32> {
    match bits {
        0 | 1 => vec![0.0, 1.0],
        2 => sums(&[&[0, 1, 2, 4]]),
        3 => sums(&[&[0, 1, 4, 8], &[0, 2]]),
        4 => sums(&[&[0, 2, 8, 32], &[0, 1, 4, 16]]),
        _ => sums(&[&[0, 2, 16, 64], &[0, 1, 8, 32], &[0, 4]]),
    }
}

/// Values from zero on.
#[derive(Debug, Clone)]
struct Values {
    first: f32,
    bits: Bits,
    levels: Vec<f32>,
}

/// The level next to a magnitude in units of the levels; of two as near the higher.
#[inline(always)]
fn nearest(levels: &[f32], x: &Lanes) -> Lanes {
    let mut found = [levels[0]; BLOCK];
    for pair in levels.windows(2) {
        let (threshold, level) = (f32::midpoint(pair[0], pair[1]), pair[1]);
        for (found, x) in found.iter_mut().zip(x.0) {
            *found = if x >= threshold { level } else { *found };
        }
    }
    Lanes(found)
}

fn bound(first: f32, rate: f64) -> Parameter {
    Parameter::of(vec![first]).trained(rate, DECAY).within(first * SMALLEST, f32::MAX)
}

impl Trained for Values {
    fn parameters(&self) -> Vec<Parameter> {
        vec![bound(self.first, RATES.1)]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        Some(curve(tape, value, *own.first()?, self.clone()))
    }
}

impl ValueGrid for Values {
    fn grid(&self, own: &[Tensor]) -> Grid {
        let unit = own[0].data[0] / self.top();
        Grid::table(Table::new(self.levels.clone()), unit, self.bits)
    }
}

impl Values {
    #[inline(always)]
    fn top(&self) -> f32 {
        self.levels[self.levels.len() - 1]
    }
}

impl Curve for Values {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let unit = p[0] / self.top();
        Lanes(nearest(&self.levels, &Lanes(x.0.map(|x| x / unit))).0.map(|level| unit * level))
    }

    /// Equation 8: the bound gets what is cut off, and the rounding error of the rest.
    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        let (top, unit) = (self.top(), p[0] / self.top());
        let level = nearest(&self.levels, &Lanes(x.0.map(|x| x / unit)));
        for i in 0..BLOCK {
            let g = gradient.0[i];
            let inside = x.0[i] < p[0];
            let off = (level.0[i] - x.0[i] / unit) / top;
            sums[0].0[i] += g * if inside { off } else { 1.0 };
            gradient.0[i] = if inside { g } else { 0.0 };
        }
    }
}

/// Weights around zero.
struct Weights {
    first: f32,
    scale: f32,
    bits: Bits,
    levels: Vec<f32>,
}

impl Weights {
    fn curve(&self, weights: &Tensor) -> Normalised {
        let (mean, deviation) = moments(&weights.data);
        let (mean, deviation) = (mean as f32, positive(deviation));
        Normalised { mean, deviation, scale: self.scale, levels: self.levels.clone() }
    }
}

impl Trained for Weights {
    fn parameters(&self) -> Vec<Parameter> {
        vec![bound(self.first, RATES.0)]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let shape = self.curve(tape.flat(value));
        Some(curve(tape, value, *own.first()?, shape))
    }
}

impl WeightGrid for Weights {
    fn quantized(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor {
        let shape = self.curve(weights);
        let p = &own[0].data;
        let positive = self.levels.len() as i32 - 1;
        let code = |w: &f32| {
            let (x, level) = shape.level(p, &Lanes([*w; BLOCK]));
            let place = self.levels.iter().position(|l| *l == level.0[0]).unwrap_or(0) as i32;
            positive + if x.0[0] < 0.0 { -place } else { place }
        };
        let negative = self.levels[1..].iter().rev().map(|l| -l);
        let levels = negative.chain(self.levels.iter().copied()).collect();
        let grid = Grid {
            levels: Levels::Table(Table::new(levels)),
            bits: self.bits,
            granularity: Granularity::Tensor,
            scale: vec![shape.unit(p) * self.scale],
            zero_point: vec![0],
        };
        let codes = weights.data.iter().map(code).collect();
        QuantTensor { dims: weights.dims.clone(), grid, codes }
    }
}

/// Normalised weights on levels around zero; mean and deviation are constants on the way back.
#[derive(Debug, Clone)]
struct Normalised {
    mean: f32,
    deviation: f32,
    scale: f32,
    levels: Vec<f32>,
}

impl Normalised {
    #[inline(always)]
    fn top(&self) -> f32 {
        self.levels[self.levels.len() - 1]
    }

    #[inline(always)]
    fn unit(&self, p: &[f32]) -> f32 {
        p[0] / self.top()
    }

    /// Normalised weights in units of the levels, and the levels of their magnitudes.
    #[inline(always)]
    fn level(&self, p: &[f32], w: &Lanes) -> (Lanes, Lanes) {
        let unit = self.unit(p);
        let x = w.0.map(|w| (w - self.mean) / self.deviation / unit);
        (Lanes(x), nearest(&self.levels, &Lanes(x.map(f32::abs))))
    }
}

impl Curve for Normalised {
    #[inline(always)]
    fn value(&self, p: &[f32], w: &Lanes) -> Lanes {
        let unit = self.unit(p) * self.scale;
        let (x, level) = self.level(p, w);
        let mut y = Lanes::ZERO;
        for i in 0..BLOCK {
            y.0[i] = unit * if x.0[i] < 0.0 { -level.0[i] } else { level.0[i] };
        }
        y
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], w: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        let top = self.top();
        let (x, level) = self.level(p, w);
        for i in 0..BLOCK {
            let (g, x) = (gradient.0[i] * self.scale, x.0[i]);
            let sign = if x < 0.0 { -1.0 } else { 1.0 };
            let off = (sign * level.0[i] - x) / top;
            sums[0].0[i] += g * if x.abs() > top { sign } else { off };
            // Weights beyond the bound are not left alone (the official code).
            gradient.0[i] = g / self.deviation;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::train::check::slopes_are_those_of;
    use proptest::prelude::*;

    #[test]
    fn there_are_as_many_magnitudes_as_their_bits_can_tell_apart() {
        for bits in 1..=5 {
            assert_eq!(magnitudes(bits).len(), 1 << bits, "{bits}");
        }
        assert_eq!(magnitudes(4)[..5], [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(magnitudes(4).last(), Some(&48.0));
    }

    proptest! {
        #[test]
        fn bounds_get_what_is_cut_off_and_the_rounding_error_of_the_rest(
            x in -3f32..3.0, bound in 0.5f32..2.0,
        ) {
            prop_assume!((x.abs() - bound).abs() > 1e-3);
            let (bits, levels) = (Bits::new(3).unwrap(), magnitudes(3));
            let values = Values { first: 1.0, bits, levels: levels.clone() };
            let on = |y: f32, scale: f32| f64::from(y / scale);
            // y = bound * level(x / bound), with level(v) - v as it is now and v itself free.
            let now = (f64::from(x), f64::from(bound));
            let level = on(values.value(&[bound], &Lanes([x; BLOCK])).0[0], bound);
            slopes_are_those_of(&values, &[bound], x, &[1.0], |p, x| {
                let (off, v) = (level - now.0 / now.1, x / p[0]);
                p[0] * if now.0 < now.1 { v + off } else { 1.0 }
            });
            let weights = Normalised { mean: 0.25, deviation: 0.5, scale: 2.0, levels };
            let v = (now.0 - 0.25) / 0.5 / now.1;
            prop_assume!((v.abs() - 1.0).abs() > 1e-3);
            let level = on(weights.value(&[bound], &Lanes([x; BLOCK])).0[0], 2.0 * bound);
            slopes_are_those_of(&weights, &[bound], x, &[1.0], |p, x| {
                // Beyond the bound the number moves freely and the bound moves the end.
                let moved = (x - now.0) / 0.5;
                let inner = if v.abs() < 1.0 { level - v } else { v.signum() };
                2.0 * (moved + inner * (p[0] - now.1))
            });
        }
    }
}
