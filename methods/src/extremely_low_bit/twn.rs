//! # What it does
//! Replaces each filter by `{-a, 0, +a}`: weights within `0.7 * mean|w|` of zero become zero, and
//! `a` is the mean magnitude of the others. With `bn_reestimate` the batch norms are estimated anew
//! on images, layer by layer, in the ternary network.
//!
//! # When to use it
//! As the starting point of ternary training and as the gradient-free floor at `W2t`. Without
//! training the accuracy is poor; `bn_reestimate` brings part of it back.
//!
//! # Inputs and cost
//! The model alone when activations stay in FP32 and `bn_reestimate` is off; else unlabelled
//! images: one forward pass for activation ranges and, for the batch norms, a forward pass up to
//! each layer that had one. No training.
//!
//! # Parameters
//! - `scale`: `filter` (default) for one threshold and one `a` per output channel, `layer` for one
//!   per layer.
//! - `bn_reestimate` (`true` or `false`, default `false`).
//!
//! # Differences from the paper
//! The paper trains latent weights through the ternary projection; here trained FP32 weights are
//! projected once. Batch norm is folded before the projection: with `filter` that changes the
//! result only through `bn_reestimate`, with `layer` also through the threshold. Batch norm is
//! re-estimated with FP32 activations, as a factor `|gamma| / s` on `a` and a bias
//! `beta - m |gamma| / s`, where `m` and `s` are mean and standard deviation of the layer's output
//! without its bias. Ranges of activations by mean squared error in the ternary network. Layers
//! that the first/last rule keeps at 8 bits get a symmetric min-max grid.
//!
//! # Reference
//! F. Li et al., "Ternary weight networks", 2016, arXiv:1605.04711, section 2.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, Params, WidthRange};
use quantbench_core::{Grid, QuantTensor, Spec, Tensor};
use quantbench_graph::Artefact;

use super::{BN_REESTIMATE, asks_for_images, projected};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::UnlabelledIfAsked;
use crate::parts::ranges::{MinMax, WeightStyle};
use crate::parts::reestimate::usable;
use crate::parts::weights::{channels, interleave, quantize};

/// Ternary weight networks.
pub struct Twn;

/// Threshold in units of the mean magnitude (paper, equation 6).
const THRESHOLD: f64 = 0.7;

static CARD: Card = Card {
    name: "twn",
    version: 2,
    family: Family::ExtremelyLowBit,
    summary: "weights become {-a, 0, +a} with a threshold at 0.7 of their mean magnitude",
    when: "as the start of ternary training and the gradient-free floor at W2t; switch \
           bn_reestimate on where images are at hand",
    paper: "F. Li et al., Ternary weight networks, 2016, arXiv:1605.04711",
    cite: "li2016twn",
    widths: WidthRange { weights: (2, 2), ternary: true, activations: (2, 8) },
    granularity: "weights per output channel or per layer, activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "scale",
            help: "one threshold and one scale per filter (output channel) or per layer",
            default: Default::Text("filter"),
            range: ParamRange::Choice(&["filter", "layer"]),
        },
        BN_REESTIMATE,
    ],
    departures: &[
        "trained FP32 weights are projected once; the paper trains through the projection",
        "batch norm is folded before the projection and, if asked, re-estimated with FP32 \
         activations",
        "activation ranges by mean squared error in the ternary network",
    ],
};

impl Recipe for Twn {
    type Data = UnlabelledIfAsked;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn asks_for_images(&self, spec: &Spec, params: &Params) -> bool {
        asks_for_images(spec, params)
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let per_layer = job.choice("scale") == "layer";
        projected(job, &data, cx, |weights, layer, site| {
            if site.ternary {
                ternary(weights, layer.axis, per_layer)
            } else {
                quantize(weights, layer.axis, site.bits, WeightStyle::Symmetric, &MinMax)
            }
        })
    }
}

/// Threshold `0.7 mean|w|`, scale the mean magnitude above it (paper, equations 5 and 6).
///
/// Filters without a weight above the threshold (all zero) get scale 1 and codes 0.
fn ternary(tensor: &Tensor, axis: usize, per_layer: bool) -> QuantTensor {
    let rows = channels(tensor, axis);
    let whole = threshold_and_scale(&tensor.data);
    let (mut scale, mut codes) = (Vec::new(), Vec::new());
    for row in &rows {
        let (threshold, a) = if per_layer { whole } else { threshold_and_scale(row) };
        let code = |&w: &f32| {
            let big = f64::from(w.abs()) > threshold;
            if big { if w > 0.0 { 1 } else { -1 } } else { 0 }
        };
        scale.push(a);
        codes.push(row.iter().map(code).collect::<Vec<i32>>());
    }
    QuantTensor {
        dims: tensor.dims.clone(),
        codes: interleave(&codes, &tensor.dims, axis),
        grid: Grid::ternary(scale, axis),
    }
}

fn threshold_and_scale(values: &[f32]) -> (f64, f32) {
    let magnitudes = values.iter().map(|w| f64::from(w.abs()));
    let threshold = THRESHOLD * magnitudes.clone().sum::<f64>() / values.len().max(1) as f64;
    let (sum, count) = magnitudes
        .filter(|&w| w > threshold)
        .fold((0.0, 0.0), |(sum, count), w| (sum + w, count + 1.0));
    let scale = (sum / count) as f32;
    // 0 / 0 for an all-zero filter.
    (threshold, if usable(scale) { scale } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_worked_filter() {
        // Mean magnitude 1, threshold 0.7: 2 and -1.5 stay, their mean magnitude is 1.75.
        let tensor = Tensor::new(vec![1, 4], vec![2.0, -1.5, 0.25, -0.25]);
        let q = ternary(&tensor, 0, false);
        assert_eq!((q.codes, q.grid.scale), (vec![1, -1, 0, 0], vec![1.75]));
    }

    #[test]
    fn zero_filters_and_one_scale_per_layer() {
        let tensor = Tensor::new(vec![2, 2], vec![0.0, 0.0, 3.0, -2.0]);
        let filters = ternary(&tensor, 0, false);
        assert_eq!(filters.grid.scale, [1.0, 2.5]);
        assert_eq!(filters.codes, [0, 0, 1, -1]);
        let layer = ternary(&tensor, 0, true);
        assert_eq!(layer.grid.scale[0], layer.grid.scale[1]);
    }

    proptest! {
        #[test]
        fn the_scale_is_the_best_for_its_codes(values in prop::collection::vec(-1f32..1.0, 2..60)) {
            let n = values.len();
            let tensor = Tensor::new(vec![1, n], values);
            let q = ternary(&tensor, 0, false);
            let loss = |a: f32| -> f64 {
                tensor.data.iter().zip(&q.codes)
                    .map(|(&w, &t)| f64::from(w - a * t as f32).powi(2)).sum()
            };
            let a = q.grid.scale[0];
            prop_assert!(loss(a) <= loss(a * 1.01) + 1e-9 && loss(a) <= loss(a * 0.99) + 1e-9);
        }
    }
}
