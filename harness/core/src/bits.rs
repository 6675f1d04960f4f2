//! Bit-widths and the labels by which tables name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A bit-width: 1 to 8 quantized, or 32 for "left in FP32".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Bits(u8);

impl Bits {
    /// Not quantized.
    pub const FP32: Bits = Bits(32);
    /// Eight bits, the width of first and last layers by default.
    pub const EIGHT: Bits = Bits(8);

    /// A width of 1 to 8 or 32 bits.
    pub fn new(bits: u8) -> Result<Self, BitsError> {
        if (1..=8).contains(&bits) || bits == 32 {
            Ok(Self(bits))
        } else {
            Err(BitsError::Width(bits))
        }
    }

    /// The number of bits, 32 for FP32.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Whether this width asks for quantization at all.
    pub fn is_quantized(self) -> bool {
        self.0 < 32
    }
}

impl TryFrom<u8> for Bits {
    type Error = BitsError;
    fn try_from(value: u8) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl From<Bits> for u8 {
    fn from(value: Bits) -> Self {
        value.0
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Widths of weights and activations, written `w4a4`, `w8a32`, `w2ta8` (ternary) or `w1a1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Widths {
    /// Width of the weights; for a mixed-precision method the mean that the budget stands for.
    pub weights: Bits,
    /// Ternary weights {-a, 0, +a}: two bits of storage, three levels. Written `w2t`, never `w2`.
    pub ternary: bool,
    /// Width of the activations.
    pub activations: Bits,
}

impl Widths {
    /// Uniform (not ternary) widths.
    pub fn new(weights: u8, activations: u8) -> Result<Self, BitsError> {
        Ok(Self {
            weights: Bits::new(weights)?,
            ternary: false,
            activations: Bits::new(activations)?,
        })
    }

    /// Whether nothing at all is quantized.
    pub fn is_fp32(&self) -> bool {
        !self.weights.is_quantized() && !self.activations.is_quantized()
    }
}

/// A width or a widths label that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BitsError {
    /// A number outside the supported widths.
    #[error("{0} bits are not supported; expected 1 to 8, or 32 for FP32")]
    Width(u8),
    /// A label that does not parse.
    #[error(
        "{0:?} is not a pair of widths; expected for example w8a8, w4a32, or w2ta8 for ternary"
    )]
    Label(String),
}

impl FromStr for Widths {
    type Err = BitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BitsError::Label(text.to_string());
        let lower = text.trim().to_ascii_lowercase();
        let (w, a) = lower.strip_prefix('w').and_then(|s| s.split_once('a')).ok_or_else(bad)?;
        let (w, ternary) = match w.strip_suffix('t') {
            Some(w) => (w, true),
            None => (w, false),
        };
        let weights = Bits::new(w.parse().map_err(|_| bad())?)?;
        if ternary && weights.get() != 2 {
            return Err(bad());
        }
        Ok(Self { weights, ternary, activations: Bits::new(a.parse().map_err(|_| bad())?)? })
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = if self.ternary { "t" } else { "" };
        write!(f, "w{}{t}a{}", self.weights, self.activations)
    }
}

impl TryFrom<String> for Widths {
    type Error = BitsError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Widths> for String {
    fn from(value: Widths) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_round_trip() {
        for label in ["w8a8", "w4a32", "w2ta8", "w1a1", "w2ta32", "w32a32"] {
            assert_eq!(label.parse::<Widths>().unwrap().to_string(), label);
        }
    }

    #[test]
    fn bad_labels_are_refused() {
        for label in ["", "w9a8", "8a8", "w4", "w4ta4", "w-1a4", "w4a0", "w400a4"] {
            assert!(label.parse::<Widths>().is_err(), "{label}");
        }
    }
}
