//! What a method that reconstructs chooses.

use crate::parts::ranges::WeightStyle;

/// Which part of the network is reconstructed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A layer with the activation function behind it.
    Layer,
    /// What lies between two places through which a single value passes: a residual block, or a
    /// layer outside of blocks.
    Block,
}

/// How steps of activations are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Steps {
    /// They stay as they were calibrated.
    Fixed,
    /// After all weights, block by block, with that many iterations; activations are in float
    /// before.
    Afterwards {
        /// Iterations per block.
        iterations: usize,
        /// Learning rate of Adam at the start; it falls along a cosine.
        rate: f64,
    },
    /// Together with the rounding of weights.
    Together {
        /// Learning rate of Adam at the start; it falls along a cosine.
        rate: f64,
    },
}

/// The settings of the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Name of the method, for errors.
    pub(crate) method: &'static str,
    /// What is reconstructed at once.
    pub(crate) reach: Reach,
    /// Iterations per part.
    pub(crate) iterations: usize,
    /// Images per iteration.
    pub(crate) batch: usize,
    /// Learning rate of Adam for the rounding variables.
    pub(crate) rate: f64,
    /// Weight of the regulariser that drives them to 0 or 1.
    pub(crate) lambda: f64,
    /// Share of the iterations without the regulariser.
    pub(crate) warm_up: f64,
    /// Its exponent at the start and at the end.
    pub(crate) beta: (f64, f64),
    /// What becomes of the steps of activations.
    pub(crate) steps: Steps,
    /// Probability with which a number of an activation, or of the input of a part, is that of the
    /// network in float while learning.
    pub(crate) drop: f32,
    /// Grids of weights.
    pub(crate) style: WeightStyle,
}
