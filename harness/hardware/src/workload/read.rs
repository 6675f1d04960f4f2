//! One layer of a graph as work.

use quantbench_graph::ops::{ints_attr, node_name};
use quantbench_graph::{Dim, Graph, Layer, LayerKind};

use super::{WIDEST, Work, WorkKind, WorkloadError, touched};

fn no_shape(graph: &Graph, layer: &str) -> WorkloadError {
    WorkloadError::Shape { origin: graph.origin().to_string(), layer: layer.to_string() }
}

/// A conv or FC at 32 bits.
pub(super) fn layer_work(graph: &Graph, layer: &Layer) -> Result<Work, WorkloadError> {
    let outputs = graph.item_elements(&layer.output) as u64;
    let channels = layer.channels() as u64;
    let weights = layer.parameters();
    if outputs == 0 || channels == 0 || weights == 0 || graph.shape(&layer.output).is_none() {
        return Err(no_shape(graph, &layer.name));
    }
    let window = weights / channels;
    let work = Work {
        name: layer.name.clone(),
        kind: WorkKind::Fc,
        groups: 1,
        pixels: outputs / channels,
        window,
        filters: channels,
        kernel: vec![1, 1],
        output_size: vec![1, 1],
        input_elements: outputs / channels * window,
        weight_bits: WIDEST,
        activation_bits: WIDEST,
        is_first: layer.is_first,
        images: 1,
    };
    if layer.kind == LayerKind::Fc {
        return Ok(work);
    }
    let kernel: Vec<u64> = layer.dims[2..].iter().map(|&k| k as u64).collect();
    let spatial = |value: &str| -> Vec<u64> {
        graph.item_dims(value).iter().skip(1).map(|&d| d as u64).collect()
    };
    let (input, output) = (spatial(&layer.input), spatial(&layer.output));
    if input.len() != kernel.len() || output.len() != kernel.len() {
        return Err(no_shape(graph, &layer.name));
    }
    let node = &graph.nodes()[layer.node];
    let list = |name: &str, i: usize| {
        ints_attr(node, name).and_then(|v| v.get(i)).map_or(1, |&v| v as u64)
    };
    let groups = layer.groups as u64;
    if groups == 0 || !channels.is_multiple_of(groups) || output.contains(&0) {
        return Err(no_shape(graph, &layer.name));
    }
    let read: u64 = (0..kernel.len())
        .map(|i| {
            let span = (kernel[i] - 1) * list("dilations", i) + 1;
            touched(input[i], output[i], span, list("strides", i))
        })
        .product();
    Ok(Work {
        kind: WorkKind::Conv,
        groups,
        filters: channels / groups,
        input_elements: read * groups * layer.dims[1] as u64,
        kernel,
        output_size: output,
        ..work
    })
}

/// A product of two activations, `[.., M, K]` by `[.., K, N]`.
pub(super) fn product_work(graph: &Graph, index: usize) -> Result<Work, WorkloadError> {
    let node = &graph.nodes()[index];
    let known = |value: &str, from_end: usize| -> Option<u64> {
        let shape = graph.shape(value)?;
        match shape.get(shape.len().checked_sub(from_end)?)? {
            Dim::Known(n) => Some(*n as u64),
            Dim::Batch => Some(1),
        }
    };
    let fail = || no_shape(graph, node_name(node));
    let [a, b] = &node.input[..] else { return Err(fail()) };
    let output = node.output.first().ok_or_else(fail)?;
    let outputs = graph.item_elements(output) as u64;
    let window = known(a, 1).ok_or_else(fail)?;
    // A vector as second operand has one column.
    let rank = graph.shape(b).map_or(0, Vec::len);
    let filters = if rank < 2 { 1 } else { known(b, 1).ok_or_else(fail)? };
    let second = graph.item_elements(b) as u64;
    let groups = (second / (window * filters).max(1)).max(1);
    let pixels = outputs / (groups * filters).max(1);
    if outputs == 0 || pixels == 0 {
        return Err(fail());
    }
    Ok(Work {
        name: node_name(node).to_string(),
        kind: WorkKind::Product,
        groups,
        pixels,
        window,
        filters,
        kernel: vec![1, 1],
        output_size: vec![1, 1],
        input_elements: graph.item_elements(a) as u64,
        weight_bits: WIDEST,
        activation_bits: WIDEST,
        is_first: false,
        images: 1,
    })
}
