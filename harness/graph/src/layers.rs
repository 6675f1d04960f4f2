//! Finding the layers of a graph, and their biases.

use std::collections::HashMap;

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::graph::{Dim, Graph};
use crate::layer::{Layer, LayerKind};
use crate::onnx::{NodeProto, TensorProto, data_type};
use crate::ops::{int_attr, node_name};

impl Graph {
    /// The convs and FCs with constant FP32 weights, in the order of the graph.
    pub fn layers(&self) -> Vec<Layer> {
        let held: HashMap<&str, &TensorProto> = self
            .proto()
            .initializer
            .iter()
            .filter(|t| t.data_type == Some(data_type::FLOAT))
            .filter_map(|t| Some((t.name.as_deref()?, t)))
            .collect();
        let mut layers: Vec<Layer> = self
            .nodes()
            .iter()
            .enumerate()
            .filter_map(|(i, node)| self.layer(i, node, &held))
            .collect();
        let first = layers.iter().position(|l| l.kind == LayerKind::Conv).unwrap_or(0);
        let last = layers.iter().rposition(|l| l.kind == LayerKind::Fc);
        let last = last.unwrap_or(layers.len().saturating_sub(1));
        if let Some(layer) = layers.get_mut(first) {
            layer.is_first = true;
        }
        if let Some(layer) = layers.get_mut(last) {
            layer.is_last = true;
        }
        layers
    }

    fn layer(
        &self,
        index: usize,
        node: &NodeProto,
        held: &HashMap<&str, &TensorProto>,
    ) -> Option<Layer> {
        let weight = node.input.get(1)?;
        let dims: Vec<usize> =
            held.get(weight.as_str())?.dims.iter().map(|&d| d as usize).collect();
        let (kind, axis) = match node.op_type.as_deref()? {
            "Conv" if dims.len() >= 3 => (LayerKind::Conv, 0),
            "Gemm" if dims.len() == 2 && int_attr(node, "transA").unwrap_or(0) == 0 => {
                (LayerKind::Fc, usize::from(int_attr(node, "transB").unwrap_or(0) == 0))
            }
            "MatMul" if dims.len() == 2 => (LayerKind::Fc, 1),
            _ => return None,
        };
        let output = node.output.first()?.clone();
        let per_output: usize = dims.iter().product::<usize>() / dims[axis].max(1);
        let outputs = self.item_elements(&output);
        let bias = node.input.get(2).filter(|b| !b.is_empty()).cloned();
        Some(Layer {
            name: node_name(node).to_string(),
            node: index,
            kind,
            weight: weight.clone(),
            axis,
            bias,
            input: node.input.first()?.clone(),
            output,
            groups: int_attr(node, "group").unwrap_or(1).max(1) as usize,
            macs: (per_output * outputs) as u64,
            dims,
            is_first: false,
            is_last: false,
        })
    }

    /// The bias of a layer, one value per output channel, if it has one.
    pub fn bias(&self, layer: &Layer) -> Result<Option<Tensor>, GraphError> {
        layer.bias.as_deref().map(|name| self.weight(name)).transpose()
    }

    /// Sets the bias of a layer, one value per output channel; adds the operand if it had none.
    ///
    /// `layer` must come from this graph. A bias initializer that other nodes share is left as it
    /// is, and the layer gets its own.
    pub fn set_bias(&mut self, layer: &Layer, values: &[f32]) -> Result<(), GraphError> {
        let fail = |reason: String| GraphError::Structure { origin: self.origin.clone(), reason };
        let op = self.nodes().get(layer.node).and_then(|n| n.op_type.as_deref()).unwrap_or("");
        if op != "Conv" && op != "Gemm" {
            return Err(fail(format!("layer {:?} ({op}) has no bias operand", layer.name)));
        }
        if values.len() != layer.channels() {
            let (have, want) = (values.len(), layer.channels());
            return Err(fail(format!(
                "layer {:?}: bias of {have} values; expected {want}",
                layer.name
            )));
        }
        let tensor = Tensor::new(vec![values.len()], values.to_vec());
        let node = &self.nodes()[layer.node];
        let current = node.input.get(2).filter(|b| !b.is_empty()).cloned();
        if let Some(name) = current.filter(|name| self.uses(name) == 1) {
            return self.set_weight(&name, &tensor);
        }
        let name = self.fresh_name(&format!("{}_bias", layer.weight));
        let node = &mut self.proto_mut().node[layer.node];
        node.input.resize(node.input.len().max(3), String::new());
        node.input[2].clone_from(&name);
        self.proto_mut().initializer.push(crate::values::from_f32(&name, &tensor));
        let dims = vec![Dim::Known(values.len() as i64)];
        self.shapes.insert(name, dims);
        Ok(())
    }

    /// How many operands read a value.
    pub(crate) fn uses(&self, value: &str) -> usize {
        self.nodes().iter().flat_map(|n| &n.input).filter(|i| *i == value).count()
    }

    /// A name that no value of the graph has.
    pub(crate) fn fresh_name(&self, wish: &str) -> String {
        let taken = |name: &str| {
            self.shapes.contains_key(name)
                || self.initializer(name).is_some()
                || self.producer(name).is_some()
        };
        let mut name = wish.to_string();
        let mut n = 1;
        while taken(&name) {
            n += 1;
            name = format!("{wish}_{n}");
        }
        name
    }
}
