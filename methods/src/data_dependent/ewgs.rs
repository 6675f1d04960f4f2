//! # What it does
//! Trains the network with intervals that are trained along; on the way back a gradient grows where
//! it pushes a number away from its level and shrinks where it pulls it there, by a factor that
//! follows the curvature of the loss.
//!
//! # When to use it
//! At 4 bits and below, down to one.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them, and six more forward and
//! backward for each time that the factor is measured.
//!
//! # Parameters
//! - `every` (10): epochs between measurements of the curvature; the factor is 0 before the first.
//! - `epochs` (400), `batch` (256), `rate` (1e-3), `schedule` (`cosine`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer;
//!   parameters follow their gradients by Adam.
//!
//! # Differences from the paper
//! Levels of an activation are multiplied by the length that its interval has at the start, a
//! constant, because all readers of a value, shortcuts among them, read the same numbers. The
//! trained factor of a layer's output sits on its weights and begins where mean magnitudes agree.
//! The trace of the Hessian comes from differences of gradients at quantized values moved by a
//! small step along random signs, all layers at once. Sites wider than 4 bits (first and last
//! layers) have uniform grids over what was seen. A value that can be negative begins at its
//! smallest number.
//!
//! # Reference
//! J. Lee et al., "Network quantization with element-wise gradient scaling", CVPR 2021,
//! arXiv:2104.00903, equations 1 to 9.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, join};
use quantbench_engine::autodiff::{BLOCK, Lanes, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Curvature, Grids, Parameter, Trained, Training, ValueGrid, ValueStart, WeightGrid, WeightStart,
    moments, params, positive, top_code, train,
};

/// Element-wise gradient scaling.
pub struct Ewgs;

