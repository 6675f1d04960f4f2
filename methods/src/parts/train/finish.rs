//! From a trained network to an artefact: batch norm is folded, and grids of weights with it.

use std::collections::BTreeMap;

use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Tensor};
use quantbench_engine::autodiff::Network;
use quantbench_graph::{Artefact, Graph, Layer};

use super::grids::{Codes, Grids};
use crate::contract::{Job, MethodError};
use crate::parts::weights::widest_sites;

/// The artefact of trained parameters.
pub(super) fn folded(
    job: &Job<'_>,
    network: &Network,
    grids: &dyn Grids,
    parameters: &BTreeMap<String, Tensor>,
) -> Result<Artefact, MethodError> {
    let mut trained = job.unfolded.clone();
    for name in network.parameters().keys() {
        if let Some(tensor) = parameters.get(name) {
            trained.set_weight(name, tensor)?;
        }
    }
    for norm in network.norms() {
        let vector = |data: &[f32]| Tensor::new(vec![data.len()], data.to_vec());
        trained.set_weight(&norm.mean_name, &vector(&norm.moments.mean))?;
        trained.set_weight(&norm.variance_name, &vector(&norm.moments.variance))?;
    }
    let graph = trained.fold_norms()?;
    let factors = factors(&trained)?;
    let (before, after) = (trained.layers(), graph.layers());
    let mut weights = BTreeMap::new();
    for site in widest_sites(job) {
        let (Some(old), Some(new)) = (before.get(site.layer), after.get(site.layer)) else {
            continue;
        };
        let tensor = trained.weight(&old.weight)?;
        let Some(codes) = grids.codes(&old.weight, &tensor, parameters) else { continue };
        let factors = factors.get(&new.weight).map_or(&[][..], Vec::as_slice);
        weights.insert(new.weight.clone(), rescaled(&codes, new, factors, site.bits));
    }
    let activations = grids.values(parameters);
    let notes = graph.notes().to_vec();
    Ok(Artefact::new(graph, weights, activations, notes))
}

/// What folding multiplies the weights of each output channel with: what weights of one become.
fn factors(trained: &Graph) -> Result<BTreeMap<String, Vec<f32>>, MethodError> {
    let mut ones = trained.clone();
    for layer in trained.layers() {
        let count = layer.dims.iter().product();
        ones.set_weight(&layer.weight, &Tensor::new(layer.dims.clone(), vec![1.0; count]))?;
    }
    let ones = ones.fold_norms()?;
    let mut factors = BTreeMap::new();
    for layer in ones.layers() {
        let weight = ones.weight(&layer.weight)?;
        let inner: usize = layer.dims[layer.axis + 1..].iter().product();
        let of = |channel: usize| weight.data[channel * inner];
        factors.insert(layer.weight.clone(), (0..layer.channels()).map(of).collect());
    }
    Ok(factors)
}

/// Codes on grids whose scales are multiplied with a factor per output channel.
///
/// A negative factor turns the grid of its channel around, and then all channels get unsigned
/// codes with zero points. A factor of zero leaves zeros.
fn rescaled(codes: &Codes, layer: &Layer, factors: &[f32], bits: Bits) -> QuantTensor {
    let channels = layer.channels();
    let inner: usize = layer.dims[layer.axis + 1..].iter().product();
    let factor = |c: usize| factors.get(c).copied().unwrap_or(1.0);
    let turned = (0..channels).any(|c| factor(c) < 0.0);
    let span = codes.high - codes.low;
    let mut grid = Grid {
        levels: if turned {
            Levels::Affine { qmin: 0, qmax: span }
        } else {
            Levels::Affine { qmin: codes.low, qmax: codes.high }
        },
        bits,
        granularity: Granularity::Channel { axis: layer.axis },
        scale: Vec::with_capacity(channels),
        zero_point: Vec::with_capacity(channels),
    };
    for c in 0..channels {
        let scale = codes.scale.get(c).or(codes.scale.first()).copied().unwrap_or(1.0);
        let scale = scale * factor(c).abs();
        grid.scale.push(if scale > 0.0 { scale } else { 1.0 });
        grid.zero_point.push(match (turned, factor(c) < 0.0) {
            (false, _) => 0,
            (true, false) => -codes.low,
            (true, true) => codes.high,
        });
    }
    let place = |(i, code): (usize, &i32)| {
        let c = i / inner.max(1) % channels;
        let code = if factor(c) < 0.0 { -code } else { *code };
        let code = if factor(c) == 0.0 { 0 } else { code };
        code + grid.zero_point[c]
    };
    let codes = codes.each.iter().enumerate().map(place).collect();
    QuantTensor { dims: layer.dims.clone(), grid, codes }
}
