//! One reported number, and what it takes to compare it.

use serde::{Deserialize, Serialize};

/// A width as printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Width {
    /// Bits; 32 is not quantized, ternary weights count as 2 ([`Record::ternary`]).
    Bits(u8),
    /// In words, for mixed precision: `4MP`, `1-4`.
    Words(String),
}

impl Width {
    /// The width, where it is one number.
    pub fn bits(&self) -> Option<u8> {
        match self {
            Self::Bits(bits) => Some(*bits),
            Self::Words(_) => None,
        }
    }
}

impl std::fmt::Display for Width {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bits(bits) => write!(f, "{bits}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// Width of the first and the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// Not quantized.
    #[serde(rename = "fp32")]
    Fp32,
    /// Eight bits.
    #[serde(rename = "8bit")]
    EightBit,
    /// As the other layers.
    #[serde(rename = "same")]
    Same,
    /// The source does not say.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Rule {
    /// As in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::EightBit => "8bit",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether weights were trained on the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Training {
    /// Not at all: the unquantized network.
    None,
    /// Calibrated or reconstructed, weights keep their training.
    Calibrated,
    /// Trained or fine-tuned with quantizers, on real or synthetic images.
    Trained,
}

/// What data the method is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// The network alone; images that the method makes are no data.
    Nothing,
    /// Images without labels.
    Unlabelled,
    /// Images with labels.
    Labelled,
}

impl Data {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "no data",
            Self::Unlabelled => "unlabelled images",
            Self::Labelled => "labelled images",
        }
    }
}

/// Where a number was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The authors' paper or repository.
    Primary,
    /// Another paper's table.
    Secondary,
    /// Somebody else's reproduction.
    Rerun,
    /// Recalled.
    Memory,
}

/// One reported accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Method in kebab-case; ours where we have it.
    pub method: String,
    /// Method as the source prints it.
    pub printed: String,
    /// Architecture.
    pub model: String,
    /// Data set.
    pub dataset: String,
    /// Width of the weights.
    pub weights: Width,
    /// Whether the weights have three levels.
    #[serde(default)]
    pub ternary: bool,
    /// Width of the activations.
    pub activations: Width,
    /// Whether layers have different widths.
    #[serde(default)]
    pub mixed: bool,
    /// First and last layer.
    pub first_last: Rule,
    /// Whether weights were trained.
    pub training: Training,
    /// What data the method is given; none for an unquantized network alone.
    pub data: Option<Data>,
    /// Shortcuts of a CIFAR ResNet, where known: `A` without parameters, `B` with convolutions.
    pub shortcut: Option<String>,
    /// Accuracy of the unquantized network beside it, in percent.
    pub fp32_top1: Option<f64>,
    /// Accuracy in percent.
    pub top1: f64,
    /// Mean bits, for mixed precision.
    pub avg_bits: Option<f64>,
    /// Size in megabytes.
    pub size_mb: Option<f64>,
    /// Bit operations in thousand millions.
    pub bops_g: Option<f64>,
    /// Compression against FP32.
    pub compression: Option<f64>,
    /// Where it was read.
    pub source: String,
    /// What kind of source that is.
    pub source_kind: SourceKind,
    /// What else a reader should know.
    pub note: Option<String>,
    /// Why it is no target; none if it may be one.
    pub no_target: Option<String>,
}

impl Record {
    /// FP32 minus quantized accuracy in points.
    pub fn drop_points(&self) -> Option<f64> {
        self.fp32_top1.map(|fp32| fp32 - self.top1)
    }
}

/// One of our models in the words of the literature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Name of our model.
    pub name: String,
    /// SHA-256 of its file, where it is one file for everybody.
    pub sha256: Option<String>,
    /// Architecture, as records name it.
    pub model: String,
    /// Shortcuts of a CIFAR ResNet.
    pub shortcut: Option<String>,
    /// Where the weights come from.
    pub source: String,
}

/// What the paper of a method spends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Method.
    pub method: String,
    /// Parameter of its card that is the budget.
    pub parameter: String,
    /// The paper's value, the card's default.
    pub value: i64,
}
