//! Parts of a network: what lies between two cuts, and several versions of one layer at once.

use std::collections::BTreeSet;
use std::ops::Range;

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::graph::{Dim, Graph};
use crate::layer::Layer;
use crate::onnx::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, data_type, dimension, type_proto,
};
use crate::values::from_f32;
use crate::walk::op;

/// Operators whose output is no FP32 value, so that a network cannot be fed with it.
const NOT_FLOAT: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Cast",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "NonZero",
    "Not",
    "QuantizeLinear",
    "Shape",
    "Size",
];

impl Graph {
    /// The values that have to be known to run the network from node `at` on: those that nodes
    /// before it compute, the image among them, and that it or a later node reads.
    ///
    /// None where the network cannot be cut there image by image: the batch is not the leading
    /// dimension of each of these values and of everything behind, or a value is not FP32.
    pub fn cut(&self, at: usize) -> Option<Vec<String>> {
        let (before, behind) = self.nodes().split_at(at);
        let made: BTreeSet<&str> = before
            .iter()
            .flat_map(|n| n.output.iter().map(String::as_str))
            .chain([self.input()])
            .collect();
        let leads = |value: &str| self.shape(value).and_then(|s| s.first()) == Some(&Dim::Batch);
        let outputs = behind.iter().flat_map(|n| &n.output).filter(|o| !o.is_empty());
        if !outputs.into_iter().all(|value| leads(value)) {
            return None;
        }
        let mut cut: Vec<String> = Vec::new();
        for value in behind.iter().flat_map(|n| &n.input).filter(|v| made.contains(v.as_str())) {
            let float = self.producer(value).is_none_or(|i| !NOT_FLOAT.contains(&op(&before[i])));
            if !leads(value) || !float {
                return None;
            }
            if !cut.contains(value) {
                cut.push(value.clone());
            }
        }
        Some(cut)
    }

    /// The nodes of a range as a model of its own: its inputs are the values that they need from
    /// before, as far as [`Graph::cut`] lists them, its outputs the given values.
    ///
    /// # Errors
    /// An output that the graph does not have.
    pub fn segment(&self, nodes: Range<usize>, outputs: &[String]) -> Result<Graph, GraphError> {
        self.part(&self.nodes()[nodes], outputs)
    }

    /// The network from a layer on, with several versions of the layer's weights at once: for a
    /// batch of the values of its cut it gives the outputs of the first version for all images,
    /// then those of the second, and so on.
    ///
    /// Behind the layer the batch is as many times as long; the other values of the cut are
    /// repeated to fit. The caller checks that [`Graph::cut`] allows a cut there.
    ///
    /// # Errors
    /// The graph has no output of known shape.
    pub fn versions(&self, layer: &Layer, weights: &[Tensor]) -> Result<Graph, GraphError> {
        let (own, rest) = (&self.nodes()[layer.node], &self.nodes()[layer.node + 1..]);
        let cut = self.cut(layer.node).unwrap_or_default();
        let mut nodes = Vec::with_capacity(rest.len() + weights.len() + cut.len() + 1);
        let mut initializers = Vec::with_capacity(weights.len());
        let mut made = Vec::with_capacity(weights.len());
        for (i, weight) in weights.iter().enumerate() {
            let (name, output) = (
                self.fresh_name(&format!("{}_version{i}", layer.weight)),
                self.fresh_name(&format!("{}_version{i}", layer.output)),
            );
            let mut node = own.clone();
            node.name = Some(output.clone());
            node.input[1].clone_from(&name);
            node.output = vec![output.clone()];
            nodes.push(node);
            made.push(output);
            initializers.push(from_f32(&name, weight));
        }
        nodes.push(concat(made, &layer.output));
        let read = |value: &String| rest.iter().any(|n| n.input.contains(value));
        let mut rest = rest.to_vec();
        for value in cut.iter().filter(|v| read(v)) {
            let repeated = self.fresh_name(&format!("{value}_repeated"));
            for input in rest.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == value) {
                input.clone_from(&repeated);
            }
            nodes.push(concat(vec![value.clone(); weights.len()], &repeated));
        }
        nodes.extend(rest);
        let mut part = self.part(&nodes, &[self.output().to_string()])?;
        part.proto_mut().initializer.extend(initializers);
        Ok(part)
    }

    /// A model of these nodes with the initializers that they read.
    fn part(&self, nodes: &[NodeProto], outputs: &[String]) -> Result<Graph, GraphError> {
        let made: BTreeSet<&str> =
            nodes.iter().flat_map(|n| n.output.iter().map(String::as_str)).collect();
        let mut inputs: Vec<&str> = Vec::new();
        for value in nodes.iter().flat_map(|n| &n.input).map(String::as_str) {
            let outside = !made.contains(value) && self.initializer(value).is_none();
            if outside && self.shapes.contains_key(value) && !inputs.contains(&value) {
                inputs.push(value);
            }
        }
        let reads: BTreeSet<&str> =
            nodes.iter().flat_map(|n| n.input.iter().map(String::as_str)).collect();
        let held = self.proto().initializer.iter();
        let initializer = held.filter(|t| t.name.as_deref().is_some_and(|n| reads.contains(n)));
        let graph = GraphProto {
            name: self.proto().name.clone(),
            initializer: initializer.cloned().collect(),
            input: inputs.iter().map(|v| self.described(v)).collect::<Result<_, _>>()?,
            output: outputs.iter().map(|v| self.described(v)).collect::<Result<_, _>>()?,
            node: nodes.to_vec(),
            ..GraphProto::default()
        };
        let mut part = self.clone();
        part.model.graph = Some(graph);
        Ok(part)
    }

    /// An FP32 value with its shape, for the head of a model.
    fn described(&self, value: &str) -> Result<ValueInfoProto, GraphError> {
        let Some(shape) = self.shapes.get(value) else {
            let (origin, name) = (self.origin.clone(), value.to_string());
            return Err(GraphError::NoValue { origin, name });
        };
        let dim = |d: &Dim| Dimension {
            value: Some(match d {
                Dim::Known(n) => dimension::Value::DimValue(*n),
                Dim::Batch => dimension::Value::DimParam("batch".to_string()),
            }),
            denotation: None,
        };
        let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
        let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(shape) };
        Ok(ValueInfoProto {
            name: Some(value.to_string()),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(tensor)),
                denotation: None,
            }),
            ..ValueInfoProto::default()
        })
    }
}

/// Values one after the other along the batch.
fn concat(values: Vec<String>, output: &str) -> NodeProto {
    NodeProto {
        op_type: Some("Concat".to_string()),
        name: Some(format!("{output}_concat")),
        input: values,
        output: vec![output.to_string()],
        attribute: vec![AttributeProto {
            name: Some("axis".to_string()),
            i: Some(0),
            r#type: Some(attribute_type::INT),
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    }
}
