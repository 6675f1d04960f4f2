//! The batch: the leading dimension of the image input, freed where an export fixed it.

use crate::error::GraphError;
use crate::graph::{Dim, Graph, Shape};
use crate::load::structure;
use crate::onnx::{
    NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, ValueInfoProto, data_type,
    dimension, type_proto,
};
use crate::ops::int_attr;

use super::{Env, IntTensor};

/// Name of a freed batch.
const FREE: &str = "N";

/// Checks the image input (FP32, fixed but for the batch) and gives the batch if it is fixed.
pub(super) fn fixed_batch(graph: &Graph) -> Result<Option<i64>, GraphError> {
    let (origin, name) = (graph.origin.as_str(), graph.input());
    let input = graph.proto().input.iter().find(|v| v.name.as_deref() == Some(name));
    let Some(tensor) = input.and_then(tensor_type) else {
        return structure(origin, format!("input {name:?} has no tensor type"));
    };
    if tensor.elem_type != Some(data_type::FLOAT) {
        return structure(
            origin,
            format!(
                "input {name:?} has element type {}; expected FP32 (1), export the model in FP32",
                tensor.elem_type.unwrap_or(0)
            ),
        );
    }
    let Some(shape) = tensor.shape.as_ref().filter(|s| s.dim.len() >= 2) else {
        return structure(origin, format!("input {name:?} has no shape; expected [N, C, H, W]"));
    };
    for (axis, dim) in shape.dim.iter().enumerate().skip(1) {
        let found = match &dim.value {
            Some(dimension::Value::DimValue(n)) if (1..=super::LONGEST).contains(n) => continue,
            Some(dimension::Value::DimValue(n)) => n.to_string(),
            Some(dimension::Value::DimParam(p)) => format!("symbolic ({p})"),
            None => "not stated".to_string(),
        };
        let (origin, value) = (origin.to_string(), name.to_string());
        return Err(GraphError::DynamicShape { origin, value, axis, found });
    }
    Ok(match shape.dim[0].value {
        Some(dimension::Value::DimValue(n)) if n > 0 => Some(n),
        _ => None,
    })
}

/// A Reshape whose constant target begins with the fixed batch, rewritten to copy that dimension
/// (a leading zero); `None` for every other node.
pub(super) fn unbake(
    env: &Env<'_>,
    node: &NodeProto,
    fixed: i64,
) -> Option<(NodeProto, IntTensor)> {
    if node.op_type.as_deref() != Some("Reshape") || int_attr(node, "allowzero").unwrap_or(0) != 0 {
        return None;
    }
    let leads = env.shape(node, 0).ok()?.first() == Some(&Dim::Batch);
    let mut target = env.ints.get(node.input.get(1)?)?.clone();
    if !leads || target.data.len() < 2 || target.data[0] != Dim::Known(fixed) {
        return None;
    }
    target.data[0] = Dim::Known(0);
    let mut node = node.clone();
    node.input[1] = env.fresh_name(&format!("{}_target", node.output.first()?));
    Some((node, target))
}

/// Frees the batch in what the file states about values, and puts rewritten nodes in place.
pub(super) fn free(
    graph: &mut Graph,
    fixed: i64,
    rewritten: Vec<(usize, NodeProto, Option<TensorProto>)>,
) {
    let input = graph.input().to_string();
    let shapes = std::mem::take(&mut graph.shapes);
    let proto = graph.proto_mut();
    for (index, node, target) in rewritten {
        proto.node[index] = node;
        proto.initializer.extend(target);
    }
    let stated = proto.input.iter_mut().filter(|v| v.name.as_ref() == Some(&input));
    for info in stated.chain(&mut proto.output).chain(&mut proto.value_info) {
        let inferred: Option<&Shape> = info.name.as_ref().and_then(|n| shapes.get(n));
        let leads = inferred.and_then(|s| s.first()) == Some(&Dim::Batch);
        if let Some(dim) = stated_shape(info).and_then(|s| s.dim.first_mut())
            && leads
        {
            dim.value = Some(dimension::Value::DimParam(FREE.to_string()));
        }
    }
    graph.shapes = shapes;
    graph.notes.push(format!("the batch was fixed at {fixed} and has been made free"));
}

/// The tensor type of a value, if it has one.
pub(super) fn tensor_type(info: &ValueInfoProto) -> Option<&TensorTypeProto> {
    match info.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}

fn stated_shape(info: &mut ValueInfoProto) -> Option<&mut TensorShapeProto> {
    match info.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_mut(),
        _ => None,
    }
}
