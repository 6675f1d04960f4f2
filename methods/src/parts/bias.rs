//! Biases of layers, read for correction.

use quantbench_graph::{Graph, Layer};

use crate::contract::MethodError;

/// Whether a layer has a bias operand that is added as it is: a conv, or a Gemm without a factor
/// on its bias.
pub fn can_hold_bias(graph: &Graph, layer: &Layer) -> bool {
    let Some(node) = graph.nodes().get(layer.node) else { return false };
    let beta = node.attribute.iter().find(|a| a.name.as_deref() == Some("beta"));
    match node.op_type.as_deref() {
        Some("Conv") => true,
        Some("Gemm") => beta.and_then(|a| a.f).is_none_or(|beta| beta == 1.0),
        _ => false,
    }
}

/// The bias of every output channel; zeros for a layer without.
pub fn bias_of(graph: &Graph, layer: &Layer) -> Result<Vec<f64>, MethodError> {
    let channels = layer.channels();
    let held = graph.bias(layer)?.map_or_else(Vec::new, |bias| bias.data);
    Ok(match held[..] {
        [] => vec![0.0; channels],
        // Gemm repeats a single value.
        [one] => vec![f64::from(one); channels],
        _ => held.iter().map(|&b| f64::from(b)).collect(),
    })
}
