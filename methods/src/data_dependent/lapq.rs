//! # What it does
//! Chooses the steps of all grids by the loss of the network. Steps of smallest `L_p` error begin,
//! with the exponent at which the cross entropy of labelled images is smallest; from there all
//! steps are searched together for a smaller one, by Powell's method.
//!
//! # When to use it
//! At 4 bits and below, when labelled images are at hand and weights are not to be trained. Roundings
//! stay to nearest: methods that learn them go further at 2 bits.
//!
//! # Inputs and cost
//! Labelled images: the ranges of activations come from all, the loss from the first `images`. Some
//! twelve forward passes over these for the exponent, and in each of `passes` some eight for each
//! grid, from the grid's place on. Nothing is run backward.
//!
//! # Parameters
//! - `images` (512): images by which the loss is measured.
//! - `passes` (2): rounds of Powell's method over all grids; 0 leaves the steps of the best exponent.
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! Weights have a step per output channel, and the joint search stretches all steps of a tensor
//! alike; the paper has one per tensor. The exponent is rounded to hundredths, kept between 2 and 4,
//! and not taken if one of the ten that were evaluated has a smaller loss. A step becomes at most
//! twice as long and at least three tenths as long as it begins; a search along a direction ends
//! after twelve values. Grids of the first and last layer with widths of their own are not searched.
//! No bias correction; `lapq+bias-correction` adds it.
//!
//! # Reference
//! Y. Nahshan et al., "Loss aware post-training quantization", Machine Learning 110, 2021,
//! arXiv:1911.07190, section 4; ten exponents, 512 images and 2 passes from the released code.

mod loss;

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_graph::{Artefact, Site};

use super::WEIGHTS;
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::Labelled;
use crate::parts::calibrate::{share, summaries};
use crate::parts::powell::{Function, Place, Search, minimise};
use crate::parts::ranges::{Lp, RangeEstimator, Summary, WeightStyle};
use crate::parts::weights::{Quantized, quantize, quantize_sites};
use loss::{Grids, Loss};

/// Loss-aware post-training quantization.
pub struct Lapq;

/// Smallest and largest exponent.
const EXPONENTS: (f64, f64) = (2.0, 4.0);

/// Exponents that are evaluated.
const COUNT: usize = 10;

static CARD: Card = Card {
    name: "lapq",
    version: 1,
    family: Family::DataDependent,
    summary: "searches the steps of all grids together for the smallest loss",
    when: "4 bits and below, with labelled images and without training",
    paper: "Y. Nahshan et al., Loss aware post-training quantization, Machine Learning 110, 2021, \
            arXiv:1911.07190",
    cite: "nahshan2021loss",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "images",
            help: "images by which the loss is measured, of those that calibrate ranges",
            default: Default::Int(512),
            range: ParamRange::Int(1, 1_000_000),
        },
        Param {
            name: "passes",
            help: "rounds of Powell's method over all grids",
            default: Default::Int(2),
            range: ParamRange::Int(0, 100),
        },
        WEIGHTS,
    ],
    departures: &[
        "weights have a step per output channel, and the joint search stretches a tensor's alike",
        "the exponent is kept between 2 and 4, and the best that was evaluated is taken",
        "a step changes at most to between three tenths and twice of what it begins with",
        "grids of the first and last layer with widths of their own are not searched",
        "no bias correction, which is an add-on",
    ],
};

impl Recipe for Lapq {
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
        let ranges = Ranges::new(job, &data, cx)?;
        let images = job.int("images") as usize;
        let mut candidates = Vec::new();
        let (first, notes) = ranges.grids(EXPONENTS.0, cx)?;
        let mut loss = Loss::new(job, &data, images, first, CARD.name)?;
        let still = vec![0.0; loss.len()];
        for i in 0..COUNT {
            cx.step(i, COUNT, "exponents")?;
            let p = EXPONENTS.0 + (EXPONENTS.1 - EXPONENTS.0) * i as f64 / (COUNT - 1) as f64;
            loss.restart(ranges.grids(p, cx)?.0)?;
            candidates.push((p, loss.at(&still)?));
        }
        if let Some(p) = lowest(&candidates) {
            loss.restart(ranges.grids(p, cx)?.0)?;
            candidates.push((p, loss.at(&still)?));
        }
        let best = candidates.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
        let (p, value) = best.unwrap_or((EXPONENTS.0, f64::INFINITY));
        loss.restart(ranges.grids(p, cx)?.0)?;
        let search = Search {
            bounds: (-0.7, 1.0),
            step: 0.1,
            tolerance: 0.02,
            values: 12,
            passes: job.int("passes") as usize,
            gain: 1e-4,
        };
        let start = Place { point: still, value };
        let mut step = |done: usize, all: usize| cx.step(done, all, "joint search");
        let found = minimise(&mut loss, start, &search, &mut step)?;
        let Grids { weights, activations } = loss.grids(&found.point)?;
        Ok(Artefact::new(job.graph.clone(), weights, activations, notes))
    }
}

