//! A loaded model: the ONNX message, untouched, with the facts that passes and methods ask for.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::onnx::{GraphProto, ModelProto, NodeProto, TensorProto};

/// One dimension of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// A fixed size.
    Known(i64),
    /// The batch: the one symbolic dimension that a model may have.
    Batch,
}

/// The shape of a value.
pub type Shape = Vec<Dim>;

/// Mean and standard deviation per channel of a folded conv's output, which its batch norm knew:
/// `beta` and `|gamma|`. Data-free methods read these.
#[derive(Debug, Clone, PartialEq)]
pub struct NormStats {
    /// `beta` per channel.
    pub mean: Vec<f32>,
    /// `|gamma|` per channel.
    pub std: Vec<f32>,
}

/// A model: ONNX in and out without loss, plus inferred shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The model as ONNX knows it. Nodes are in topological order.
    pub(crate) model: ModelProto,
    /// Where it came from, for error messages.
    pub(crate) origin: String,
    /// Shape of every value that inference resolved.
    pub(crate) shapes: BTreeMap<String, Shape>,
    /// Statistics of folded batch norms, by the value that the folded conv or FC now produces.
    pub(crate) norms: BTreeMap<String, NormStats>,
    /// What loading and folding had to guard against.
    pub(crate) notes: Vec<String>,
}

impl Graph {
    /// The graph message.
    pub fn proto(&self) -> &GraphProto {
        // `load` refuses a model without a graph, so the default is never reached.
        static EMPTY: std::sync::OnceLock<GraphProto> = std::sync::OnceLock::new();
        self.model.graph.as_ref().unwrap_or_else(|| EMPTY.get_or_init(GraphProto::default))
    }

    /// The graph message, to be edited by the passes of this room.
    pub(crate) fn proto_mut(&mut self) -> &mut GraphProto {
        self.model.graph.get_or_insert_with(GraphProto::default)
    }

    /// Where the model came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Version of the default operator set.
    pub fn opset(&self) -> i64 {
        self.model
            .opset_import
            .iter()
            .find(|o| {
                o.domain.as_deref().unwrap_or("").is_empty()
                    || o.domain.as_deref() == Some("ai.onnx")
            })
            .and_then(|o| o.version)
            .unwrap_or(1)
    }

    /// Nodes in topological order.
    pub fn nodes(&self) -> &[NodeProto] {
        &self.proto().node
    }

    /// Name of the image input: the one graph input that is not an initializer.
    pub fn input(&self) -> &str {
        let held: BTreeSet<&str> =
            self.proto().initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        self.proto()
            .input
            .iter()
            .filter_map(|v| v.name.as_deref())
            .find(|n| !held.contains(n))
            .unwrap_or("")
    }

    /// Name of the logits: the first graph output.
    pub fn output(&self) -> &str {
        self.proto().output.first().and_then(|v| v.name.as_deref()).unwrap_or("")
    }

    /// Whether a value is an output of the graph.
    pub(crate) fn is_output(&self, value: &str) -> bool {
        self.proto().output.iter().any(|o| o.name.as_deref() == Some(value))
    }

    /// Shape of a value, if inference resolved it.
    pub fn shape(&self, value: &str) -> Option<&Shape> {
        self.shapes.get(value)
    }

    /// Dimensions of one image, for example `[3, 32, 32]`.
    pub fn image_dims(&self) -> Vec<usize> {
        self.item_dims(self.input())
    }

    /// Dimensions of a value for one image: its shape without the leading dimension, which has to
    /// be the batch ([`Graph::item_elements`] needs no such thing).
    pub fn item_dims(&self, value: &str) -> Vec<usize> {
        self.shapes
            .get(value)
            .map(|s| {
                s.iter()
                    .skip(1)
                    .map(|d| if let Dim::Known(n) = d { *n as usize } else { 1 })
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Number of elements that a value has for one image, wherever its batch dimension is: the
    /// product of its fixed dimensions.
    pub fn item_elements(&self, value: &str) -> usize {
        let dims = self.shapes.get(value).into_iter().flatten();
        dims.map(|d| if let Dim::Known(n) = d { *n as usize } else { 1 }).product()
    }

    /// Statistics of the batch norm that was folded into the producer of `value`.
    pub fn norm_stats(&self, value: &str) -> Option<&NormStats> {
        self.norms.get(value)
    }

    /// Replaces the statistics of a value, after its producer's channels were rescaled or shifted.
    pub fn set_norm_stats(&mut self, value: &str, stats: NormStats) {
        self.norms.insert(value.to_string(), stats);
    }

    /// What loading and folding had to guard against, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The initializer of that name.
    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.proto().initializer.iter().find(|t| t.name.as_deref() == Some(name))
    }

    /// An FP32 initializer as a tensor.
    pub fn weight(&self, name: &str) -> Result<Tensor, GraphError> {
        let proto = self.initializer(name).ok_or_else(|| GraphError::NoInitializer {
            origin: self.origin.clone(),
            name: name.to_string(),
        })?;
        crate::values::to_f32(proto, &self.origin)
    }

    /// Replaces the values of an FP32 initializer; name and dimensions stay.
    pub fn set_weight(&mut self, name: &str, tensor: &Tensor) -> Result<(), GraphError> {
        let origin = self.origin.clone();
        let proto = self
            .proto_mut()
            .initializer
            .iter_mut()
            .find(|t| t.name.as_deref() == Some(name))
            .ok_or_else(|| GraphError::NoInitializer { origin, name: name.to_string() })?;
        *proto = crate::values::from_f32(name, tensor);
        Ok(())
    }

    /// The index of the node that produces a value.
    pub fn producer(&self, value: &str) -> Option<usize> {
        self.nodes().iter().position(|n| n.output.iter().any(|o| o == value))
    }

    /// Indices of the nodes that read a value.
    pub fn consumers(&self, value: &str) -> Vec<usize> {
        self.nodes()
            .iter()
            .enumerate()
            .filter(|(_, n)| n.input.iter().any(|i| i == value))
            .map(|(i, _)| i)
            .collect()
    }
}
