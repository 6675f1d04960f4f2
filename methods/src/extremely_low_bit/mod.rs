//! Extremely low-bit methods: one bit or ternary.

pub mod bwn;
pub mod twn;

use std::collections::BTreeMap;

use quantbench_core::card::{Default, Param, ParamRange, ParamValue, Params};
use quantbench_core::{QuantTensor, Spec, Tensor};
use quantbench_graph::{Artefact, Layer, WeightSite};

use crate::contract::{Context, Job, MethodError};
use crate::grant::UnlabelledIfAsked;
use crate::parts::calibrate::activation_grids;
use crate::parts::ranges::Mse;
use crate::parts::reestimate::Projected;
use crate::parts::weights::quantize_sites;

/// The parameter that asks for batch norms of the projected network.
const BN_REESTIMATE: Param = Param {
    name: "bn_reestimate",
    help: "estimate the batch norms anew on images, layer by layer, in the projected network",
    default: Default::Bool(false),
    range: ParamRange::Switch,
};

/// Images are needed for activation ranges and for batch norms.
fn asks_for_images(spec: &Spec, params: &Params) -> bool {
    let reestimate = params.get(BN_REESTIMATE.name) == Some(&ParamValue::Bool(true));
    spec.bits.activations.is_quantized() || reestimate
}

/// All that a projection without training does: weights by `project`, batch norms if asked,
/// activation ranges by mean squared error in the projected network.
fn projected(
    job: &Job<'_>,
    data: &UnlabelledIfAsked,
    cx: &mut Context<'_>,
    project: impl Fn(&Tensor, &Layer, &WeightSite) -> QuantTensor,
) -> Result<Artefact, MethodError> {
    let mut net = Projected::new(job, quantize_sites(job, cx, project)?)?;
    if let Some(images) = data.images()
        && job.switch(BN_REESTIMATE.name)
    {
        net.reestimate(job, images, cx)?;
    }
    let activations = match data.images() {
        Some(images) => activation_grids(&net.graph, job.sites, images, &Mse, cx)?,
        None => BTreeMap::new(),
    };
    Ok(Artefact { graph: net.graph, weights: net.weights, activations, notes: net.notes })
}
