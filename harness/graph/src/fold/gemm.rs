//! Gemm with factors, and MatMul with an Add behind it, as plain Gemm.

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::graph::Graph;
use crate::onnx::{AttributeProto, data_type};
use crate::ops::float_attr;

pub(super) fn fold(graph: &mut Graph) -> Result<(), GraphError> {
    for i in 0..graph.nodes().len() {
        match graph.nodes()[i].op_type.as_deref() {
            Some("Gemm") => unit_factors(graph, i)?,
            Some("MatMul") => to_gemm(graph, i),
            _ => {}
        }
    }
    Ok(())
}

/// Moves `alpha` and `beta` into weights and bias where both are constant, and gives the bias one
/// value per output channel where Gemm would broadcast it.
fn unit_factors(graph: &mut Graph, i: usize) -> Result<(), GraphError> {
    for (operand, name) in [(1, "alpha"), (2, "beta")] {
        let node = &graph.nodes()[i];
        let factor = float_attr(node, name).unwrap_or(1.0);
        let Some(value) = node.input.get(operand).filter(|v| !v.is_empty()).cloned() else {
            continue;
        };
        if graph.initializer(&value).is_none_or(|t| t.data_type != Some(data_type::FLOAT)) {
            continue;
        }
        let before = graph.weight(&value)?;
        let mut tensor = before.clone();
        if factor != 1.0 {
            tensor.data.iter_mut().for_each(|v| *v *= factor);
        }
        let channels = graph.item_dims(&node.output[0]);
        if let ([channels], "beta") = (&channels[..], name) {
            tensor = one_per_channel(tensor, *channels);
        }
        if tensor != before {
            let own = graph.own_copy(i, operand, &tensor);
            graph.set_weight(&own, &tensor)?;
        }
        let node = &mut graph.proto_mut().node[i];
        node.attribute.retain(|a| a.name.as_deref() != Some(name));
    }
    Ok(())
}

/// `[1, O]`, `[1]` and scalars as `[O]`; other shapes stay.
fn one_per_channel(bias: Tensor, channels: usize) -> Tensor {
    let data = match (bias.dims.as_slice(), bias.len()) {
        ([lead @ .., _], n) if n == channels && lead.iter().all(|&d| d == 1) => bias.data,
        (_, 1) => vec![bias.data[0]; channels],
        _ => return bias,
    };
    Tensor::new(vec![channels], data)
}

/// MatMul of a matrix with a constant matrix is Gemm; a constant vector added to it is the bias.
fn to_gemm(graph: &mut Graph, i: usize) {
    let node = &graph.nodes()[i];
    let constant = node.input.get(1).and_then(|w| graph.initializer(w));
    let Some(columns) = constant.filter(|w| w.dims.len() == 2).map(|w| w.dims[1]) else { return };
    if graph.shape(&node.input[0]).map(Vec::len) != Some(2) {
        return;
    }
    let output = node.output[0].clone();
    let add = match graph.consumers(&output).as_slice() {
        [j] if !graph.is_output(&output) => add_of_vector(graph, *j, &output, columns),
        _ => None,
    };
    let node = &mut graph.proto_mut().node[i];
    node.op_type = Some("Gemm".to_string());
    node.attribute = vec![AttributeProto {
        name: Some("transB".to_string()),
        i: Some(0),
        r#type: Some(crate::onnx::attribute_type::INT),
        ..AttributeProto::default()
    }];
    if let Some((j, bias)) = add {
        let sum = graph.nodes()[j].output[0].clone();
        let proto = graph.proto_mut();
        proto.node[i].input.push(bias);
        proto.node[i].output[0] = sum;
        // An Add without inputs and outputs is dropped by the pruning pass.
        proto.node[j].input.clear();
        proto.node[j].output.clear();
    }
}

fn add_of_vector(graph: &Graph, j: usize, value: &str, len: i64) -> Option<(usize, String)> {
    let node = &graph.nodes()[j];
    if node.op_type.as_deref() != Some("Add") {
        return None;
    }
    let other = node.input.iter().find(|v| *v != value)?;
    let vector = graph.initializer(other)?;
    (vector.dims == [len]).then(|| (j, other.clone()))
}

impl Graph {
    /// Makes sure that operand `operand` of node `i` is an initializer that no other operand
    /// reads, so that it may be changed; gives its name.
    pub(super) fn own_copy(&mut self, i: usize, operand: usize, tensor: &Tensor) -> String {
        let name = self.nodes()[i].input[operand].clone();
        if self.uses(&name) == 1 {
            return name;
        }
        let own = self.fresh_name(&format!("{name}_{i}"));
        let proto = self.proto_mut();
        proto.node[i].input[operand].clone_from(&own);
        proto.initializer.push(crate::values::from_f32(&own, tensor));
        own
    }
}