/// What grids of any exponent are made from.
struct Ranges<'a> {
    job: &'a Job<'a>,
    own: Vec<&'a Site>,
    seen: Vec<Summary>,
    style: WeightStyle,
}

impl<'a> Ranges<'a> {
    fn new(job: &'a Job<'a>, data: &Labelled, cx: &mut Context<'_>) -> Result<Self, MethodError> {
        let sites = job.sites.activations.iter();
        let own: Vec<&Site> = sites.filter(|s| s.shares.is_none()).collect();
        let values: Vec<&str> = own.iter().map(|site| site.value.as_str()).collect();
        let detail = Lp::new(EXPONENTS.0).detail();
        let seen = summaries(job.graph, &values, data.images(), detail, cx)?;
        Ok(Self { job, own, seen, style: WeightStyle::from_name(job.choice("weights")) })
    }

    /// The grids of smallest `L_p` error, and what there is to say about the weights.
    fn grids(&self, p: f64, cx: &mut Context<'_>) -> Result<(Grids, Vec<String>), MethodError> {
        let lp = Lp::new(p);
        let Quantized { weights, notes } = quantize_sites(self.job, cx, |weights, layer, site| {
            quantize(weights, layer.axis, site.bits, self.style, &lp)
        })?;
        let pairs = self.own.iter().zip(&self.seen);
        let grids = pairs.map(|(site, seen)| (site.value.clone(), lp.activation(seen, site.bits)));
        let mut activations = grids.collect();
        share(self.job.sites, &mut activations);
        Ok((Grids { weights, activations }, notes))
    }
}

/// Where the parabola of least squares through losses at exponents is lowest, rounded to
/// hundredths; none if it opens downwards or the place is not between the exponents.
fn lowest(candidates: &[(f64, f64)]) -> Option<f64> {
    let n = candidates.len() as f64;
    let middle = candidates.iter().map(|c| c.0).sum::<f64>() / n;
    // Exponents lie evenly, so that odd sums around their middle vanish.
    let sum = |f: fn(f64, f64) -> f64| candidates.iter().map(|c| f(c.0 - middle, c.1)).sum::<f64>();
    let (s2, s4) = (sum(|x, _| x * x), sum(|x, _| x * x * x * x));
    let (sy, sxy, sxxy) = (sum(|_, y| y), sum(|x, y| x * y), sum(|x, y| x * x * y));
    let curve = (n * sxxy - s2 * sy) / (n * s4 - s2 * s2);
    let at = middle - sxy / s2 / (2.0 * curve);
    let at = (100.0 * at).round() / 100.0;
    (curve > 0.0 && at >= EXPONENTS.0 && at <= EXPONENTS.1).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parabola_of_a_parabola_is_itself(at in 2f64..4.0, curve in 0.1f64..5.0) {
            let losses: Vec<(f64, f64)> = (0..COUNT)
                .map(|i| 2.0 + 2.0 * i as f64 / (COUNT - 1) as f64)
                .map(|p| (p, 0.3 + curve * (p - at) * (p - at)))
                .collect();
            let found = lowest(&losses).unwrap();
            prop_assert!((found - at).abs() <= 0.005 + 1e-9, "{found} {at}");
            let turned: Vec<(f64, f64)> = losses.iter().map(|(p, l)| (*p, -l)).collect();
            prop_assert_eq!(lowest(&turned), None);
        }
    }

    #[test]
    fn a_lowest_place_outside_is_none() {
        let losses: Vec<(f64, f64)> = (0..COUNT)
            .map(|i| 2.0 + 2.0 * i as f64 / 9.0)
            .map(|p| (p, (p - 9.0).powi(2)))
            .collect();
        assert_eq!(lowest(&losses), None);
    }
}
