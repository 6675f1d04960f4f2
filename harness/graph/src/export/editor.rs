//! Editing a graph message: fresh names, new initializers, nodes at their place.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};

/// A graph under change. New nodes are put where their inputs exist: in front of all nodes, or
/// behind the producer of a value.
pub(super) struct Editor {
    graph: Graph,
    names: BTreeSet<String>,
    front: Vec<NodeProto>,
    /// New nodes by the index of the node that they follow.
    behind: BTreeMap<usize, Vec<NodeProto>>,
    old_nodes: usize,
}

/// A new node; its name is that of its first output.
pub(super) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&i| i.to_string()).collect(),
        output: vec![output.to_string()],
        name: Some(output.to_string()),
        op_type: Some(op.to_string()),
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

/// Dimensions, type and little-endian bytes of an initializer without its name.
pub(super) fn raw(dims: &[usize], data_type: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: Some(data_type),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// An FP32 initializer without its name.
pub(super) fn floats(dims: &[usize], values: &[f32]) -> TensorProto {
    raw(dims, data_type::FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

impl Editor {
    pub(super) fn new(graph: Graph) -> Self {
        let proto = graph.proto();
        let mut names: BTreeSet<String> =
            proto.initializer.iter().filter_map(|t| t.name.clone()).collect();
        names.extend(proto.input.iter().chain(&proto.output).filter_map(|v| v.name.clone()));
        for node in &proto.node {
            names.extend(node.output.iter().chain(&node.name).cloned());
        }
        let old_nodes = proto.node.len();
        Self { graph, names, front: Vec::new(), behind: BTreeMap::new(), old_nodes }
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(super) fn proto_mut(&mut self) -> &mut GraphProto {
        self.graph.proto_mut()
    }

    /// Raises the default operator set.
    pub(super) fn set_opset(&mut self, version: i64) {
        for set in &mut self.graph.model.opset_import {
            if matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")) {
                set.version = Some(version);
            }
        }
    }

    /// Raises the IR version; a later one stays.
    pub(super) fn raise_ir_version(&mut self, version: i64) {
        let held = self.graph.model.ir_version.unwrap_or(0);
        self.graph.model.ir_version = Some(held.max(version));
    }

    /// A name that nothing has yet: `base`, or `base_2` and so on.
    pub(super) fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_string();
        let mut n = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{base}_{n}");
            n += 1;
        }
        name
    }

    /// Adds an initializer under a fresh name, which is returned.
    pub(super) fn add(&mut self, base: &str, mut tensor: TensorProto) -> String {
        let name = self.fresh(base);
        tensor.name = Some(name.clone());
        self.proto_mut().initializer.push(tensor);
        name
    }

    /// Takes an initializer out, also from the graph's inputs, where old files repeat it.
    pub(super) fn remove_initializer(&mut self, name: &str) {
        let proto = self.proto_mut();
        proto.initializer.retain(|t| t.name.as_deref() != Some(name));
        proto.input.retain(|v| v.name.as_deref() != Some(name));
    }

    /// Puts a node in front of all nodes of the model.
    pub(super) fn in_front(&mut self, node: NodeProto) {
        self.front.push(node);
    }

    /// Puts nodes behind node `index`, or in front if there is none.
    pub(super) fn behind(&mut self, index: Option<usize>, nodes: Vec<NodeProto>) {
        match index {
            Some(index) => self.behind.entry(index).or_default().extend(nodes),
            None => self.front.extend(nodes),
        }
    }

    /// Renames a value where nodes of the model read it.
    pub(super) fn rename_reads(&mut self, old: &str, new: &str) {
        for node in &mut self.proto_mut().node {
            for input in node.input.iter_mut().filter(|i| *i == old) {
                *input = new.to_string();
            }
        }
    }

    /// Renames a value where node `index` produces it.
    pub(super) fn rename_output(&mut self, index: usize, old: &str, new: &str) {
        for output in self.proto_mut().node[index].output.iter_mut().filter(|o| *o == old) {
            *output = new.to_string();
        }
    }

    /// The graph with the new nodes at their places.
    pub(super) fn finish(mut self) -> Graph {
        debug_assert_eq!(self.graph.nodes().len(), self.old_nodes, "indices must stay valid");
        let old = std::mem::take(&mut self.graph.proto_mut().node);
        let mut nodes = self.front;
        for (index, node) in old.into_iter().enumerate() {
            nodes.push(node);
            nodes.extend(self.behind.remove(&index).unwrap_or_default());
        }
        self.graph.proto_mut().node = nodes;
        self.graph
    }
}