static CARD: Card = Card {
    name: "ewgs",
    version: 1,
    family: Family::DataDependent,
    summary: "trains intervals, with gradients scaled by rounding errors",
    when: "4 bits and below, with labelled training images",
    paper: "J. Lee et al., Network quantization with element-wise gradient scaling, CVPR 2021, \
            arXiv:2104.00903",
    cite: "lee2021ewgs",
    widths: WidthRange { weights: (1, 4), ternary: false, activations: (1, 4) },
    granularity: "weights per tensor, without zero (per output channel once batch norm is folded), \
                  activations per tensor",
    stochastic: true,
    params: &[
        Param {
            name: "every",
            help: "epochs between measurements of the curvature",
            default: Default::Int(10),
            range: ParamRange::Int(1, 10_000),
        },
        params::epochs(400),
        params::batch(256),
        params::rate(1e-3),
        params::schedule("cosine"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "levels of activations are multiplied by the length of the interval at the start",
        "the trained factor of a layer's output sits on its weights",
        "traces of the Hessian come from differences of gradients",
        "sites wider than 4 bits have uniform grids over what was seen",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for Ewgs {
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
        let how = Training::of(CARD.name, job, params::adam());
        train(job, &data, &how, &Scaled { every: job.int("every") as usize }, cx)
    }
}

/// Learning rate of intervals and factors as a share of the network's (1e-5 beside 1e-3).
const RATE: f64 = 0.01;

/// Intervals with scaled gradients.
struct Scaled {
    every: usize,
}

impl Grids for Scaled {
    fn widest(&self) -> (u8, u8) {
        (4, 4)
    }

    fn curvature_every(&self) -> Option<usize> {
        Some(self.every)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let far = positive(3.0 * start.moments().1);
        let mut weights = Weights { interval: Interval::new([-far, far], start.bits), factor: 1.0 };
        let own = weights.interval.first.map(|v| Tensor::new(vec![1], vec![v]));
        let [low, high] = own;
        let unit = [low, high, Tensor::new(vec![1], vec![1.0])];
        weights.factor = start.scale_of(&weights.quantized(start.weights, &unit));
        Ok(Box::new(weights))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        // The deviation of a normal distribution from that of its positive half.
        let half = (1.0 - 2.0 / std::f64::consts::PI).sqrt();
        let high = positive(3.0 * moments(start.seen).1 / half);
        Ok(Box::new(Values { interval: Interval::new([start.least, high], start.bits) }))
    }
}

/// An interval that is cut into equal steps.
#[derive(Debug, Clone, Copy)]
struct Interval {
    first: [f32; 2],
    steps: f32,
    bits: Bits,
    /// How strongly gradients are scaled.
    delta: f32,
}

impl Interval {
    fn new(first: [f32; 2], bits: Bits) -> Self {
        Self { first, steps: top_code(bits) as f32, bits, delta: 0.0 }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let [low, high] = self.first;
        let length = high - low;
        // The ends may not meet.
        let middle = low + length / 2.0;
        let gap = length * 1e-3;
        vec![
            Parameter::of(vec![low]).trained(RATE, 0.0).within(f32::MIN, middle - gap),
            Parameter::of(vec![high]).trained(RATE, 0.0).within(middle + gap, f32::MAX),
        ]
    }

    /// Where in the interval a number lies, from 0 to 1, and the nearest of the levels there.
    #[inline(always)]
    fn place(&self, p: &[f32], x: f32) -> (f32, f32) {
        let place = ((x - p[0]) / (p[1] - p[0])).clamp(0.0, 1.0);
        (place, (self.steps * place).round_ties_even() / self.steps)
    }

    /// From the gradient of the level to those of the number and of both ends.
    #[inline(always)]
    fn back(&self, p: &[f32], x: f32, gradient: f32) -> (f32, f32, f32) {
        let (place, level) = self.place(p, x);
        // g (1 + delta sign(g) (x - q)), equation 5.
        let g = gradient + self.delta * gradient.abs() * (place - level);
        let length = p[1] - p[0];
        let inside = x > p[0] && x < p[1];
        let g = if inside { g / length } else { 0.0 };
        (g, -g * (1.0 - place), -g * place)
    }

    fn learn(&mut self, curvature: Curvature) {
        let spread = 3.0 * curvature.deviation;
        // Without gradients there is nothing to scale.
        let delta = if spread > 0.0 { curvature.trace / spread } else { 0.0 };
        self.delta = if delta.is_finite() { delta.max(0.0) as f32 } else { 0.0 };
    }
}

/// Weights on levels from minus to plus a factor.
#[derive(Debug, Clone, Copy)]
struct Weights {
    interval: Interval,
    factor: f32,
}

impl Trained for Weights {
    fn parameters(&self) -> Vec<Parameter> {
        let mut all = self.interval.parameters();
        let factor = Parameter::of(vec![self.factor]).trained(RATE, 0.0);
        all.push(factor.within(self.factor * 1e-3, f32::MAX));
        all
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let all = join(tape, own)?;
        Some(curve(tape, value, all, *self))
    }

    fn curvature(&mut self, found: Curvature) {
        self.interval.learn(found);
    }

    fn state(&self) -> Vec<f32> {
        vec![self.interval.delta]
    }

    fn restore(&mut self, state: &[f32]) {
        self.interval.delta = state[0];
    }
}

impl Weights {
    #[inline(always)]
    fn unit(&self, p: &[f32]) -> f32 {
        p[2] / self.interval.steps
    }
}

impl WeightGrid for Weights {
    fn quantized(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor {
        let p = [own[0].data[0], own[1].data[0], own[2].data[0]];
        let steps = self.interval.steps;
        let code = |w: &f32| (self.interval.place(&p, *w).1 * steps).round() as i32;
        let codes = weights.data.iter().map(code).collect();
        let grid = Grid {
            levels: Levels::Table(Table::odd(steps as usize + 1)),
            bits: self.interval.bits,
            granularity: Granularity::Tensor,
            scale: vec![self.unit(&p)],
            zero_point: vec![0],
        };
        QuantTensor { dims: weights.dims.clone(), grid, codes }
    }
}

impl Curve for Weights {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let (unit, steps) = (self.unit(p), self.interval.steps);
        Lanes(x.0.map(|x| {
            let code = (self.interval.place(p, x).1 * steps).round_ties_even();
            unit * (2.0 * code - steps)
        }))
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        for i in 0..BLOCK {
            let (x, g) = (x.0[i], gradient.0[i]);
            let level = 2.0 * self.interval.place(p, x).1 - 1.0;
            let (own, low, high) = self.interval.back(p, x, 2.0 * p[2] * g);
            sums[0].0[i] += low;
            sums[1].0[i] += high;
            sums[2].0[i] += g * level;
            gradient.0[i] = own;
        }
    }
}

/// A value on levels from the low to the high end that its interval had at the start.
#[derive(Debug, Clone, Copy)]
struct Values {
    interval: Interval,
}

impl Values {
    #[inline(always)]
    fn length(&self) -> f32 {
        self.interval.first[1] - self.interval.first[0]
    }
}

impl Trained for Values {
    fn parameters(&self) -> Vec<Parameter> {
        self.interval.parameters()
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let all = join(tape, own)?;
        Some(curve(tape, value, all, *self))
    }

    fn curvature(&mut self, found: Curvature) {
        self.interval.learn(found);
    }

    fn state(&self) -> Vec<f32> {
        vec![self.interval.delta]
    }

    fn restore(&mut self, state: &[f32]) {
        self.interval.delta = state[0];
    }
}

impl ValueGrid for Values {
    fn grid(&self, own: &[Tensor]) -> Grid {
        let (low, high) = (own[0].data[0], own[1].data[0]);
        let steps = self.interval.steps;
        let level = |i: usize| self.interval.first[0] + self.length() * (i as f32 / steps);
        let threshold = |i: usize| low + (high - low) * ((i as f32 + 0.5) / steps);
        let levels = (0..=steps as usize).map(level).collect();
        let thresholds = (0..steps as usize).map(threshold).collect();
        Grid::table(Table::new(levels).with_thresholds(thresholds), 1.0, self.interval.bits)
    }
}

impl Curve for Values {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let (low, length) = (self.interval.first[0], self.length());
        Lanes(x.0.map(|x| low + length * self.interval.place(p, x).1))
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        let length = self.length();
        for i in 0..BLOCK {
            let (own, low, high) = self.interval.back(p, x.0[i], length * gradient.0[i]);
            sums[0].0[i] += low;
            sums[1].0[i] += high;
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
        fn without_curvature_slopes_are_those_of_the_interval(
            x in -3f32..3.0, low in -2f32..-0.5, high in 0.5f32..2.0, factor in 0.5f32..2.0,
        ) {
            prop_assume!((x - low).abs() > 1e-3 && (x - high).abs() > 1e-3);
            let interval = Interval::new([-1.0, 1.5], Bits::new(2).unwrap());
            let place = |p: &[f64], x: f64| ((x - p[0]) / (p[1] - p[0])).clamp(0.0, 1.0);
            let values = Values { interval };
            slopes_are_those_of(&values, &[low, high], x, &[1.0; 2], |p, x| 2.5 * place(p, x));
            let weights = Weights { interval, factor };
            let level = 2.0 * f64::from(interval.place(&[low, high], x).1) - 1.0;
            let now = f64::from(factor);
            slopes_are_those_of(&weights, &[low, high, factor], x, &[1.0; 3], |p, x| {
                now * 2.0 * place(p, x) + (p[2] - now) * level
            });
        }
    }

    #[test]
    fn a_gradient_grows_where_it_pushes_away_from_the_level() {
        let mut interval = Interval::new([0.0, 1.0], Bits::new(1).unwrap());
        interval.learn(Curvature { trace: 0.6, deviation: 0.2 });
        assert!((interval.delta - 1.0).abs() < 1e-6);
        let (p, x) = ([0.0, 1.0], 0.25);
        assert!((interval.back(&p, x, 1.0).0 - 1.25).abs() < 1e-6);
        assert!((interval.back(&p, x, -1.0).0 + 0.75).abs() < 1e-6);
        // Where nothing moves, and where the loss curves downwards, it is left as it is.
        for (trace, deviation) in [(1.0, 0.0), (-1.0, 1.0), (f64::NAN, 1.0)] {
            interval.learn(Curvature { trace, deviation });
            assert_eq!(interval.delta, 0.0);
        }
    }
}
