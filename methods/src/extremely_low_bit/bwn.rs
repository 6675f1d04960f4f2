//! # What it does
//! Replaces each filter by `{-a, +a}`: the signs of its weights times their mean magnitude `a`,
//! which is the nearest such filter. With `bn_reestimate` the batch norms are estimated anew on
//! images, layer by layer, in the binary network.
//!
//! # When to use it
//! As the starting point of binary training and as the gradient-free floor at one bit. Without
//! training the accuracy is poor; `bn_reestimate` brings part of it back.
//!
//! # Inputs and cost
//! The model alone when activations stay in FP32 and `bn_reestimate` is off; else unlabelled
//! images: a forward pass for activation ranges and, for the batch norms, a forward pass up to
//! each layer in turn. No training.
//!
//! # Parameters
//! - `bn_reestimate` (`true` or `false`, default `false`).
//!
//! # Differences from the paper
//! The paper trains latent weights through the projection; here trained FP32 weights are projected
//! once, without subtracting their mean and clamping them first, which the paper's code does at
//! every step of its training. Batch norm is folded before the projection (its factor moves into
//! `a`, its sign into the weights); it is re-estimated with FP32 activations. A weight of zero
//! counts as positive. Layers that the first/last rule keeps at 8 bits get a symmetric min-max
//! grid. A filter that is zero keeps a scale of `1e-30` instead of 0, which no file could store.
//!
//! # Reference
//! M. Rastegari et al., "XNOR-Net: ImageNet classification using binary convolutional neural
//! networks", ECCV 2016, arXiv:1603.05279, section 3.1.

use quantbench_core::card::{Card, Family, Params, WidthRange};
use quantbench_core::{Grid, QuantTensor, Spec, Tensor};
use quantbench_graph::Artefact;

use super::{BN_REESTIMATE, asks_for_images, projected};
use crate::contract::{Context, Job, MethodError, Recipe};
use crate::grant::UnlabelledIfAsked;
use crate::parts::ranges::{MinMax, WeightStyle};
use crate::parts::reestimate::usable;
use crate::parts::weights::{channels, interleave, quantize};

/// Binary-weight networks.
pub struct Bwn;

/// Scale of a filter whose weights are all zero: times any activation still nothing.
const NOTHING: f32 = 1e-30;

static CARD: Card = Card {
    name: "bwn",
    version: 1,
    family: Family::ExtremelyLowBit,
    summary: "weights become {-a, +a} with the mean magnitude of each filter as a",
    when: "as the start of binary training and the gradient-free floor at one bit; switch \
           bn_reestimate on where images are at hand",
    paper: "M. Rastegari et al., XNOR-Net: ImageNet classification using binary convolutional \
            neural networks, ECCV 2016, arXiv:1603.05279",
    cite: "rastegari2016xnor",
    widths: WidthRange { weights: (1, 1), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[BN_REESTIMATE],
    departures: &[
        "trained FP32 weights are projected once, uncentred; the paper trains through the \
         projection",
        "batch norm is folded before the projection and, if asked, re-estimated with FP32 \
         activations",
        "activation ranges by mean squared error in the binary network",
    ],
};

impl Recipe for Bwn {
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
        projected(job, &data, cx, |weights, layer, site| {
            if site.bits.get() == 1 {
                binary(weights, layer.axis)
            } else {
                quantize(weights, layer.axis, site.bits, WeightStyle::Symmetric, &MinMax)
            }
        })
    }
}

/// Signs and mean magnitudes per channel of `axis` (paper, equations 4 to 6).
fn binary(tensor: &Tensor, axis: usize) -> QuantTensor {
    let rows = channels(tensor, axis);
    let scale = |row: &Vec<f32>| {
        let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
        let mean = (sum / row.len().max(1) as f64) as f32;
        if usable(mean) { mean } else { NOTHING }
    };
    let grid = Grid::binary(rows.iter().map(scale).collect(), axis);
    let code = |(c, row): (usize, &Vec<f32>)| row.iter().map(|&w| grid.code(w, c)).collect();
    let codes: Vec<Vec<i32>> = rows.iter().enumerate().map(code).collect();
    let codes = interleave(&codes, &tensor.dims, axis);
    QuantTensor { dims: tensor.dims.clone(), codes, grid }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_worked_filter() {
        let tensor = Tensor::new(vec![3, 2], vec![2.0, -1.0, 0.0, -3.0, 0.0, 0.0]);
        let q = binary(&tensor, 0);
        assert_eq!(q.grid.scale, [1.5, 1.5, NOTHING]);
        assert_eq!(q.codes, [1, -1, 1, -1, 1, 1]);
        q.grid.check(&tensor.dims).unwrap();
    }

    proptest! {
        #[test]
        fn no_other_scale_is_nearer(values in prop::collection::vec(-1f32..1.0, 2..60)) {
            let tensor = Tensor::new(vec![1, values.len()], values);
            let q = binary(&tensor, 0);
            let loss = |a: f32| -> f64 {
                tensor.data.iter().zip(&q.codes)
                    .map(|(&w, &t)| f64::from(w - a * t as f32).powi(2)).sum()
            };
            let a = q.grid.scale[0];
            prop_assert!(loss(a) <= loss(a * 1.01) + 1e-9 && loss(a) <= loss(a * 0.99) + 1e-9);
        }
    }
}
