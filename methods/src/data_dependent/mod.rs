//! Data-dependent methods: calibrated or trained on real images.

pub mod aciq;
pub mod adaquant;
pub mod adaround;
pub mod apot;
pub mod brecq;
pub mod dorefa;
pub mod dsq;
pub mod entropy;
pub mod ewgs;
pub mod fitted;
pub mod gptq;
pub mod jacob;
pub mod lapq;
pub mod lp;
pub mod lq_nets;
pub mod lsq;
pub mod lsq_plus;
pub mod minmax;
pub mod mse;
pub mod n2uq;
pub mod obq;
pub mod pact;
pub mod pd_quant;
pub mod percentile;
pub mod qdrop;
pub mod qil;
mod reconstruction;

use quantbench_core::card::{Default, Param, ParamRange};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError};
use crate::grant::Unlabelled;
use crate::parts::calibrate::activation_grids;
use crate::parts::ranges::{RangeEstimator, WeightStyle};
use crate::parts::weights::{quantize, quantize_sites};

/// The parameter by which a method's weights get their grid.
pub(crate) const WEIGHTS: Param = Param {
    name: "weights",
    help: "grid of the weights: signed around zero, or unsigned with a zero point per channel",
    default: Default::Text("symmetric"),
    range: ParamRange::Choice(WeightStyle::NAMES),
};

/// Weights and activations by one range estimator: all that a calibration-only method does.
fn calibrated(
    job: &Job<'_>,
    data: &Unlabelled,
    ranges: &dyn RangeEstimator,
    cx: &mut Context<'_>,
) -> Result<Artefact, MethodError> {
    let style = WeightStyle::from_name(job.choice("weights"));
    let quantized = quantize_sites(job, cx, |weights, layer, site| {
        quantize(weights, layer.axis, site.bits, style, ranges)
    })?;
    let activations = activation_grids(job.graph, job.sites, data.images(), ranges, cx)?;
    Ok(Artefact {
        graph: job.graph.clone(),
        weights: quantized.weights,
        activations,
        notes: quantized.notes,
    })
}
