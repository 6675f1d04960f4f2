//! The part of a model that some of its values need, for taps.

use crate::error::GraphError;
use crate::graph::Graph;
use crate::onnx::{TensorTypeProto, TypeProto, ValueInfoProto, data_type, type_proto};

impl Graph {
    /// The part of the model that computes the given FP32 values, which become its outputs in that
    /// order, each once; what none of them needs is gone.
    ///
    /// # Errors
    /// A value that the graph does not have.
    pub fn ending_in(&self, values: &[&str]) -> Result<Graph, GraphError> {
        let mut graph = self.clone();
        graph.proto_mut().output.clear();
        for (i, &value) in values.iter().enumerate() {
            if values[..i].contains(&value) {
                continue;
            }
            if !self.shapes.contains_key(value) {
                let (origin, name) = (self.origin.clone(), value.to_string());
                return Err(GraphError::NoValue { origin, name });
            }
            graph.proto_mut().output.push(float_info(value));
        }
        crate::fold::prune(&mut graph);
        Ok(graph)
    }
}

fn float_info(name: &str) -> ValueInfoProto {
    let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: None };
    ValueInfoProto {
        name: Some(name.to_string()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}
