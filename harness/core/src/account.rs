//! Sizes of an artefact, in words that papers and deployments use differently.

use serde::{Deserialize, Serialize};

/// Sizes of an artefact in bits and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Parameters at their bits + 32 per scale + bits of zero points + 32 per bias.
    pub theoretical_bits: u64,
    /// Weights alone at their bits: what papers divide to print a compression ratio.
    pub weight_bits: u64,
    /// The same weights at 32 bits.
    pub weight_bits_fp32: u64,
    /// As our packed file stores it.
    pub packed_bytes: u64,
    /// The exported ONNX file.
    pub file_bytes: u64,
    /// The FP32 ONNX file that the method was given.
    pub fp32_file_bytes: u64,
}

impl Sizes {
    /// FP32 weight bits over weight bits: the ratio that papers print, weights only.
    pub fn compression_weights_only(&self) -> f64 {
        self.weight_bits_fp32 as f64 / (self.weight_bits as f64).max(1.0)
    }
}
