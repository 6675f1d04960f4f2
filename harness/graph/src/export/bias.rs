//! Biases between 8-bit inputs and 8-bit weights: INT32 codes at the accumulator's scale.

use quantbench_core::{Bits, Granularity, Grid, Levels};

use super::editor::{Editor, floats, int, node, raw};
use crate::artefact::Artefact;
use crate::layer::Layer;
use crate::onnx::{NodeProto, data_type};
use crate::walk::grid_at;

/// Where conv and Gemm read their bias.
const BIAS_OPERAND: usize = 2;

/// Quantizes the bias of every layer whose input and weights are 8-bit affine.
///
/// The bias of channel `c` has scale `s_x * s_w[c]` and zero point 0 (Jacob et al. 2018, section
/// 2.4), so that it adds to the integer accumulator. These stay FP32: a bias beyond INT32 at that
/// scale (a channel with nearly no weights), one that an Add behind a MatMul adds, and one that a
/// Gemm multiplies.
pub(super) fn quantize(artefact: &Artefact, editor: &mut Editor) {
    let graph = &artefact.graph;
    for layer in &graph.layers() {
        let Some(name) = layer.bias.as_deref() else { continue };
        let Some((codes, scales)) = codes(artefact, layer, name) else { continue };
        let output = if graph.consumers(name).len() == 1 {
            editor.remove_initializer(name);
            name.to_string()
        } else {
            // Another layer may need another scale: this one reads a copy.
            let copy = editor.fresh(&format!("{name}_of_{}", layer.name));
            editor.proto_mut().node[layer.node].input[BIAS_OPERAND].clone_from(&copy);
            copy
        };
        let dims = [codes.len()];
        let bytes = codes.iter().flat_map(|c| c.to_le_bytes()).collect();
        let codes = editor.add(&format!("{output}_quantized"), raw(&dims, data_type::INT32, bytes));
        let scale = editor.add(&format!("{output}_scale"), floats(&dims, &scales));
        let mut dequantize = node("DequantizeLinear", &[&codes, &scale], &output);
        dequantize.name = Some(editor.fresh(&format!("{output}_dequantize")));
        dequantize.attribute.push(int("axis", 0));
        editor.in_front(dequantize);
    }
}

/// Codes and scales of a layer's bias; none where it has to stay FP32.
fn codes(artefact: &Artefact, layer: &Layer, name: &str) -> Option<(Vec<i32>, Vec<f32>)> {
    let node = &artefact.graph.nodes()[layer.node];
    let weights = &artefact.weights.get(&layer.weight)?.grid;
    let input = grid_at(artefact, &layer.input)?;
    let along_channels = match weights.granularity {
        Granularity::Tensor => true,
        Granularity::Channel { axis } => axis == layer.axis,
    };
    let symmetric = weights.zero_point.iter().all(|&z| z == 0);
    let adds = node.input.get(BIAS_OPERAND).is_some_and(|i| i == name) && is_plain(node);
    if !(adds && is_byte(weights) && is_byte(input) && along_channels && symmetric) {
        return None;
    }
    let bias = artefact.graph.weight(name).ok()?;
    // A bias of other dimensions is broadcast, which DequantizeLinear along an axis is not.
    if bias.dims != [layer.channels()] {
        return None;
    }
    let scale = |c: usize| input.scale[0] * weights.scale.get(c).unwrap_or(&weights.scale[0]);
    let scales: Vec<f32> = (0..bias.len()).map(scale).collect();
    let code = |(&b, &s): (&f32, &f32)| {
        let code = (f64::from(b) / f64::from(s)).round_ties_even();
        (s > 0.0 && code.abs() <= f64::from(i32::MAX)).then_some(code as i32)
    };
    let codes = bias.data.iter().zip(&scales).map(code).collect::<Option<Vec<i32>>>()?;
    Some((codes, scales))
}

/// Whether a node multiplies neither its product nor its bias by a factor (Gemm's alpha, beta).
fn is_plain(node: &NodeProto) -> bool {
    node.attribute
        .iter()
        .filter(|a| matches!(a.name.as_deref(), Some("alpha" | "beta")))
        .all(|a| a.f.is_none_or(|f| f == 1.0))
}

fn is_byte(grid: &Grid) -> bool {
    grid.bits == Bits::EIGHT && matches!(grid.levels, Levels::Affine { .. })
}
