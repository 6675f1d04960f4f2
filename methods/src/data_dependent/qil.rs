//! # What it does
//! Trains the network with an interval of magnitudes for each layer's weights and for each value:
//! what lies below is pruned, what lies above is clipped, what lies within is spread over the
//! levels, weights by a power that is trained as well.
//!
//! # When to use it
//! At 2 to 5 bits, when pruning and clipping should be found by the task's own loss.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `power` (`true`): whether the power of weights is trained; 1 otherwise.
//! - `progressive` (`true`): a sixth of the training each at 5, 4 and 3 bits, but never below the
//!   width asked, and the rest at that width; all of it at that width otherwise.
//! - `start` (`fitted`): where intervals end at the start: `fitted`, where the squared error is
//!   least, or `largest`, at the largest magnitude, which at two bits prunes nearly all weights.
//! - `epochs` (90), `batch` (128), `rate` (0.04), `schedule` (`cosine`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! The wider networks that training starts from get a share of its epochs, not a training each.
//! Levels are multiplied by constants: those of values by the upper end at the start, because all
//! readers of a value read the same numbers; those of weights so that mean magnitudes agree at the
//! start. Intervals begin where they fit and not at the largest magnitude, from which ResNet-8 at
//! two bits does not recover within a few epochs. What is looked at between epochs has the width asked. Gradients of
//! intervals are divided by `sqrt(numbers * levels)` and intervals stay below the largest magnitude
//! seen at the start, as in a public port. Sites wider than 5 bits (first and last layers) have
//! uniform grids over what was seen; a value that can be negative has one that is not trained.
//!
//! # Reference
//! S. Jung et al., "Learning to quantize deep networks by optimizing quantization intervals with
//! task loss", CVPR 2019, arXiv:1808.05779, equations 1 to 6.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, join};
use quantbench_engine::autodiff::{BLOCK, Lanes, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::elementary::{exp, ln};
use crate::parts::train::{
    Grids, Parameter, Still, Trained, Training, ValueGrid, ValueStart, WeightGrid, WeightStart,
    best_end, best_range, params, positive, signed_codes, step_rate, top_code, train,
};

/// Quantization interval learning.
pub struct Qil;

static CARD: Card = Card {
    name: "qil",
    version: 2,
    family: Family::DataDependent,
    summary: "trains intervals outside of which numbers are pruned or clipped",
    when: "2 to 5 bits, with labelled training images",
    paper: "S. Jung et al., Learning to quantize deep networks by optimizing quantization \
            intervals with task loss, CVPR 2019, arXiv:1808.05779",
    cite: "jung2019qil",
    widths: WidthRange { weights: (2, 5), ternary: false, activations: (2, 5) },
    granularity: "weights per tensor (per output channel once batch norm is folded), activations \
                  per tensor",
    stochastic: true,
    params: &[
        Param {
            name: "power",
            help: "whether the power of weights is trained",
            default: Default::Bool(true),
            range: ParamRange::Switch,
        },
        Param {
            name: "progressive",
            help: "whether the first half of the training goes down from 5 bits to the width asked",
            default: Default::Bool(true),
            range: ParamRange::Switch,
        },
        Param {
            name: "start",
            help: "where intervals end at the start: where they fit best, or at the largest magnitude",
            default: Default::Text("fitted"),
            range: ParamRange::Choice(&["fitted", "largest"]),
        },
        params::epochs(90),
        params::batch(128),
        params::rate(0.04),
        params::schedule("cosine"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "the wider networks that training starts from get a share of the epochs, not a training each",
        "intervals begin where they fit best, not at the largest magnitude",
        "levels are multiplied by constants",
        "gradients of intervals are divided by the root of numbers times levels",
        "sites wider than 5 bits have uniform grids over what was seen",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for Qil {
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
        let grids = Intervals {
            power: job.switch("power"),
            progressive: job.switch("progressive"),
            fitted: job.choice("start") == "fitted",
        };
        train(job, &data, &how, &grids, cx)
    }
}

/// Intervals of magnitudes.
struct Intervals {
    power: bool,
    progressive: bool,
    fitted: bool,
}

/// The widest width that is trained.
const WIDEST: u8 = 5;

/// Width of a step of a progressive training: the wider ones share its first half.
fn width(bits: Bits, step: usize, steps: usize) -> u8 {
    let sixth = (6 * step / steps.max(1)).min(3) as u8;
    bits.get().max(WIDEST - sixth)
}

impl Grids for Intervals {
    fn widest(&self) -> (u8, u8) {
        (WIDEST, WIDEST)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let most = start.weights.data.iter().fold(0f32, |m, w| m.max(w.abs()));
        let levels = signed_codes(start.bits).1;
        let rate = step_rate(start.weights.data.len(), levels);
        let most = positive(f64::from(most));
        let start_at = if self.fitted { best_end(&start.weights.data, 2 * levels) } else { most };
        let interval = Interval { start: start_at, most, levels: levels as f32, rate };
        let mut weights = Weights {
            interval,
            scale: 1.0,
            scales: [1.0; SCALES],
            power: self.power,
            progressive: self.progressive,
            bits: start.bits,
        };
        let own: Vec<_> = weights.parameters().into_iter().map(|p| p.value).collect();
        for bits in start.bits.get()..=WIDEST {
            let codes = weights.at(bits).on_grid(start.weights, &own);
            weights.scales[usize::from(bits)] = start.scale_of(&codes);
        }
        Ok(Box::new(weights.at(start.bits.get())))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        if start.signed() {
            return Ok(Box::new(Still::around_zero(start)));
        }
        let levels = top_code(start.bits);
        let rate = step_rate(start.per_image, levels);
        let most = positive(f64::from(start.most));
        let start_at = if self.fitted { best_range(start.seen, levels).1 } else { most };
        Ok(Box::new(Values {
            interval: Interval { start: start_at, most, levels: levels as f32, rate },
            progressive: self.progressive,
            bits: start.bits,
        }))
    }
}

/// An interval of magnitudes: parameters are its centre and half its width.
#[derive(Debug, Clone, Copy)]
struct Interval {
    /// Its upper end at the start.
    start: f32,
    /// Largest magnitude at the start, beyond which it does not grow.
    most: f32,
    /// Levels above zero.
    levels: f32,
    rate: f32,
}

impl Interval {
    fn parameters(&self) -> Vec<Parameter> {
        let half = 0.5 * self.start;
        let one = || Parameter::of(vec![half]).within(1e-2 * half, self.most);
        vec![one(), one()]
    }

    /// Where in the interval a magnitude lies, from 0 to 1.
    #[inline(always)]
    fn place(p: &[f32], magnitude: f32) -> f32 {
        (0.5 * (magnitude - p[0]) / p[1] + 0.5).clamp(0.0, 1.0)
    }

    /// From the gradient of the place to those of the magnitude, the centre and half the width.
    #[inline(always)]
    fn back(&self, p: &[f32], magnitude: f32, place: f32, gradient: f32) -> (f32, f32, f32) {
        let inside = place > 0.0 && place < 1.0;
        let g = if inside { 0.5 * gradient / p[1] } else { 0.0 };
        (g, -g * self.rate, -g * self.rate * (magnitude - p[0]) / p[1])
    }
}

/// Weights around zero.
#[derive(Debug, Clone, Copy)]
struct Weights {
    interval: Interval,
    scale: f32,
    /// Scales by width.
    scales: [f32; SCALES],
    power: bool,
    progressive: bool,
    /// Width asked.
    bits: Bits,
}

/// One scale for each width up to the widest.
const SCALES: usize = WIDEST as usize + 1;

/// Bounds of the power.
const POWERS: (f32, f32) = (0.1, 10.0);

impl Weights {
    /// The same weights at another width.
    fn at(&self, width: u8) -> Self {
        let levels = ((1 << (width - 1)) - 1) as f32;
        let interval = Interval { levels, ..self.interval };
        Self { interval, scale: self.scales[usize::from(width)], ..*self }
    }

    fn on_grid(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor {
        let p = [own[0].data[0], own[1].data[0], own[2].data[0]];
        let codes = weights.data.iter().map(|w| self.code(&p, *w) as i32).collect();
        let top = self.interval.levels as i32;
        let grid = Grid {
            levels: Levels::Affine { qmin: -top, qmax: top },
            bits: self.bits,
            granularity: Granularity::Tensor,
            scale: vec![self.scale / self.interval.levels],
            zero_point: vec![0],
        };
        QuantTensor { dims: weights.dims.clone(), grid, codes }
    }

    /// The place in the interval, and the same to the power.
    #[inline(always)]
    fn spread(p: &[f32], w: f32) -> (f32, f32) {
        let place = Interval::place(p, w.abs());
        // No logarithm of zero.
        let power = if place > 1e-12 { exp(p[2] * ln(place)) } else { 0.0 };
        (place, power)
    }

    #[inline(always)]
    fn code(&self, p: &[f32], w: f32) -> f32 {
        let code = (self.interval.levels * Self::spread(p, w).1).round_ties_even();
        if w < 0.0 { -code } else { code }
    }
}

impl Trained for Weights {
    fn parameters(&self) -> Vec<Parameter> {
        let mut all = self.interval.parameters();
        let rate = if self.power { 1.0 } else { 0.0 };
        all.push(Parameter::of(vec![1.0]).trained(rate, 0.0).within(POWERS.0, POWERS.1));
        all
    }

    fn begin(&mut self, step: usize, steps: usize) {
        if self.progressive {
            *self = self.at(width(self.bits, step, steps));
        }
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let all = join(tape, own)?;
        Some(curve(tape, value, all, *self))
    }
}

impl WeightGrid for Weights {
    fn quantized(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor {
        self.at(self.bits.get()).on_grid(weights, own)
    }
}

impl Curve for Weights {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let unit = self.scale / self.interval.levels;
        Lanes(x.0.map(|w| unit * self.code(p, w)))
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        for i in 0..BLOCK {
            let w = x.0[i];
            let sign = if w < 0.0 { -1.0 } else { 1.0 };
            // Of the power, as a magnitude.
            let g = gradient.0[i] * self.scale * sign;
            let (place, power) = Self::spread(p, w);
            let safe = if place > 1e-12 { place } else { 1.0 };
            let to_place = g * p[2] * power / safe;
            let (own, centre, width) = self.interval.back(p, w.abs(), place, to_place);
            sums[0].0[i] += centre;
            sums[1].0[i] += width;
            sums[2].0[i] += g * self.interval.rate * power * ln(safe);
            gradient.0[i] = own * sign;
        }
    }
}

/// A value from zero on.
#[derive(Debug, Clone, Copy)]
struct Values {
    interval: Interval,
    progressive: bool,
    /// Width asked.
    bits: Bits,
}

impl Trained for Values {
    fn parameters(&self) -> Vec<Parameter> {
        self.interval.parameters()
    }

    fn begin(&mut self, step: usize, steps: usize) {
        if self.progressive {
            self.interval.levels = ((1 << width(self.bits, step, steps)) - 1) as f32;
        }
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let all = join(tape, own)?;
        Some(curve(tape, value, all, *self))
    }
}

impl ValueGrid for Values {
    fn grid(&self, own: &[Tensor]) -> Grid {
        let (centre, half) = (own[0].data[0], own[1].data[0]);
        let count = top_code(self.bits) as f32;
        let threshold = |i: usize| centre - half + 2.0 * half * (i as f32 + 0.5) / count;
        let thresholds = (0..count as usize).map(threshold).collect();
        let unit = self.interval.start / count;
        let levels = (0..=count as usize).map(|i| unit * i as f32).collect();
        Grid::table(Table::new(levels).with_thresholds(thresholds), 1.0, self.bits)
    }
}

impl Curve for Values {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let (levels, unit) = (self.interval.levels, self.interval.start / self.interval.levels);
        Lanes(x.0.map(|x| unit * (levels * Interval::place(p, x)).round_ties_even()))
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        for i in 0..BLOCK {
            let (x, g) = (x.0[i], gradient.0[i] * self.interval.start);
            let place = Interval::place(p, x);
            let (own, centre, width) = self.interval.back(p, x, place, g);
            sums[0].0[i] += centre;
            sums[1].0[i] += width;
            gradient.0[i] = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::train::check::slopes_are_those_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slopes_are_those_of_the_power_over_the_interval(
            x in -2f32..2.0, centre in 0.3f32..1.0, half in 0.2f32..0.6, power in 0.5f32..2.0,
        ) {
            let interval = Interval { start: 1.5, most: 1.5, levels: 3.0, rate: 0.5 };
            let ends = [centre - half, centre + half];
            prop_assume!(ends.iter().all(|end| (x.abs() - end).abs() > 2e-2) && x.abs() > 1e-2);
            let place = |p: &[f64], x: f64| (0.5 * (x - p[0]) / p[1] + 0.5).clamp(0.0, 1.0);
            let values = Values { interval, progressive: false, bits: Bits::new(2).unwrap() };
            let p = [centre, half, power];
            slopes_are_those_of(&values, &p[..2], x, &[0.5; 2], |p, x| 1.5 * place(p, x));
            let bits = Bits::new(3).unwrap();
            let scales = [2.0; SCALES];
            let weights =
                Weights { interval, scale: 2.0, scales, power: true, progressive: true, bits };
            slopes_are_those_of(&weights, &p, x, &[0.5; 3], |p, x| {
                2.0 * x.signum() * place(p, x.abs()).powf(p[2])
            });
        }
    }
}
