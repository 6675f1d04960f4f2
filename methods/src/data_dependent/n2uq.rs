//! # What it does
//! Trains the network with thresholds of activations that lie as they like between equal levels; on
//! the way back the segment between two thresholds has the slope by which it rises.
//!
//! # When to use it
//! At 2 to 4 bits, when levels must be equal for integer hardware and ranges of activations are
//! not.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them, and forward through the
//! FP32 network, which teaches.
//!
//! # Parameters
//! - `reach` (2): where the last segment ends at the start.
//! - `epochs` (128), `batch` (256), `rate` (1.25e-3), `schedule` (`linear`), `warm_up` (0),
//!   `weight_decay` (0), `smoothing` (0), `teacher` (1), `augment` (`true`): see the trainer;
//!   parameters follow their gradients by Adam.
//!
//! # Differences from the paper
//! The teacher is the FP32 network itself, not a larger one. The paper's trained biases and its
//! variant of the rectified linear unit around activations are left out: the network stays as it
//! is. Widths of segments stay above a thousandth of what they began with. Sites wider than 4 bits
//! (first and last layers, FP32 in the paper) have uniform grids over what was seen; a value that
//! can be negative has one that is not trained.
//!
//! # Reference
//! Z. Liu et al., "Nonuniform-to-uniform quantization: towards accurate quantization via
//! generalized straight-through estimation", CVPR 2022, arXiv:2111.14826, equations 3 to 11.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, join, with_slopes};
use quantbench_engine::autodiff::{BLOCK, Back, Lanes, Op, Tape, Value, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Parameter, Still, Trained, Training, ValueGrid, ValueStart, WeightGrid, WeightStart,
    mean_abs, params, positive, rows, top_code, train,
};

/// Nonuniform-to-uniform quantization.
pub struct N2Uq;

static CARD: Card = Card {
    name: "n2uq",
    version: 1,
    family: Family::DataDependent,
    summary: "trains thresholds of activations between equal levels, taught by the FP32 network",
    when: "2 to 4 bits on integer hardware, with labelled training images",
    paper: "Z. Liu et al., Nonuniform-to-uniform quantization: towards accurate quantization via \
            generalized straight-through estimation, CVPR 2022, arXiv:2111.14826",
    cite: "liu2022n2uq",
    widths: WidthRange { weights: (2, 4), ternary: false, activations: (2, 4) },
    granularity: "weights per output channel, without zero; activations per tensor with \
                  thresholds of their own",
    stochastic: true,
    params: &[
        Param {
            name: "reach",
            help: "where the last segment ends at the start",
            default: Default::Float(2.0),
            range: ParamRange::Float(0.01, 100.0),
        },
        params::epochs(128),
        params::batch(256),
        params::rate(1.25e-3),
        params::schedule("linear"),
        params::WARM_UP,
        params::weight_decay(0.0),
        params::SMOOTHING,
        params::teacher(1.0),
        params::AUGMENT,
    ],
    departures: &[
        "the teacher is the FP32 network itself",
        "biases and shifts around activations are left out",
        "sites wider than 4 bits have uniform grids over what was seen",
        "batch norm is folded after training",
    ],
};

impl Recipe for N2Uq {
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
        train(job, &data, &how, &Thresholds { reach: job.float("reach") as f32 }, cx)
    }
}

/// Thresholds between equal levels.
struct Thresholds {
    reach: f32,
}

impl Grids for Thresholds {
    fn widest(&self) -> (u8, u8) {
        (4, 4)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        Ok(Box::new(Channels { axis: start.axis, bits: start.bits }))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        if start.signed() {
            return Ok(Box::new(Still::around_zero(start)));
        }
        let count = top_code(start.bits) as usize;
        Ok(Box::new(Segments { count, reach: self.reach, bits: start.bits }))
    }
}

/// Weights of each output channel up to a multiple of their mean magnitude.
struct Channels {
    axis: usize,
    bits: Bits,
}

impl Channels {
    /// What the weights of each channel are divided by before they are cut off at one.
    fn factors(&self, weights: &Tensor) -> Vec<f32> {
        let ratio = f64::from(top_code(self.bits)) / f64::from(1u32 << (self.bits.get() - 1));
        rows(weights, self.axis).iter().map(|row| positive(ratio * mean_abs(row))).collect()
    }
}

impl Trained for Channels {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let weights = tape.flat(value);
        let inner: usize = weights.dims[self.axis + 1..].iter().product();
        let factors = self.factors(weights);
        // As in the official code the factor is left out of the way back on one side only.
        let slope = |i: usize| 1.0 / factors[i / inner.max(1) % factors.len()];
        let slopes = (0..weights.data.len()).map(slope).collect();
        let quantized = self.quantized(weights, &[]).dequantize();
        Some(with_slopes(tape, value, quantized, Some(slopes)))
    }
}

impl WeightGrid for Channels {
    fn quantized(&self, weights: &Tensor, _: &[Tensor]) -> QuantTensor {
        let steps = top_code(self.bits) as f32;
        let factors = self.factors(weights);
        let inner: usize = weights.dims[self.axis + 1..].iter().product();
        let code = |(i, w): (usize, &f32)| {
            let place = (w / factors[i / inner.max(1) % factors.len()]).clamp(-1.0, 1.0);
            (steps * (place + 1.0) / 2.0).round_ties_even() as i32
        };
        let codes = weights.data.iter().enumerate().map(code).collect();
        let grid = Grid {
            levels: Levels::Table(Table::odd(steps as usize + 1)),
            bits: self.bits,
            granularity: Granularity::Channel { axis: self.axis },
            scale: factors.iter().map(|f| f / steps).collect(),
            zero_point: vec![0; factors.len()],
        };
        QuantTensor { dims: weights.dims.clone(), grid, codes }
    }
}

