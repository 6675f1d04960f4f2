//! Constant nodes, shape arithmetic, Identity and Dropout.

use std::collections::HashMap;

use crate::error::GraphError;
use crate::graph::{Dim, Graph};
use crate::onnx::TensorProto;
use crate::shape::{IntTensor, known_ints};
use crate::values::{constant, from_ints};

pub(super) fn fold(graph: &mut Graph) -> Result<(), GraphError> {
    let ints = known_ints(graph)?;
    resolve_reshapes(graph, &ints);
    constants_to_initializers(graph, &ints);
    drop_identities(graph);
    super::moves::fold(graph)?;
    Ok(())
}

/// A Reshape whose target starts with the batch copies that dimension instead (a zero).
fn resolve_reshapes(graph: &mut Graph, ints: &HashMap<String, IntTensor>) {
    for i in 0..graph.nodes().len() {
        let node = &graph.nodes()[i];
        if node.op_type.as_deref() != Some("Reshape") {
            continue;
        }
        let Some(target) = node.input.get(1).and_then(|name| ints.get(name)) else { continue };
        let leads = graph.shape(&node.input[0]).and_then(|s| s.first()) == Some(&Dim::Batch);
        let Some((Dim::Batch, rest)) = target.data.split_first() else { continue };
        let fixed: Option<Vec<i64>> =
            rest.iter().map(|d| if let Dim::Known(n) = d { Some(*n) } else { None }).collect();
        let (true, Some(rest)) = (leads, fixed) else { continue };
        let values: Vec<i64> = std::iter::once(0).chain(rest).collect();
        let name = graph.fresh_name(&format!("{}_target", node.output[0]));
        let proto = graph.proto_mut();
        proto.node[i].input[1].clone_from(&name);
        // A literal zero is not what the leading zero means.
        proto.node[i].attribute.retain(|a| a.name.as_deref() != Some("allowzero"));
        proto.initializer.push(from_ints(&name, vec![values.len() as i64], &values));
    }
}

fn constants_to_initializers(graph: &mut Graph, ints: &HashMap<String, IntTensor>) {
    let mut kept = Vec::new();
    let mut made = Vec::new();
    for node in std::mem::take(&mut graph.proto_mut().node) {
        let output = node.output.first().cloned().unwrap_or_default();
        if let Some(tensor) = constant(&node) {
            made.push(TensorProto { name: Some(output), ..tensor.into_owned() });
            continue;
        }
        match ints.get(&output).and_then(|t| t.to_proto(&output)) {
            Some(tensor) => made.push(tensor),
            None => kept.push(node),
        }
    }
    graph.proto_mut().node = kept;
    graph.proto_mut().initializer.extend(made);
}

fn drop_identities(graph: &mut Graph) {
    let outputs: Vec<String> = graph.proto().output.iter().filter_map(|v| v.name.clone()).collect();
    let mut renamed: HashMap<String, String> = HashMap::new();
    graph.proto_mut().node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(source) = renamed.get(input) {
                input.clone_from(source);
            }
        }
        let op = node.op_type.as_deref();
        let passes = op == Some("Identity") || op == Some("Dropout");
        let mask = node.output.get(1).is_some_and(|o| !o.is_empty());
        if !passes || mask || outputs.contains(&node.output[0]) {
            return true;
        }
        renamed.insert(node.output[0].clone(), node.input[0].clone());
        false
    });
}
