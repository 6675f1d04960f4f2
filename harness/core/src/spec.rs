//! What is asked of a method: widths, placement of the quantizers, first/last rule, budget.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bits::{Bits, Widths};
use crate::hash::id_of;

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
///
/// The rules for single layers are part of its JSON, and so of every id, only where there are
/// some; `crate::rules` matches them with the layers of a graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Layers that stay in FP32: names of nodes, or patterns of them (`*`, `?`, `[...]`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
    /// Layers with widths of their own, of their weights and their input: no other rule reaches
    /// them. Names or patterns as above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layer_bits: BTreeMap<String, Widths>,
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
            exclude: BTreeSet::new(),
            layer_bits: BTreeMap::new(),
        }
    }

    /// Whether single layers have rules of their own.
    pub fn has_layer_rules(&self) -> bool {
        !self.exclude.is_empty() || !self.layer_bits.is_empty()
    }

    /// All widths that are asked of some layer: the common ones first.
    pub fn widths(&self) -> impl Iterator<Item = Widths> {
        std::iter::once(self.bits).chain(self.layer_bits.values().copied())
    }

    /// The excluded layers for a label, `none` without any.
    pub fn exclude_label(&self) -> String {
        short(&self.exclude.iter().cloned().collect::<Vec<_>>())
    }

    /// The layers with widths of their own for a label, `none` without any.
    pub fn layer_bits_label(&self) -> String {
        let own = self.layer_bits.iter().map(|(layer, bits)| format!("{layer}:{bits}"));
        short(&own.collect::<Vec<_>>())
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

/// A few short texts joined; many or long ones as their number and the start of their hash, so
/// that different lists have different labels.
fn short(parts: &[String]) -> String {
    let text = parts.join("+");
    match parts.len() {
        0 => "none".to_string(),
        _ if text.len() <= 32 => text,
        n => format!("{n} layers {:.6}", id_of(&parts)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_single_layers_are_in_the_json_only_where_there_are_some() {
        let mut spec = Spec::from_widths("w4a4".parse().unwrap());
        let plain = r#"{"bits":"w4a4","sites":"academic","image":"8bit","first_last":"8bit"}"#;
        assert_eq!(serde_json::to_string(&spec).unwrap(), plain);
        assert_eq!(serde_json::from_str::<Spec>(plain).unwrap(), spec);
        assert_eq!((spec.exclude_label().as_str(), spec.has_layer_rules()), ("none", false));
        spec.exclude = ["b", "a", "a"].map(String::from).into();
        spec.layer_bits.insert("c".into(), "w8a32".parse().unwrap());
        let json = serde_json::to_string(&spec).unwrap();
        assert!(json.ends_with(r#","exclude":["a","b"],"layer_bits":{"c":"w8a32"}}"#), "{json}");
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
        assert_eq!(spec.exclude_label(), "a+b");
        assert_eq!(spec.layer_bits_label(), "c:w8a32");
    }

    #[test]
    fn long_labels_stay_short_and_distinct() {
        let label = |names: &[&str]| {
            let exclude = names.iter().map(ToString::to_string).collect();
            Spec { exclude, ..Spec::from_widths("w4a4".parse().unwrap()) }.exclude_label()
        };
        let (one, other) = (
            ["/layer1/0/conv1/Conv", "/layer1/0/conv2/Conv"],
            ["/layer1/0/conv1/Conv", "/fc/Gemm_long_name"],
        );
        assert!(label(&one).starts_with("2 layers ") && label(&one).len() == 15, "{}", label(&one));
        assert_ne!(label(&one), label(&other));
    }
}
