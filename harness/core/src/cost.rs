//! What a method may ask about a target: the cost of a layer at given widths, and no more.

use crate::bits::Bits;

/// Cost of one layer on a target.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerCost {
    /// Time in seconds per image.
    pub seconds: f64,
    /// Energy in joules per image; zero where the target states none.
    pub joules: f64,
}

/// A target's cost, handed to the methods whose card asks for one (HAQ, HAWQ-V3).
///
/// Methods never see a profile's name or its constants.
pub trait CostModel: Send + Sync {
    /// Cost of layer `layer` (its index in the graph's layers) at the given widths; infinite where
    /// the target cannot run the layer at these widths.
    fn layer(&self, layer: usize, weights: Bits, activations: Bits) -> LayerCost;
}
