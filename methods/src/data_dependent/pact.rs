//! # What it does
//! Trains the network with activations cut off at a bound per value, which is trained along by the
//! gradient of what it cuts off; weights are those of DoReFa-Net, or on a grid whose end follows
//! from their first two moments (SAWB).
//!
//! # When to use it
//! When activations are the difficulty: the bound trades clipping against rounding by training.
//!
//! # Inputs and cost
//! Labelled images; `epochs` times forward and backward over all of them.
//!
//! # Parameters
//! - `bound` (6): the bound that all values begin with.
//! - `bound_decay` (1e-4): weight decay of the bounds.
//! - `weights` (`dorefa`): grid of the weights, `dorefa` or `sawb`.
//! - `epochs` (200), `batch` (128), `rate` (0.1), `schedule` (`steps`), `warm_up` (0),
//!   `weight_decay` (1e-4), `smoothing` (0), `teacher` (0), `augment` (`true`): see the trainer.
//!
//! # Differences from the paper
//! Training starts from the FP32 network. The paper begins bounds at 10 in training from scratch
//! (recalled, ports have 6 to 10). SAWB's end is the published linear combination of moments at 2,
//! 4 and 5 bits; at other widths it is the end with the smallest squared error, which the
//! combination approximates, and above 5 bits (first and last layers) the largest magnitude. The rule for first and last layers is the spec's. A value that can be
//! negative is cut off at both ends.
//!
//! # Reference
//! J. Choi et al., "PACT: parameterized clipping activation for quantized neural networks", 2018,
//! arXiv:1805.06085, equations 1 to 4; J. Choi et al., "Accurate and efficient 2-bit quantized
//! neural networks" (SAWB), MLSys 2019, section 3.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::ops::{Curve, curve, with_slopes};
use quantbench_engine::autodiff::{BLOCK, Lanes, Tape, Var};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::train::{
    Grids, Parameter, SMALLEST, TanhWeights, Trained, Training, ValueGrid, ValueStart, WeightGrid,
    WeightStart, affine, best_end, mean_abs, params, positive, signed_codes, top_code, train,
};

/// Parameterized clipping activation.
pub struct Pact;

static CARD: Card = Card {
    name: "pact",
    version: 1,
    family: Family::DataDependent,
    summary: "trains the bounds of activations along with the network",
    when: "when activations are the difficulty, with labelled training images",
    paper: "J. Choi et al., PACT: parameterized clipping activation for quantized neural \
            networks, 2018, arXiv:1805.06085",
    cite: "choi2018pact",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per tensor, without zero (per output channel once batch norm is folded), \
                  activations per tensor",
    stochastic: true,
    params: &[
        Param {
            name: "bound",
            help: "the bound that all values begin with",
            default: Default::Float(6.0),
            range: ParamRange::Float(0.01, 1000.0),
        },
        Param {
            name: "bound_decay",
            help: "weight decay of the bounds",
            default: Default::Float(1e-4),
            range: ParamRange::Float(0.0, 1.0),
        },
        Param {
            name: "weights",
            help: "grid of the weights: through a hyperbolic tangent, or up to an end that follows \
                   from their moments",
            default: Default::Text("dorefa"),
            range: ParamRange::Choice(&["dorefa", "sawb"]),
        },
        params::epochs(200),
        params::batch(128),
        params::rate(0.1),
        params::schedule("steps"),
        params::WARM_UP,
        params::weight_decay(1e-4),
        params::SMOOTHING,
        params::teacher(0.0),
        params::AUGMENT,
    ],
    departures: &[
        "training starts from the FP32 network",
        "bounds begin at 6",
        "the end of SAWB's grid is searched for at widths other than 2, 4 and 5 bits",
        "the image's grid comes from the extremes of the first batch",
        "batch norm is folded after training, so that scales become one per output channel",
    ],
};

impl Recipe for Pact {
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
        let grids = Clipped {
            bound: job.float("bound") as f32,
            decay: job.float("bound_decay"),
            sawb: job.choice("weights") == "sawb",
        };
        train(job, &data, &how, &grids, cx)
    }
}

/// Activations up to a bound.
struct Clipped {
    bound: f32,
    decay: f64,
    sawb: bool,
}

impl Grids for Clipped {
    fn widest(&self) -> (u8, u8) {
        (if self.sawb { 5 } else { 8 }, 8)
    }

    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError> {
        if self.sawb {
            return Ok(Box::new(Binned { bits: start.bits }));
        }
        Ok(Box::new(TanhWeights::new(start)))
    }

    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError> {
        let (low, high) =
            if start.signed() { signed_codes(start.bits) } else { (0, top_code(start.bits)) };
        let (first, decay) = (self.bound, self.decay);
        Ok(Box::new(Bound { first, decay, low, high, bits: start.bits }))
    }
}

