//! Layers: the nodes that hold weights and do the work.

use serde::{Deserialize, Serialize};

/// Kind of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Convolution, grouped and depthwise included.
    Conv,
    /// Gemm, or MatMul with a constant second operand.
    Fc,
}

/// A conv or FC with constant weights, in the order of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Name of the node; made up from its output if it has none.
    pub name: String,
    /// Index of the node in [`crate::Graph::nodes`].
    pub node: usize,
    /// Kind.
    pub kind: LayerKind,
    /// Initializer with the weights.
    pub weight: String,
    /// Dimensions of the weights: conv `[O, I/groups, kH, kW]`; Gemm and MatMul as stored.
    pub dims: Vec<usize>,
    /// Axis of the output channels in `dims`: 0 for conv and Gemm with `transB`, else 1.
    pub axis: usize,
    /// Initializer with the bias, if there is one.
    pub bias: Option<String>,
    /// Value that the layer reads.
    pub input: String,
    /// Value that the layer produces.
    pub output: String,
    /// Groups; 1 for FC.
    pub groups: usize,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// First conv (or first layer) of the graph.
    pub is_first: bool,
    /// Last FC (or last layer) of the graph.
    pub is_last: bool,
}

impl Layer {
    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.dims.iter().product::<usize>() as u64
    }

    /// Number of output channels.
    pub fn channels(&self) -> usize {
        self.dims[self.axis]
    }
}
