//! What is asked of a method: widths, placement of the quantizers, first/last rule, budget.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bits::{Bits, Widths};

/// Where activation quantizers sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SitesRule {
    /// The input of every conv and FC once per tensor, a residual sum once after Add and ReLU.
    Academic,
    /// Also both inputs and the output of every Add and Concat, the pool and the FC output, so
    /// that every conv can run as an integer kernel.
    Deployable,
}

/// Width of the image at the input of the network.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub enum ImageRule {
    /// Not quantized.
    #[serde(rename = "fp32")]
    Fp32,
    /// Eight bits.
    #[default]
    #[serde(rename = "8bit")]
    EightBit,
    /// The width of the activations.
    #[serde(rename = "same")]
    Same,
}

/// Width of the first conv's and last FC's weights and of the last FC's input activation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub enum FirstLast {
    /// Not quantized.
    #[serde(rename = "fp32")]
    Fp32,
    /// Eight bits.
    #[default]
    #[serde(rename = "8bit")]
    EightBit,
    /// Like every other layer.
    #[serde(rename = "same")]
    Same,
}

/// What limits a mixed-precision allocation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Sum of the weight bits of the layers that the spec leaves free.
    #[default]
    Size,
    /// Sum of weight bits x activation bits x MACs of the layers that the spec leaves free.
    BitOperations,
}

/// What is asked: one point of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Widths; for mixed precision the uniform widths whose cost is the budget.
    pub bits: Widths,
    /// Placement of activation quantizers.
    pub sites: SitesRule,
    /// Width of the image.
    pub image: ImageRule,
    /// Width of the first and last layer.
    pub first_last: FirstLast,
}

impl Spec {
    /// The spec that a bare label such as `w8a8` stands for.
    ///
    /// At 8 bits for both the sites are deployable (a deployed column is wanted) and below they
    /// are academic, as the papers do; image and first/last stay at 8 bits.
    pub fn from_widths(bits: Widths) -> Self {
        let eight = bits.weights == Bits::EIGHT && bits.activations == Bits::EIGHT;
        Self {
            bits,
            sites: if eight { SitesRule::Deployable } else { SitesRule::Academic },
            image: ImageRule::default(),
            first_last: FirstLast::default(),
        }
    }

    /// Width of the image: FP32 when activations are not quantized at all.
    pub fn image_bits(&self) -> Bits {
        match (self.image, self.bits.activations.is_quantized()) {
            (_, false) | (ImageRule::Fp32, _) => Bits::FP32,
            (ImageRule::EightBit, _) => Bits::EIGHT,
            (ImageRule::Same, _) => self.bits.activations,
        }
    }

    /// Width of the first and last layer's weights.
    pub fn first_last_weight_bits(&self) -> Bits {
        match self.first_last {
            FirstLast::Fp32 => Bits::FP32,
            FirstLast::EightBit => self.bits.weights.max(Bits::EIGHT),
            FirstLast::Same => self.bits.weights,
        }
    }

    /// Width of the last FC's input.
    pub fn last_activation_bits(&self) -> Bits {
        match self.first_last {
            FirstLast::Fp32 => Bits::FP32,
            FirstLast::EightBit => self.bits.activations.max(Bits::EIGHT),
            FirstLast::Same => self.bits.activations,
        }
    }
}

impl fmt::Display for SitesRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SitesRule::Academic => "academic",
            SitesRule::Deployable => "deployable",
        })
    }
}

impl fmt::Display for ImageRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImageRule::Fp32 => "fp32",
            ImageRule::EightBit => "8bit",
            ImageRule::Same => "same",
        })
    }
}

impl fmt::Display for FirstLast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FirstLast::Fp32 => "fp32",
            FirstLast::EightBit => "8bit",
            FirstLast::Same => "same",
        })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Budget::Size => "size",
            Budget::BitOperations => "bit-operations",
        })
    }
}
