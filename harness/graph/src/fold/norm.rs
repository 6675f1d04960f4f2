//! Batch norm into the conv or FC before it.

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::graph::{Graph, NormStats};
use crate::ops::{float_attr, int_attr, node_name};

/// A channel whose running variance is below this share of epsilon contributes less than 1 % of
/// `gamma` to its output, but its folded weights would be huge: it is set to its constant.
const DEAD_SHARE: f64 = 1e-4;

pub(super) fn fold(graph: &mut Graph) -> Result<(), GraphError> {
    for j in 0..graph.nodes().len() {
        if let Some(i) = foldable(graph, j) {
            fold_one(graph, i, j)?;
        }
    }
    Ok(())
}

/// The layer that batch norm `j` can be folded into: its output is read by nothing else and all
/// parameters are constant.
fn foldable(graph: &Graph, j: usize) -> Option<usize> {
    let norm = &graph.nodes()[j];
    if norm.op_type.as_deref() != Some("BatchNormalization")
        || int_attr(norm, "training_mode").unwrap_or(0) != 0
        || norm.input.len() != 5
        || norm.input[1..].iter().any(|p| graph.initializer(p).is_none())
    {
        return None;
    }
    let value = &norm.input[0];
    let i = graph.producer(value)?;
    let layer = &graph.nodes()[i];
    let constant = layer.input.get(1).is_some_and(|w| graph.initializer(w).is_some());
    // A bias of another shape is a constant per image, which batch norm cannot be folded into.
    let vector = |b: &String| graph.initializer(b).is_some_and(|t| t.dims.len() == 1);
    let bias = layer.input.get(2).is_none_or(|b| b.is_empty() || vector(b));
    let alone = graph.consumers(value).len() == 1 && !graph.is_output(value);
    let plain = match layer.op_type.as_deref() {
        Some("Conv") => true,
        Some("Gemm") => {
            int_attr(layer, "transA").unwrap_or(0) == 0
                && ["alpha", "beta"].iter().all(|a| float_attr(layer, a).unwrap_or(1.0) == 1.0)
        }
        _ => false,
    };
    (constant && bias && alone && plain).then_some(i)
}

fn fold_one(graph: &mut Graph, i: usize, j: usize) -> Result<(), GraphError> {
    let norm = graph.nodes()[j].clone();
    let epsilon = f64::from(float_attr(&norm, "epsilon").unwrap_or(1e-5));
    let parameter = |p: usize| graph.weight(&norm.input[p]);
    let (gamma, beta) = (parameter(1)?, parameter(2)?);
    let (mean, variance) = (parameter(3)?, parameter(4)?);
    let layer = graph.nodes()[i].clone();
    let mut weight = graph.weight(&layer.input[1])?;
    let axis = match layer.op_type.as_deref() {
        Some("Gemm") if int_attr(&layer, "transB").unwrap_or(0) == 0 => 1,
        _ => 0,
    };
    let channels = weight.dims[axis];
    let old_bias = match layer.input.get(2).filter(|b| !b.is_empty()) {
        Some(name) => graph.weight(name)?.data,
        None => vec![0.0; channels],
    };
    if [&gamma, &beta, &mean, &variance].iter().any(|t| t.len() != channels)
        || (old_bias.len() != channels)
    {
        return crate::load::structure(
            &graph.origin,
            format!(
                "batch norm {:?} does not fit the {channels} channels of {:?}",
                node_name(&norm),
                node_name(&layer)
            ),
        );
    }
    let mut dead = Vec::new();
    let factor: Vec<f64> = (0..channels)
        .map(|c| {
            let variance = f64::from(variance.data[c]).max(0.0);
            if variance < DEAD_SHARE * epsilon {
                dead.push(c);
                0.0
            } else {
                f64::from(gamma.data[c]) / (variance + epsilon).sqrt()
            }
        })
        .collect();
    let inner: usize = weight.dims[axis + 1..].iter().product();
    for (k, w) in weight.data.iter_mut().enumerate() {
        *w = (f64::from(*w) * factor[k / inner % channels]) as f32;
    }
    let bias: Vec<f32> = (0..channels)
        .map(|c| {
            let shift = f64::from(old_bias[c]) - f64::from(mean.data[c]);
            (f64::from(beta.data[c]) + shift * factor[c]) as f32
        })
        .collect();
    let std = (0..channels).map(|c| if factor[c] == 0.0 { 0.0 } else { gamma.data[c].abs() });
    let stats = NormStats { std: std.collect(), mean: beta.data };
    install(graph, i, j, &weight, bias)?;
    if !dead.is_empty() {
        graph.notes.push(format!(
            "{}: channels {dead:?} have no variance and were set to their constant before folding",
            node_name(&layer)
        ));
    }
    graph.norms.insert(norm.output[0].clone(), stats);
    Ok(())
}

/// Writes the folded weights and bias, and lets the layer produce what the norm produced.
fn install(
    graph: &mut Graph,
    i: usize,
    j: usize,
    weight: &Tensor,
    bias: Vec<f32>,
) -> Result<(), GraphError> {
    let own = graph.own_copy(i, 1, weight);
    graph.set_weight(&own, weight)?;
    let bias = Tensor::new(vec![bias.len()], bias);
    if graph.nodes()[i].input.get(2).is_some_and(|b| !b.is_empty()) {
        let own = graph.own_copy(i, 2, &bias);
        graph.set_weight(&own, &bias)?;
    } else {
        let name = graph.fresh_name(&format!("{own}_bias"));
        let proto = graph.proto_mut();
        proto.node[i].input.resize(2, String::new());
        proto.node[i].input.push(name.clone());
        proto.initializer.push(crate::values::from_f32(&name, &bias));
    }
    let output = graph.nodes()[j].output[0].clone();
    let proto = graph.proto_mut();
    proto.node[i].output[0] = output;
    // Without inputs and outputs the norm is dropped by the pruning pass.
    proto.node[j].input.clear();
    proto.node[j].output.clear();
    Ok(())
}
