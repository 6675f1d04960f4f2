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
    /// Together with the first layer that reads the activation.
    Reader {
        /// Learning rate of Adam for the width of the range; it stays.
        rate: f64,
    },
}

/// What is learned of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Teach {
    /// Which way each weight is rounded.
    Rounding(Rounds),
    /// Weights, biases and the steps of grids; the gradient passes roundings as if they were not
    /// there.
    Straight {
        /// Learning rate of Adam for weights.
        rate: f64,
        /// Learning rate of Adam for biases.
        bias_rate: f64,
        /// Learning rate of Adam for the width of an output channel's range.
        range_rate: f64,
    },
}

/// How roundings are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rounds {
    /// Learning rate of Adam for the rounding variables.
    pub(crate) rate: f64,
    /// Weight of the regulariser that drives them to 0 or 1.
    pub(crate) lambda: f64,
    /// Share of the iterations without the regulariser.
    pub(crate) warm_up: f64,
    /// Its exponent at the start and at the end.
    pub(crate) beta: (f64, f64),
}

/// A loss for what becomes of the network's output: the divergence of the FP32 network's from that
/// of the network quantized up to and with a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// What the divergence is multiplied with.
    pub(crate) weight: f64,
    /// Temperature of both outputs.
    pub(crate) temperature: f64,
}

/// The FP32 network's activations are moved towards the moments that batch norms know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Correction {
    /// Iterations per batch of images.
    pub(crate) iterations: usize,
    /// Learning rate of Adam at the start.
    pub(crate) rate: f64,
    /// What the squared distance from the activations as they were is divided by.
    pub(crate) freedom: f64,
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
    /// What is learned of weights.
    pub(crate) teach: Teach,
    /// What becomes of the steps of activations.
    pub(crate) steps: Steps,
    /// Probability with which a number of an activation, or of the input of a part, is that of the
    /// network in float while learning.
    pub(crate) drop: f32,
    /// Whether the network's output counts too; for blocks.
    pub(crate) difference: Option<Difference>,
    /// Whether activations are corrected; for blocks.
    pub(crate) correction: Option<Correction>,
    /// Grids of weights.
    pub(crate) style: WeightStyle,
}
