//! What has been learned so far.

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::Network;

use super::quantizers::Activations;

/// The quantized network as far as it is known.
pub(super) struct State {
    /// Weights by initializer.
    pub(super) weights: BTreeMap<String, QuantTensor>,
    /// Biases that were learned.
    pub(super) biases: BTreeMap<String, Tensor>,
    /// Grids of activations.
    pub(super) activations: Activations,
    /// Initializers and grids of activations that were learned by one of those that share them,
    /// where once is enough.
    pub(super) learned: BTreeSet<String>,
    /// How often a step was kept from vanishing.
    pub(super) guarded: usize,
    /// What there is to say about it.
    pub(super) notes: Vec<String>,
}

impl State {
    /// The parameters of a part: of the quantized network or of that in float.
    pub(super) fn parameters(
        &self,
        network: &Network,
        quantized: bool,
    ) -> BTreeMap<String, Tensor> {
        let known = |name: &String| {
            let bias = self.biases.get(name).cloned();
            bias.or_else(|| self.weights.get(name).map(QuantTensor::dequantize))
        };
        let all = network.parameters().iter();
        all.map(|(name, float)| {
            let known = if quantized { known(name) } else { None };
            (name.clone(), known.unwrap_or_else(|| float.clone()))
        })
        .collect()
    }

    /// What there is to say, with one sentence about all guards that acted.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.guarded > 0 {
            notes.push(format!("steps of grids were kept from vanishing {} times", self.guarded));
        }
        notes
    }
}
