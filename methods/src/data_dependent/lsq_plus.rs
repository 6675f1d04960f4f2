//! # What it does
//! Trains the network with a step and an offset for each value and a step for each layer's weights:
//! levels of a value need not include zero.
//!
//! # When to use it
//! At 4 bits and below where activations can be negative (swish, linear bottlenecks); behind
//! rectified linear units it is LSQ with another start.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `epochs` (90), `batch` (128), `rate` (0.01), `schedule` (`cosine`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Step and offset of a value begin where a search over both ends of the range finds the smallest
//! squared error on the first batch (the paper minimises the same by gradient). Sites wider than
//! 4 bits (first and last layers) have uniform grids over what was seen, which are not trained.
//!
//! # Reference
//! Y. Bhalgat et al., "LSQ+: improving low-bit quantization through learnable offsets and better
//! initialization", CVPR workshops 2020, arXiv:2004.09576, equations 2 to 8.

use quantbench_core::card::{Card, Family, WidthRange};
use quantbench_core::{Bits, Grid, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, join};
use quantbench_engine::autodiff::{BLOCK, Lanes, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Parameter, SMALLEST, StepWeights, Trained, Training, ValueGrid, ValueStart, WeightGrid,
    WeightStart, best_range, params, step_rate, top_code, train,
};

/// LSQ with offsets.
pub struct LsqPlus;

static CARD: Card = Card {
    name: "lsq-plus",
    version: 1,
    family: Family::DataDependent,
    summary: "trains weights, steps, and offsets of activations together",
    when: "4 bits and below where activations can be negative",
    paper: "Y. Bhalgat et al., LSQ+: improving low-bit quantization through learnable offsets and \
            better initialization, CVPR workshops 2020, arXiv:2004.09576",
    cite: "bhalgat2020lsqplus",
    widths: WidthRange { weights: (2, 4), ternary: false, activations: (2, 4) },
    granularity: "weights per tensor (per output channel once batch norm is folded), activations \
                  per tensor with an offset",
    stochastic: true,
    params: &[
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
        "step and offset begin where a search finds the smallest squared error on the first batch",
        "sites wider than 4 bits have uniform grids over what was seen",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for LsqPlus {
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
        train(job, &data, &how, &Offsets, cx)
    }
}

/// Steps, and offsets of values.
struct Offsets;

impl Grids for Offsets {
    fn widest(&self) -> (u8, u8) {
        (4, 4)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        let (mean, deviation) = start.moments();
        let far = (mean - 3.0 * deviation).abs().max((mean + 3.0 * deviation).abs());
        let step = far / f64::from(1u32 << (start.bits.get() - 1));
        Ok(Box::new(StepWeights::new(start, step)))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        let top = top_code(start.bits);
        let (low, high) = best_range(start.seen, top);
        let first = [(high - low) / top as f32, low];
        let rate = step_rate(start.per_image, top);
        Ok(Box::new(Offset { first, top: top as f32, bits: start.bits, rate }))
    }
}

/// A value on `offset + step (0 ..= top)`.
#[derive(Debug, Clone, Copy)]
struct Offset {
    /// Step and offset at the start.
    first: [f32; 2],
    top: f32,
    bits: Bits,
    rate: f32,
}

impl Trained for Offset {
    fn parameters(&self) -> Vec<Parameter> {
        let [step, offset] = self.first;
        // The step may not vanish; the offset goes where it likes.
        vec![
            Parameter::of(vec![step]).within(step * SMALLEST, f32::MAX),
            Parameter::of(vec![offset]),
        ]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        let both = join(tape, own)?;
        Some(curve(tape, value, both, *self))
    }
}

impl ValueGrid for Offset {
    fn grid(&self, own: &[Tensor]) -> Grid {
        let (step, offset) = (own[0].data[0], own[1].data[0]);
        let levels = (0..=self.top as usize).map(|i| step * i as f32 + offset).collect();
        Grid::table(Table::new(levels), 1.0, self.bits)
    }
}

impl Offset {
    /// `(x - offset) / step`, and its code.
    #[inline(always)]
    fn code(&self, p: &[f32], x: f32) -> (f32, f32) {
        let r = (x - p[1]) / p[0];
        (r, r.max(0.0).min(self.top).round_ties_even())
    }
}

impl Curve for Offset {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        Lanes(x.0.map(|x| p[0] * self.code(p, x).1 + p[1]))
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        for i in 0..BLOCK {
            let g = gradient.0[i];
            let (r, q) = self.code(p, x.0[i]);
            let inside = r >= 0.0 && r <= self.top;
            sums[0].0[i] += g * self.rate * if inside { q - r } else { q };
            sums[1].0[i] += if inside { 0.0 } else { g * self.rate };
            gradient.0[i] = if inside { g } else { 0.0 };
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
        fn outside_slopes_are_those_of_the_ends_and_inside_those_of_the_rounding(
            x in -4f32..4.0, step in 0.2f32..1.0, offset in -1f32..1.0,
        ) {
            let bits = Bits::new(2).unwrap();
            let curve = Offset { first: [1.0, 0.0], top: 3.0, bits, rate: 0.5 };
            let (r, q) = curve.code(&[step, offset], x);
            prop_assume!(r.abs() > 1e-2 && (r - 3.0).abs() > 1e-2);
            let inside = r > 0.0 && r < 3.0;
            // Rounding moves with the step, but not with the number.
            let (off, end) = (f64::from(q - r), f64::from(q));
            let first = [f64::from(step), f64::from(offset), f64::from(x)];
            slopes_are_those_of(&curve, &[step, offset], x, &[0.5, 0.5], |p, x| {
                if inside { x - first[2] + off * (p[0] - first[0]) } else { end * p[0] + p[1] }
            });
        }
    }
}
