//! # What it does
//! Trains the network with levels between two ends that are trained along; on the way back each
//! step of the rounding is a hyperbolic tangent, whose sharpness is trained as well.
//!
//! # When to use it
//! At 4 bits and below, when gradients should know how far a number is from its next level.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `softness` (0.2): how far steps are from hard ones at the start, between 0 and 0.5.
//! - `epochs` (90), `batch` (128), `rate` (0.01), `schedule` (`cosine`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Ends of weights begin at three standard deviations around their mean, those of values where a
//! search finds the smallest squared error on the first batch. Gradients of ends and softness are
//! divided by `sqrt(numbers * steps)`, as LSQ does. The
//! softness stays between 0.001 and 0.49. Sites wider than 4 bits (first and last layers) have
//! uniform grids over what was seen.
//!
//! # Reference
//! R. Gong et al., "Differentiable soft quantization: bridging full-precision and low-bit neural
//! networks", ICCV 2019, arXiv:1908.05033, equations 3 to 12.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, join};
use quantbench_engine::autodiff::{BLOCK, Lanes, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::elementary::{ln, tanh};
use crate::parts::train::{
    Grids, Parameter, Trained, Training, ValueGrid, ValueStart, WeightGrid, WeightStart,
    best_range, params, step_rate, top_code, train,
};

/// Differentiable soft quantization.
pub struct Dsq;

static CARD: Card = Card {
    name: "dsq",
    version: 1,
    family: Family::DataDependent,
    summary: "trains ends of ranges, with tangents in place of steps on the way back",
    when: "4 bits and below, with labelled training images",
    paper: "R. Gong et al., Differentiable soft quantization: bridging full-precision and low-bit \
            neural networks, ICCV 2019, arXiv:1908.05033",
    cite: "gong2019dsq",
    widths: WidthRange { weights: (1, 4), ternary: false, activations: (1, 4) },
    granularity: "weights per tensor (per output channel once batch norm is folded), activations \
                  per tensor; zero need not be a level",
    stochastic: true,
    params: &[
        Param {
            name: "softness",
            help: "how far steps are from hard ones at the start",
            default: Default::Float(0.2),
            range: ParamRange::Float(0.001, 0.49),
        },
        params::epochs(90),
        params::batch(128),
        params::rate(0.01),
        params::schedule("cosine"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "ends begin at three standard deviations (weights) and at the smallest squared error \
         (activations)",
        "gradients of ends and softness are divided by the root of numbers times steps",
        "sites wider than 4 bits have uniform grids over what was seen",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for Dsq {
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
        train(job, &data, &how, &Soft { softness: job.float("softness") as f32 }, cx)
    }
}

/// Ranges with trained ends.
struct Soft {
    softness: f32,
}

impl Grids for Soft {
    fn widest(&self) -> (u8, u8) {
        (4, 4)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let (mean, deviation) = start.moments();
        let far = if deviation > 0.0 { 3.0 * deviation } else { 1.0 };
        let ends = [(mean - far) as f32, (mean + far) as f32];
        Ok(Box::new(Range::new(ends, self.softness, start.bits, start.weights.data.len())))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        let (low, high) = best_range(start.seen, top_code(start.bits));
        Ok(Box::new(Range::new([low, high], self.softness, start.bits, start.per_image)))
    }
}

/// Levels from a low to a high end, with tangents between them on the way back.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: [f32; 2],
    softness: f32,
    steps: f32,
    bits: Bits,
    rate: f32,
}

impl Range {
    fn new(first: [f32; 2], softness: f32, bits: Bits, numbers: usize) -> Self {
        let top = top_code(bits);
        let rate = step_rate(numbers, top);
        Self { first, softness, steps: top as f32, bits, rate }
    }

    /// The step between levels, kept above zero where the ends have met.
    #[inline(always)]
    fn step(&self, p: &[f32]) -> f32 {
        ((p[1] - p[0]) / self.steps).max(1e-6)
    }

    fn table(&self, own: &[Tensor]) -> Grid {
        let p = [own[0].data[0], own[1].data[0]];
        let step = self.step(&p);
        let levels = (0..=self.steps as usize).map(|i| p[0] + step * i as f32).collect();
        Grid {
            levels: Levels::Table(Table::new(levels)),
            bits: self.bits,
            granularity: Granularity::Tensor,
            scale: vec![1.0],
            zero_point: vec![0],
        }
    }
}

impl Trained for Range {
    fn parameters(&self) -> Vec<Parameter> {
        let [low, high] = self.first;
        vec![
            Parameter::of(vec![low]),
            Parameter::of(vec![high]),
            Parameter::of(vec![self.softness]).within(0.001, 0.49),
        ]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let all = join(tape, own)?;
        Some(curve(tape, value, all, *self))
    }
}

impl WeightGrid for Range {
    fn quantized(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor {
        self.table(own).put(weights)
    }
}

impl ValueGrid for Range {
    fn grid(&self, own: &[Tensor]) -> Grid {
        self.table(own)
    }
}

impl Curve for Range {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let step = self.step(p);
        let code = |x: f32| ((x - p[0]) / step).max(0.0).min(self.steps).round_ties_even();
        Lanes(x.0.map(|x| p[0] + step * code(x)))
    }

    /// Of `m + step / 2 * tanh(k u) / (1 - a)` with the distance `u` from the middle `m` between
    /// two levels in steps, and `k = ln(2 / a - 1)` for the softness `a`.
    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        let (low, step, a) = (p[0], self.step(p), p[2]);
        let k = ln(2.0 / a - 1.0);
        let high = 1.0 / (1.0 - a);
        for i in 0..BLOCK {
            let (x, g) = (x.0[i], gradient.0[i]);
            let place = (x - low) / step;
            let inside = place > 0.0 && place < self.steps;
            let below = place.max(0.0).min(self.steps - 1.0).floor();
            let u = place - below - 0.5;
            let t = tanh(k * u);
            let rise = 1.0 - t * t;
            // Slope of the soft step in its distance, and the level in steps from the low end.
            let slope = 0.5 * high * k * rise;
            let level = below + 0.5 + 0.5 * high * t;
            // Ends move the level and the distance.
            let by_step = (level - slope * place) / self.steps;
            let (to_low, to_high) = if inside {
                (1.0 - slope - by_step, by_step)
            } else if place <= 0.0 {
                (1.0, 0.0)
            } else {
                (0.0, 1.0)
            };
            let sharper = -2.0 / (a * (2.0 - a));
            let to_a = 0.5 * step * (high * high * t + high * rise * u * sharper);
            sums[0].0[i] += g * self.rate * to_low;
            sums[1].0[i] += g * self.rate * to_high;
            sums[2].0[i] += if inside { g * self.rate * to_a } else { 0.0 };
            gradient.0[i] = if inside { g * slope } else { 0.0 };
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
        fn slopes_are_those_of_the_soft_steps(
            x in -3f32..3.0, low in -2f32..-0.5, high in 0.5f32..2.0, a in 0.05f32..0.45,
        ) {
            let curve = Range::new([low, high], a, Bits::new(2).unwrap(), 1);
            let place = (x - low) / ((high - low) / 3.0);
            // Not where one step of the soft function ends and the next begins.
            prop_assume!((place - place.round()).abs() > 1e-2);
            let below = f64::from(place.floor().clamp(0.0, 2.0));
            let outside = !(0.0..=3.0).contains(&place);
            let rate = f64::from(curve.rate);
            let rates = [rate, rate, if outside { 0.0 } else { rate }];
            slopes_are_those_of(&curve, &[low, high, a], x, &rates, |p, x| {
                let step = (p[1] - p[0]) / 3.0;
                let middle = p[0] + (below + 0.5) * step;
                let k = (2.0 / p[2] - 1.0).ln() / step;
                let soft = (k * (x - middle)).tanh() / (1.0 - p[2]);
                (middle + step / 2.0 * soft).clamp(p[0], p[1])
            });
        }
    }
}
