//! Reading a Q/DQ file that another tool wrote: what is quantized in it, and to how many bits.
//!
//! Gives an [`Artefact`], so that sizes, bit operations and widths are counted as for our own
//! methods. Widths are achieved ones: the smallest number of bits that holds every code of a
//! weight, and the levels that a Clip in front of a quantizer leaves. Evaluations use the file
//! itself, never what was read from it.
//!
//! Read are QuantizeLinear and DequantizeLinear of the default domain and of `com.microsoft`,
//! integer weights behind DequantizeLinear, and FP32 weights behind a QuantizeLinear and
//! DequantizeLinear of their own. Weights that reach their layer through further nodes
//! (Transpose, Reshape) count as not quantized.

mod activations;
mod codes;
mod weights;

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use quantbench_core::{Grid, QuantTensor};
use thiserror::Error;

use crate::artefact::{Artefact, ArtefactError};
use crate::error::GraphError;
use crate::graph::Graph;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::ops::node_name;
use crate::values::constant;
use crate::walk::op;

/// A file that cannot be read as a quantized model.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum QdqError {
    /// No ONNX file, or one with an operator that we do not know.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Nothing is quantized.
    #[error("{origin}: there is no QuantizeLinear or DequantizeLinear node; expected a Q/DQ model")]
    Float {
        /// File or origin.
        origin: String,
    },
    /// The operator-oriented format.
    #[error(
        "{origin}: node {node:?} ({op}) belongs to the operator-oriented format; write the model \
         in Q/DQ format (QuantizeLinear and DequantizeLinear around float operators)"
    )]
    Operators {
        /// File or origin.
        origin: String,
        /// Node.
        node: String,
        /// Operator.
        op: String,
    },
    /// A quantizer that our rows cannot describe.
    #[error("{origin}: node {node:?} ({op}): {reason}")]
    Quantizer {
        /// File or origin.
        origin: String,
        /// Node.
        node: String,
        /// Operator.
        op: String,
        /// What does not fit and what would.
        reason: String,
    },
    /// Grids or codes that contradict each other.
    #[error("{origin}: {source}")]
    Artefact {
        /// File or origin.
        origin: String,
        /// The contradiction.
        source: ArtefactError,
    },
}

/// Reads a Q/DQ model; `origin` names it in messages.
///
/// # Errors
/// [`QdqError`]: no ONNX model, nothing quantized in it, the operator-oriented format, or a
/// quantizer of a kind that rows cannot describe (blocks, 16 bits, activations per channel).
pub fn read_qdq(bytes: &[u8], origin: &str) -> Result<Artefact, QdqError> {
    let mut model = crate::load::decode(bytes, origin)?;
    let proto = model.graph.get_or_insert_with(GraphProto::default);
    check_format(proto, origin)?;
    lift_constants(proto);
    let mut reader = Reader { origin, proto, weights: BTreeMap::new(), grids: BTreeMap::new() };
    reader.weights()?;
    reader.activations()?;
    let Reader { weights, grids, .. } = reader;
    drop_unread(proto);
    let graph = Graph::from_bytes(&model.encode_to_vec(), origin)?;
    let artefact = Artefact::new(graph, weights, grids, Vec::new());
    artefact.check().map_err(|source| QdqError::Artefact { origin: origin.to_string(), source })?;
    Ok(artefact)
}

/// A file on its way to an artefact: quantizers are taken out of `proto` one by one.
struct Reader<'a> {
    origin: &'a str,
    proto: &'a mut GraphProto,
    /// Weights by the FP32 initializer that now stands for them.
    weights: BTreeMap<String, QuantTensor>,
    /// Grid of each quantized value.
    grids: BTreeMap<String, Grid>,
}

impl Reader<'_> {
    fn fail<T>(&self, node: &NodeProto, reason: impl Into<String>) -> Result<T, QdqError> {
        Err(QdqError::Quantizer {
            origin: self.origin.to_string(),
            node: node_name(node).to_string(),
            op: op(node).to_string(),
            reason: reason.into(),
        })
    }

    fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.proto.initializer.iter().find(|t| t.name.as_deref() == Some(name))
    }

    /// How many operands and graph outputs read a value.
    fn reads(&self, value: &str) -> usize {
        let operands = self.proto.node.iter().flat_map(|n| &n.input).filter(|i| *i == value);
        operands.count() + usize::from(self.is_output(value))
    }

    fn is_output(&self, value: &str) -> bool {
        self.proto.output.iter().any(|o| o.name.as_deref() == Some(value))
    }

    fn rename_reads(&mut self, old: &str, new: &str) {
        for input in self.proto.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == old) {
            *input = new.to_string();
        }
    }
}

pub(super) fn is_quantize(node: &NodeProto) -> bool {
    op(node) == "QuantizeLinear"
}

pub(super) fn is_dequantize(node: &NodeProto) -> bool {
    op(node) == "DequantizeLinear"
}

/// Refuses files without quantizers and those of the operator-oriented format, and moves
/// Microsoft's variants of the two nodes into the default domain.
fn check_format(proto: &mut GraphProto, origin: &str) -> Result<(), QdqError> {
    let integer = |op: &str| {
        op.starts_with("QLinear") || op.ends_with("Integer") || matches!(op, "QGemm" | "QAttention")
    };
    if let Some(node) = proto.node.iter().find(|n| integer(op(n))) {
        let (node, op) = (node_name(node).to_string(), op(node).to_string());
        return Err(QdqError::Operators { origin: origin.to_string(), node, op });
    }
    if !proto.node.iter().any(|n| is_quantize(n) || is_dequantize(n)) {
        return Err(QdqError::Float { origin: origin.to_string() });
    }
    for node in &mut proto.node {
        let microsoft = node.domain.as_deref() == Some("com.microsoft");
        if microsoft && (is_quantize(node) || is_dequantize(node)) {
            node.domain = None;
        }
    }
    Ok(())
}

/// Turns Constant nodes into initializers.
fn lift_constants(proto: &mut GraphProto) {
    let mut made = Vec::new();
    proto.node.retain(|node| {
        let Some(tensor) = constant(node) else { return true };
        let name = node.output.first().cloned();
        made.push(TensorProto { name, ..tensor.into_owned() });
        false
    });
    proto.initializer.extend(made);
}

/// Drops initializers that nothing reads any more, and shapes that were stated for values.
fn drop_unread(proto: &mut GraphProto) {
    let read: BTreeSet<&str> = proto
        .node
        .iter()
        .flat_map(|n| n.input.iter().map(String::as_str))
        .chain(proto.output.iter().filter_map(|o| o.name.as_deref()))
        .collect();
    let mut gone = BTreeSet::new();
    proto.initializer.retain(|t| {
        let name = t.name.clone().unwrap_or_default();
        let keep = read.contains(name.as_str());
        if !keep {
            gone.insert(name);
        }
        keep
    });
    // Old files repeat their initializers among the graph's inputs.
    proto.input.retain(|v| v.name.as_ref().is_none_or(|name| !gone.contains(name)));
    proto.value_info.clear();
}
