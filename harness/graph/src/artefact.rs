//! What a method gives back: a graph, grids and integers.

use std::collections::BTreeMap;

use quantbench_core::{Grid, QuantTensor};

use crate::graph::Graph;

/// Graph + grids + integers. The graph may differ from the FP32 model (folded batch norm,
/// corrected biases, removed layers).
#[derive(Debug, Clone, PartialEq)]
pub struct Artefact {
    /// The float graph that the quantizers sit on, batch norm folded.
    pub graph: Graph,
    /// Quantized weights by initializer name; they replace the float values of the graph.
    pub weights: BTreeMap<String, QuantTensor>,
    /// Grid of each quantized value.
    pub activations: BTreeMap<String, Grid>,
    /// What the method has to say: guards that acted, channels that were all zero.
    pub notes: Vec<String>,
}
