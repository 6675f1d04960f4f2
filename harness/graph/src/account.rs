//! Sizes, bit operations and achieved widths of an artefact (design, section 5).

use std::collections::BTreeSet;

use quantbench_core::row::LayerBits;
use quantbench_core::{Bits, Grid, Levels, Sizes};

use crate::artefact::Artefact;
use crate::graph::Graph;
use crate::onnx::data_type;
use crate::packed::encode;
use crate::walk::{grid_at, matmul_macs, op};

/// Operators whose FP32 constants are settings and no parameters.
const SETTINGS: &[&str] = &["Clip", "Pad", "Resize"];

/// Sizes of an artefact; the two files' sizes are the caller's, in bytes.
///
/// Theoretical bits: every parameter at its width (32 where it is not quantized, biases
/// included), 32 per scale of weights and activations, and a zero point at the width of its grid
/// where the grid is asymmetric; 32 per level and threshold of a table.
pub fn sizes(artefact: &Artefact, original_file_bytes: u64, exported_file_bytes: u64) -> Sizes {
    let layers = artefact.graph.layers();
    let weights: BTreeSet<&str> = layers.iter().map(|l| l.weight.as_str()).collect();
    let mut sizes = Sizes {
        packed_bytes: encode(artefact).len() as u64,
        file_bytes: exported_file_bytes,
        fp32_file_bytes: original_file_bytes,
        ..Sizes::default()
    };
    for (name, elements) in parameters(&artefact.graph) {
        let quantized = artefact.weights.get(name);
        let bits = elements * quantized.map_or(32, |q| u64::from(q.grid.bits.get()));
        sizes.theoretical_bits += bits + quantized.map_or(0, |q| overhead_bits(&q.grid));
        if weights.contains(name) {
            sizes.weight_bits += bits;
            sizes.weight_bits_fp32 += elements * 32;
        }
    }
    sizes.theoretical_bits += artefact.activations.values().map(overhead_bits).sum::<u64>();
    sizes
}

/// Name and number of values of each FP32 initializer that is a parameter.
fn parameters(graph: &Graph) -> Vec<(&str, u64)> {
    let is_setting = |name: &str| {
        let readers = graph.consumers(name);
        readers.iter().all(|&n| SETTINGS.contains(&op(&graph.nodes()[n])))
    };
    let floats = graph.proto().initializer.iter().filter(|t| t.data_type == Some(data_type::FLOAT));
    floats
        .filter_map(|t| Some((t.name.as_deref()?, t.dims.iter().product::<i64>() as u64)))
        .filter(|(name, _)| !is_setting(name))
        .collect()
}

/// Bits of scales, on an asymmetric grid of zero points, and of a table with its thresholds.
fn overhead_bits(grid: &Grid) -> u64 {
    let mut table = 0;
    let symmetric = match &grid.levels {
        Levels::Affine { .. } => grid.is_signed() && grid.zero_point.iter().all(|&z| z == 0),
        Levels::Ternary | Levels::Binary => true,
        Levels::Table(levels) => {
            table = 32 * (levels.all().len() + levels.own_thresholds().len()) as u64;
            true
        }
    };
    let zero_point = if symmetric { 0 } else { u64::from(grid.bits.get()) };
    grid.scale.len() as u64 * (32 + zero_point) + table
}

/// Bit operations per image of the artefact and of its FP32 graph: the sum of weight bits x
/// activation bits x multiply-accumulates over conv, FC and MatMul; FP32 counts 32 bits.
pub fn bit_operations(artefact: &Artefact) -> (u64, u64) {
    let graph = &artefact.graph;
    let width = |value: &str| grid_at(artefact, value).map_or(32, |g| u64::from(g.bits.get()));
    let (mut quantized, mut fp32) = (0, 0);
    for (layer, bits) in graph.layers().iter().zip(allocation(artefact)) {
        let (w, a) = (u64::from(bits.weights.get()), u64::from(bits.activations.get()));
        quantized += w * a * layer.macs;
        fp32 += 32 * 32 * layer.macs;
    }
    for node in graph.nodes() {
        let macs = matmul_macs(graph, node);
        if macs > 0 {
            quantized += width(&node.input[0]) * width(&node.input[1]) * macs;
            fp32 += 32 * 32 * macs;
        }
    }
    (quantized, fp32)
}

/// Widths of every layer, in the order of the graph; 32 where nothing is quantized.
pub fn allocation(artefact: &Artefact) -> Vec<LayerBits> {
    let layers = artefact.graph.layers();
    layers
        .iter()
        .map(|layer| LayerBits {
            layer: layer.name.clone(),
            weights: artefact.weights.get(&layer.weight).map_or(Bits::FP32, |q| q.grid.bits),
            activations: grid_at(artefact, &layer.input).map_or(Bits::FP32, |g| g.bits),
            parameters: layer.parameters(),
        })
        .collect()
}

/// Mean weight width in bits, weighted by the number of weights; zero without weights.
pub fn mean_weight_bits(layers: &[LayerBits]) -> f64 {
    let parameters: u64 = layers.iter().map(|l| l.parameters).sum();
    let bits: u64 = layers.iter().map(|l| u64::from(l.weights.get()) * l.parameters).sum();
    if parameters == 0 { 0.0 } else { bits as f64 / parameters as f64 }
}
