//! Sites: where quantizers sit.
//!
//! An activation site is a *value*: it is quantized once and every consumer reads the quantized
//! tensor. A weight site is a layer's weight operand.

use quantbench_core::Bits;

use crate::graph::Graph;
use crate::layer::Layer;
use crate::walk::origins;

/// What an activation site is, which decides its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// The image at the input of the network.
    Image,
    /// An activation between layers.
    Hidden,
    /// The input of the last FC (and pass-through values before it).
    LastInput,
}

/// A value to be quantized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Name of the value.
    pub value: String,
    /// What it is.
    pub kind: SiteKind,
    /// Width that the spec asks for here.
    pub bits: Bits,
    /// The site whose grid this one takes over, because only pass-through operators (Reshape,
    /// Flatten, Slice, Split, Transpose, MaxPool, zero Pad) lie between: index in
    /// [`Sites::activations`].
    pub shares: Option<usize>,
}

/// A layer whose weights are to be quantized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSite {
    /// Index in the graph's layers.
    pub layer: usize,
    /// Width that the spec asks for here (the first/last rule is applied); for a layer that a
    /// mixed-precision method may choose freely, the uniform width of the spec.
    pub bits: Bits,
    /// Whether a mixed-precision method may choose another width.
    pub free: bool,
    /// Ternary instead of uniform (never for a layer that the first/last rule keeps at 8 bits).
    pub ternary: bool,
}

/// All sites of a spec on a graph, in topological order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sites {
    /// Values; only those with a quantized width.
    pub activations: Vec<Site>,
    /// Layers; only those with a quantized width.
    pub weights: Vec<WeightSite>,
}

impl Sites {
    /// Width at which a layer of `graph` reads its input: that of the site of the value, or of
    /// what the value is a rearranged copy of; FP32 where there is no site.
    pub fn input_bits(&self, graph: &Graph, layer: &Layer) -> Bits {
        let site = |value: &str| self.activations.iter().find(|s| s.value == value);
        origins(graph, &layer.input).find_map(site).map_or(Bits::FP32, |s| s.bits)
    }
}
