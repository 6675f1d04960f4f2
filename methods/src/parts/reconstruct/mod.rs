//! Reconstruction: the quantized network is taught, part by part, to give what the FP32 network
//! gives, by learning which way each weight is rounded and how wide the steps of activations are.
//!
//! One loop with settings serves AdaRound, BRECQ and QDrop. Batch norm is folded before.

mod correction;
mod difference;
mod learn;
mod learnable;
mod passes;
mod pieces;
mod quantizers;
mod rounding;
mod settings;
mod state;
mod straight;

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::{Grid, ImageSource, Levels};
use quantbench_engine::autodiff::Device;
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError};
use crate::parts::calibrate::activation_grids;
use crate::parts::ranges::Mse;
use crate::parts::weights::{quantize, quantize_sites};
use passes::Work;
pub(crate) use pieces::{Piece, blocks};
pub(crate) use quantizers::{Activations, Quantizers, Which};
pub(crate) use settings::{Correction, Difference, Reach, Rounds, Settings, Steps, Teach};
use state::State;

/// Runs the loop over the whole network.
pub(crate) fn reconstruct(
    job: &Job<'_>,
    images: &dyn ImageSource,
    settings: &Settings,
    cx: &mut Context<'_>,
) -> Result<Artefact, MethodError> {
    let grids = activation_grids(job.graph, job.sites, images, &Mse, cx)?;
    let start = quantize_sites(job, cx, |weights, layer, site| {
        quantize(weights, layer.axis, site.bits, settings.style, &Mse)
    })?;
    let state = State {
        weights: start.weights,
        biases: BTreeMap::new(),
        activations: Activations::new(job, &grids, settings.method)?,
        learned: BTreeSet::new(),
        guarded: 0,
        notes: start.notes,
    };
    let mut work = Work { job, settings, device: Device::new(), state };
    let pieces = blocks(job)?;
    let image = work.image(images)?;
    work.weights(&pieces, &image, cx)?;
    if let Steps::Afterwards { iterations, rate } = settings.steps {
        work.steps(&pieces, &image, iterations, rate, cx)?;
    }
    let notes = work.state.notes();
    let State { weights, biases, activations, .. } = work.state;
    let mut graph = job.graph.clone();
    for (name, bias) in &biases {
        graph.set_weight(name, bias)?;
    }
    Ok(Artefact::new(graph, weights, activations.into_grids(grids), notes))
}

fn unfit(method: &'static str, reason: &str) -> MethodError {
    MethodError::Unfit { method, reason: reason.to_string() }
}

/// Smallest and largest code.
fn ends(grid: &Grid) -> Option<(i32, i32)> {
    match &grid.levels {
        Levels::Affine { qmin, qmax } => Some((*qmin, *qmax)),
        Levels::Ternary | Levels::Binary | Levels::Table(_) => None,
    }
}
