//! Constant FP32 tensors that exporters transpose or reshape at run time.

use std::collections::HashMap;

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::graph::{Dim, Graph};
use crate::onnx::{NodeProto, data_type};
use crate::ops::ints_attr;
use crate::values::{from_f32, to_f32};

/// Operators that keep the order of values.
const SAME_ORDER: &[&str] = &["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

pub(super) fn fold(graph: &mut Graph) -> Result<(), GraphError> {
    let mut made: HashMap<String, Tensor> = HashMap::new();
    let mut kept = Vec::with_capacity(graph.nodes().len());
    for node in std::mem::take(&mut graph.proto_mut().node) {
        match moved(graph, &made, &node)? {
            Some(tensor) => drop(made.insert(node.output[0].clone(), tensor)),
            None => kept.push(node),
        }
    }
    graph.proto_mut().node = kept;
    // Sorted, so that the same model gives the same bytes.
    let made: std::collections::BTreeMap<String, Tensor> = made.into_iter().collect();
    let tensors = made.iter().map(|(name, tensor)| from_f32(name, tensor));
    graph.proto_mut().initializer.extend(tensors);
    Ok(())
}

/// The value of a node that only moves a constant about.
fn moved(
    graph: &Graph,
    made: &HashMap<String, Tensor>,
    node: &NodeProto,
) -> Result<Option<Tensor>, GraphError> {
    let op = node.op_type.as_deref().unwrap_or("");
    if op != "Transpose" && !SAME_ORDER.contains(&op) {
        return Ok(None);
    }
    let fixed = |shape: &Vec<Dim>| -> Option<Vec<usize>> {
        shape.iter().map(|d| if let Dim::Known(n) = d { Some(*n as usize) } else { None }).collect()
    };
    let Some(dims) = graph.shape(&node.output[0]).and_then(fixed) else { return Ok(None) };
    let source = match made.get(&node.input[0]) {
        Some(tensor) => tensor.clone(),
        None => match graph.initializer(&node.input[0]) {
            Some(t) if t.data_type == Some(data_type::FLOAT) => to_f32(t, &graph.origin)?,
            _ => return Ok(None),
        },
    };
    if op != "Transpose" {
        return Ok(Some(Tensor::new(dims, source.data)));
    }
    let rank = source.dims.len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let order = ints_attr(node, "perm").unwrap_or(&reversed);
    Ok(Some(transpose(&source, dims, order)))
}

/// Values in the order of the permuted axes; `dims` are the permuted dimensions.
fn transpose(source: &Tensor, dims: Vec<usize>, order: &[i64]) -> Tensor {
    let rank = source.dims.len();
    let axis = |p: i64| (if p < 0 { p + rank as i64 } else { p }) as usize;
    let steps: Vec<usize> =
        order.iter().map(|&p| source.dims[axis(p) + 1..].iter().product()).collect();
    let data = (0..source.len())
        .map(|flat| {
            let mut rest = flat;
            let mut at = 0;
            for (size, step) in dims.iter().zip(&steps).rev() {
                at += rest % size * step;
                rest /= size;
            }
            source.data[at]
        })
        .collect();
    Tensor::new(dims, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_by_the_given_order() {
        let source = Tensor::new(vec![2, 1, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let result = transpose(&source, vec![3, 2, 1], &[2, 0, -2]);
        assert_eq!(result.data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