/// A value of equal levels with segments between thresholds.
#[derive(Debug, Clone, Copy)]
struct Segments {
    count: usize,
    reach: f32,
    bits: Bits,
}

impl Segments {
    /// The step between levels, before the trained factor.
    fn step(&self) -> f32 {
        2.0 / self.count as f32
    }
}

impl Trained for Segments {
    /// The start of the first segment, widths, the factors of input and output.
    fn parameters(&self) -> Vec<Parameter> {
        let width = self.reach / self.count as f32;
        let factor = || Parameter::of(vec![1.0]).within(1e-3, f32::MAX);
        vec![
            Parameter::of(vec![0.0]),
            Parameter::of(vec![width; self.count]).within(1e-3 * width, f32::MAX),
            factor(),
            factor(),
        ]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let [start, widths, input, output] = *own else { return None };
        let segments = join(tape, &[start, widths])?;
        let edges = cumulated(tape, segments);
        let all = join(tape, &[edges, input, output])?;
        Some(curve(tape, value, all, *self))
    }
}

impl ValueGrid for Segments {
    fn grid(&self, own: &[Tensor]) -> Grid {
        let (input, output) = (own[2].data[0], own[3].data[0]);
        let mut edge = own[0].data[0];
        let mut thresholds = Vec::with_capacity(self.count);
        for width in &own[1].data {
            thresholds.push((edge + width / 2.0) / input);
            edge += width;
        }
        let levels = (0..=self.count).map(|i| output * self.step() * i as f32).collect();
        Grid::table(Table::new(levels).with_thresholds(thresholds), 1.0, self.bits)
    }
}

impl Curve for Segments {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let (input, output) = (p[self.count + 1], p[self.count + 2]);
        let mut code = [0f32; BLOCK];
        for edges in p[..=self.count].windows(2) {
            let threshold = f32::midpoint(edges[0], edges[1]);
            for (code, x) in code.iter_mut().zip(x.0) {
                *code += if input * x >= threshold { 1.0 } else { 0.0 };
            }
        }
        let step = output * self.step();
        Lanes(code.map(|code| step * code))
    }

    /// Equation 7: of lines between the edges, each of which rises by one step.
    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        let (input, output) = (p[self.count + 1], p[self.count + 2]);
        let level = self.value(p, x);
        let mut own = [0f32; BLOCK];
        for (k, edges) in p[..=self.count].windows(2).enumerate() {
            let width = edges[1] - edges[0];
            for (i, own) in own.iter_mut().enumerate() {
                let at = input * x.0[i];
                let inside = at >= edges[0] && at < edges[1];
                let g = if inside { gradient.0[i] * output * self.step() / width } else { 0.0 };
                *own += g;
                let share = (at - edges[0]) / width;
                sums[k].0[i] -= g * (1.0 - share);
                sums[k + 1].0[i] -= g * share;
            }
        }
        for (i, own) in own.into_iter().enumerate() {
            sums[self.count + 1].0[i] += own * x.0[i];
            sums[self.count + 2].0[i] += gradient.0[i] * level.0[i] / output;
            gradient.0[i] = own * input;
        }
    }
}

/// Sums of a tensor up to each place.
fn cumulated(tape: &mut Tape, input: Var) -> Var {
    let mut sum = 0.0;
    let sums = tape.flat(input).data.iter().map(|v| {
        sum += v;
        sum
    });
    let data: Vec<f32> = sums.collect();
    let value = Value::Flat(Tensor::new(vec![data.len()], data));
    tape.push(&[input], value, Cumulated(input))
}

struct Cumulated(Var);

impl Op for Cumulated {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        for i in (1..gradient.data.len()).rev() {
            gradient.data[i - 1] += gradient.data[i];
        }
        back.give(self.0, Value::Flat(gradient));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::train::check::slopes_are_those_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slopes_are_those_of_the_lines_between_edges(
            x in -1f32..4.0,
            start in -0.5f32..0.5,
            widths in prop::collection::vec(0.2f32..1.0, 3),
            input in 0.5f32..2.0,
            output in 0.5f32..2.0,
        ) {
            let curve = Segments { count: 3, reach: 2.0, bits: Bits::new(2).unwrap() };
            let mut p = vec![start];
            for w in &widths {
                p.push(p[p.len() - 1] + w);
            }
            prop_assume!(p.iter().all(|edge| (input * x - edge).abs() > 1e-3));
            p.extend([input, output]);
            // The factor of the output gets the level itself, not the line.
            let level = f64::from(curve.value(&p, &Lanes([x; BLOCK])).0[0] / output);
            let now = f64::from(output);
            slopes_are_those_of(&curve, &p, x, &[1.0; 6], |p, x| {
                let at = p[4] * x;
                let rise = |e: &[f64]| ((at - e[0]) / (e[1] - e[0])).clamp(0.0, 1.0);
                let line: f64 = p[..4].windows(2).map(rise).sum::<f64>() * 2.0 / 3.0;
                now * line + (p[5] - now) * level
            });
        }
    }
}
