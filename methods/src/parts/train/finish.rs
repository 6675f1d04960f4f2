//! From a trained network to an artefact: batch norm is folded, and grids of weights with it.

use std::collections::BTreeMap;

use quantbench_core::{Granularity, Grid, Levels, QuantTensor, Table, Tensor};
use quantbench_engine::autodiff::Network;
use quantbench_graph::{Artefact, Graph, Layer};

use super::sites::Placed;
use crate::contract::{Job, MethodError};
use crate::parts::calibrate::share;
use crate::parts::weights::widest_sites;

/// The artefact of trained parameters.
pub(super) fn folded(
    job: &Job<'_>,
    network: &Network,
    placed: &Placed<'_>,
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
        let Some(slot) = placed.weights.get(&old.weight) else { continue };
        let quantized = slot.grid.quantized(&tensor, &slot.own(parameters));
        let factors = factors.get(&new.weight).map_or(&[][..], Vec::as_slice);
        weights.insert(new.weight.clone(), rescaled(&quantized, new, factors));
    }
    let values = placed.values.iter();
    let mut activations: BTreeMap<String, Grid> =
        values.map(|(name, slot)| (name.clone(), slot.grid.grid(&slot.own(parameters)))).collect();
    share(job.sites, &mut activations);
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

/// Quantized weights whose scales are multiplied with a factor per output channel.
///
/// A negative factor turns the grid of its channel around, and then all channels of an affine grid
/// get unsigned codes with zero points. A factor of zero leaves zeros.
fn rescaled(tensor: &QuantTensor, layer: &Layer, factors: &[f32]) -> QuantTensor {
    let factor = |c: usize| factors.get(c).copied().unwrap_or(1.0);
    let channels = layer.channels();
    let scales = tensor.grid.scale.iter().cycle();
    let scale = scales.take(channels).enumerate().map(|(c, s)| {
        let scale = s * factor(c).abs();
        // A scale has to be positive; this one times any code is nothing.
        if scale > 0.0 { scale } else { f32::MIN_POSITIVE }
    });
    let turned = (0..channels).any(|c| factor(c) < 0.0);
    let (levels, zero_point) = turn(&tensor.grid, &(0..channels).map(factor).collect::<Vec<_>>());
    let grid = Grid {
        levels,
        bits: tensor.grid.bits,
        granularity: Granularity::Channel { axis: layer.axis },
        scale: scale.collect(),
        zero_point,
    };
    let (low, high) = tensor.grid.code_range();
    let inner: usize = layer.dims[layer.axis + 1..].iter().product();
    let place = |(i, code): (usize, &i32)| {
        let c = i / inner.max(1) % channels;
        let affine = matches!(grid.levels, Levels::Affine { .. });
        match (affine, factor(c) < 0.0) {
            (true, negative) => {
                // Without zero point first.
                let code = if factor(c) == 0.0 { 0 } else { *code - zero(&tensor.grid, c) };
                grid.zero_point[c] + if negative { -code } else { code }
            }
            (false, true) => low + high - code,
            (false, false) => *code,
        }
    };
    let codes = tensor.codes.iter().enumerate().map(place).collect();
    debug_assert!(turned || grid.code_range() == (low, high));
    QuantTensor { dims: layer.dims.clone(), grid, codes }
}

/// Zero point of a channel of a grid that may have one for all.
fn zero(grid: &Grid, channel: usize) -> i32 {
    grid.zero_point.get(channel).or(grid.zero_point.first()).copied().unwrap_or(0)
}

/// Levels and zero points of each channel when the channels with negative factors are turned
/// around.
fn turn(grid: &Grid, factors: &[f32]) -> (Levels, Vec<i32>) {
    let turned = factors.iter().any(|f| *f < 0.0);
    let (low, high) = grid.code_range();
    match &grid.levels {
        Levels::Affine { .. } if turned => {
            let zero = |(c, f): (usize, &f32)| {
                if *f < 0.0 { high - zero(grid, c) } else { zero(grid, c) - low }
            };
            let levels = Levels::Affine { qmin: 0, qmax: high - low };
            (levels, factors.iter().enumerate().map(zero).collect())
        }
        Levels::Affine { .. } => {
            (grid.levels.clone(), (0..factors.len()).map(|c| zero(grid, c)).collect())
        }
        Levels::Table(table) if turned => {
            let row = |(c, f): (usize, &f32)| -> Vec<f32> {
                let row = table.row(c).iter();
                if *f < 0.0 { row.rev().map(|v| -v).collect() } else { row.copied().collect() }
            };
            let rows: Vec<f32> = factors.iter().enumerate().flat_map(row).collect();
            // Levels that lie alike on both sides of zero stay the same.
            let alike =
                table.row_count() == 1 && rows.chunks(table.count()).all(|r| r == table.row(0));
            let turned = Table::rows(rows, table.count());
            let table = if alike { table.clone() } else { turned };
            (Levels::Table(table), vec![0; factors.len()])
        }
        other => (other.clone(), vec![0; factors.len()]),
    }
}
