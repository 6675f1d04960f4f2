//! What a method found out on its way to an artefact: the measurements behind its decisions.
//!
//! Evidence is part of a row's result, so that a report can show why a layer got its width.

use serde::{Deserialize, Serialize};

/// Measurements that a method recorded; empty for most methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How much each layer suffers from each width, in the order of the layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitivities: Vec<LayerSensitivity>,
    /// The allocations that no other beats in both cost and loss, cheapest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
}

impl Evidence {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one layer loses at each width when it alone is quantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSensitivity {
    /// Name of the layer's node.
    pub layer: String,
    /// What the loss is, in words: for example the mean Kullback-Leibler divergence.
    pub measure: String,
    /// Weight widths, smallest first.
    pub bits: Vec<u8>,
    /// The loss at each of them; smaller is better.
    pub losses: Vec<f64>,
}

/// The Pareto front of an allocation problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Unit of the costs: for example `bits of weights`.
    pub unit: String,
    /// The budget that was asked.
    pub budget: u64,
    /// Cost and total loss of each allocation, cheapest first.
    pub points: Vec<(u64, f64)>,
    /// Which point was taken.
    pub chosen: usize,
}
