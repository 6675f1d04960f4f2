//! Walking along values: which operators only move values about, and where a value comes from.

use std::collections::BTreeSet;

use quantbench_core::Grid;

use crate::artefact::Artefact;
use crate::graph::{Dim, Graph};
use crate::onnx::{NodeProto, data_type};

/// Operators that only move, repeat, drop or select values of their first input, so that a
/// quantized input gives an output on the same grid. Of several outputs the first is meant (the
/// second of a Dropout or MaxPool is a mask or an index), but all of a Split.
const PASS_THROUGH: &[&str] = &[
    "DepthToSpace",
    "Dropout",
    "Flatten",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Operators whose output holds facts about a value and not the value.
const NOT_DATA: &[&str] = &["ArgMax", "ArgMin", "NonZero", "Shape", "Size"];

/// The operator of a node; empty if the file states none.
pub(crate) fn op(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or("")
}

/// The outputs of a node that hold values of its first input and nothing else (Pad: constant
/// zeros only).
pub(crate) fn copies<'g>(graph: &Graph, node: &'g NodeProto) -> &'g [String] {
    let passes = match op(node) {
        "Pad" => pads_with_zeros(graph, node),
        _ => PASS_THROUGH.contains(&op(node)),
    };
    if !passes {
        return &[];
    }
    let held = if op(node) == "Split" { node.output.len() } else { 1 };
    &node.output[..held.min(node.output.len())]
}

fn pads_with_zeros(graph: &Graph, node: &NodeProto) -> bool {
    let mode = node.attribute.iter().find(|a| a.name.as_deref() == Some("mode"));
    if mode.and_then(|a| a.s.as_deref()).is_some_and(|mode| mode != b"constant") {
        // Reflected or repeated edges are values of the input.
        return true;
    }
    match node.input.get(2).map(String::as_str) {
        None | Some("") => true,
        Some(value) => {
            graph.weight(value).is_ok_and(|fill| fill.data.len() == 1 && fill.data[0] == 0.0)
        }
    }
}

/// The value that `value` is a rearranged copy of: one step back through a pass-through node.
pub(crate) fn copied_from<'g>(graph: &'g Graph, value: &str) -> Option<&'g str> {
    let node = &graph.nodes()[graph.producer(value)?];
    let is_copy = copies(graph, node).iter().any(|o| o == value);
    if is_copy { node.input.first().map(String::as_str) } else { None }
}

/// The value itself, then what it is a copy of, and so on back to where it was computed.
pub(crate) fn origins<'g>(graph: &'g Graph, value: &'g str) -> impl Iterator<Item = &'g str> {
    std::iter::successors(Some(value), |v| copied_from(graph, v))
}

/// The grid that a value lies on when it is read: its own, or that of what it is a copy of.
pub(crate) fn grid_at<'a>(artefact: &'a Artefact, value: &'a str) -> Option<&'a Grid> {
    origins(&artefact.graph, value).find_map(|v| artefact.activations.get(v))
}

/// Values that are computed from the image (and are not facts about shapes).
pub(crate) fn data_values(graph: &Graph) -> BTreeSet<&str> {
    let mut data = BTreeSet::from([graph.input()]);
    for node in graph.nodes() {
        let reads = node.input.iter().any(|i| data.contains(i.as_str()));
        if reads && !NOT_DATA.contains(&op(node)) {
            data.extend(node.output.iter().map(String::as_str).filter(|o| !o.is_empty()));
        }
    }
    data
}

/// The output of a Relu or Clip that is the only reader of a value, else the value itself.
pub(crate) fn after_relu<'g>(graph: &'g Graph, value: &'g str) -> &'g str {
    let is_output = graph.proto().output.iter().any(|o| o.name.as_deref() == Some(value));
    match graph.consumers(value)[..] {
        [only] if !is_output && matches!(op(&graph.nodes()[only]), "Relu" | "Clip") => {
            graph.nodes()[only].output.first().map_or(value, String::as_str)
        }
        _ => value,
    }
}

/// Multiply-accumulates per image of a MatMul of two activations, zero for any other node.
pub fn matmul_macs(graph: &Graph, node: &NodeProto) -> u64 {
    let [a, b] = &node.input[..] else { return 0 };
    if op(node) != "MatMul" || graph.initializer(a).is_some() || graph.initializer(b).is_some() {
        return 0;
    }
    let inner = match graph.shape(a).and_then(|s| s.last()) {
        Some(Dim::Known(n)) => *n as usize,
        // A sum over the images of a batch is one product per image.
        Some(Dim::Batch) => 1,
        None => 0,
    };
    let out = node.output.first().map_or(0, |o| graph.item_elements(o));
    (out * inner) as u64
}

/// Whether a value is an FP32 initializer.
pub(crate) fn is_float_initializer(graph: &Graph, name: &str) -> bool {
    graph.initializer(name).is_some_and(|t| t.data_type == Some(data_type::FLOAT))
}
