//! The same model with more outputs, for taps.

use crate::error::GraphError;
use crate::graph::Graph;
use crate::onnx::{TensorTypeProto, TypeProto, ValueInfoProto, data_type, type_proto};

impl Graph {
    /// The same model with its own output first and the given FP32 values as further outputs.
    ///
    /// A value that is the output already is not repeated.
    pub fn with_outputs(&self, values: &[&str]) -> Result<Graph, GraphError> {
        let mut graph = self.clone();
        let first = self.output().to_string();
        graph.proto_mut().output.truncate(1);
        for (i, &value) in values.iter().enumerate() {
            if value == first || values[..i].contains(&value) {
                continue;
            }
            if !self.shapes.contains_key(value) {
                let (origin, name) = (self.origin.clone(), value.to_string());
                return Err(GraphError::NoValue { origin, name });
            }
            graph.proto_mut().output.push(float_info(value));
        }
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