/// A value from 0, or from the bound's other side, to a bound.
#[derive(Debug, Clone, Copy)]
struct Bound {
    first: f32,
    decay: f64,
    low: i32,
    high: i32,
    bits: Bits,
}

impl Trained for Bound {
    fn parameters(&self) -> Vec<Parameter> {
        let least = self.first * SMALLEST;
        vec![Parameter::of(vec![self.first]).trained(1.0, self.decay).within(least, f32::MAX)]
    }

    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var> {
        Some(curve(tape, value, *own.first()?, *self))
    }
}

impl ValueGrid for Bound {
    fn grid(&self, own: &[Tensor]) -> Grid {
        affine(own[0].data[0] / self.high as f32, self.low, self.high, self.bits)
    }
}

impl Curve for Bound {
    #[inline(always)]
    fn value(&self, p: &[f32], x: &Lanes) -> Lanes {
        let step = p[0] / self.high as f32;
        let (low, high) = (self.low as f32, self.high as f32);
        Lanes(x.0.map(|x| step * (x / step).max(low).min(high).round_ties_even()))
    }

    #[inline(always)]
    fn slope(&self, p: &[f32], x: &Lanes, gradient: &mut Lanes, sums: &mut [Lanes]) {
        let bound = p[0];
        // The lower end moves with the bound too.
        let lowest = bound * self.low as f32 / self.high as f32;
        for i in 0..BLOCK {
            let (x, g) = (x.0[i], gradient.0[i]);
            let above = if x >= bound { g } else { 0.0 };
            let below = if x < lowest { g * lowest / bound } else { 0.0 };
            sums[0].0[i] += above + below;
            gradient.0[i] = if x >= lowest && x < bound { g } else { 0.0 };
        }
    }
}

/// Weights on `2^b` levels around zero and without it, up to an end that follows from their
/// moments in each step.
struct Binned {
    bits: Bits,
}

impl Binned {
    fn end(&self, weights: &Tensor) -> f32 {
        let squares = weights.data.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
        let root = (squares / weights.data.len().max(1) as f64).sqrt();
        let mean = mean_abs(&weights.data);
        match self.bits.get() {
            2 => positive((3.212 * root - 2.178 * mean).abs()),
            4 => positive((12.68 * root - 12.80 * mean).abs()),
            5 => positive((17.74 * root - 18.64 * mean).abs()),
            _ => best_end(&weights.data, top_code(self.bits)),
        }
    }

    fn grid(&self, weights: &Tensor) -> Grid {
        let unit = self.end(weights) / top_code(self.bits) as f32;
        Grid {
            levels: Levels::Table(Table::odd(1 << self.bits.get())),
            bits: self.bits,
            granularity: Granularity::Tensor,
            scale: vec![unit],
            zero_point: vec![0],
        }
    }
}

impl Trained for Binned {
    fn apply(&mut self, tape: &mut Tape, value: Var, _: &[Var]) -> Option<Var> {
        let weights = tape.flat(value);
        let grid = self.grid(weights);
        let (low, high) = grid.ends(0);
        let inside = |w: &f32| if *w >= low && *w <= high { 1.0 } else { 0.0 };
        let slopes = weights.data.iter().map(inside).collect();
        let quantized = grid.put(weights).dequantize();
        Some(with_slopes(tape, value, quantized, Some(slopes)))
    }
}

impl WeightGrid for Binned {
    fn quantized(&self, weights: &Tensor, _: &[Tensor]) -> QuantTensor {
        self.grid(weights).put(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::train::check::slopes_are_those_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slopes_are_those_of_clipping(x in -4f32..4.0, bound in 0.5f32..2.0, signed: bool) {
            let low = if signed { -4 } else { 0 };
            let curve =
                Bound { first: 1.0, decay: 0.0, low, high: 3, bits: Bits::new(3).unwrap() };
            let lowest = f64::from(low) / 3.0;
            let ends = [f64::from(bound), f64::from(bound) * lowest];
            prop_assume!(ends.iter().all(|end| (f64::from(x) - end).abs() > 1e-3));
            slopes_are_those_of(&curve, &[bound], x, &[1.0], |p, x| x.clamp(p[0] * lowest, p[0]));
        }
    }

    #[test]
    fn the_end_of_binned_weights_follows_from_their_moments() {
        // Half of them 1, half 3: root mean square 2.236, mean magnitude 2.
        let weights = Tensor::new(vec![4], vec![1.0, -3.0, -1.0, 3.0]);
        let end = Binned { bits: Bits::new(2).unwrap() }.end(&weights);
        assert!((end - (3.212 * 5f32.sqrt() - 2.178 * 2.0)).abs() < 1e-5);
        let found = Binned { bits: Bits::new(3).unwrap() }.end(&weights);
        assert!((found - 3.0).abs() < 0.5, "{found}");
    }
}
