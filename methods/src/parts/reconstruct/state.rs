//! What has been learned so far.

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::Network;

use super::quantizers::Activations;

/// The quantized network as far as it is known.
pub(super) struct State {
    /// Weights by initializer.
    pub(super) weights: BTreeMap<String, QuantTensor>,
    /// Grids of activations.
    pub(super) activations: Activations,
    /// Initializers that were learned: one that several layers share is learned once.
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
        let known = |name: &String| self.weights.get(name).filter(|_| quantized);
        let all = network.parameters().iter();
        all.map(|(name, float)| {
            let tensor = known(name).map_or_else(|| float.clone(), QuantTensor::dequantize);
            (name.clone(), tensor)
        })
        .collect()
    }

    /// All notes, with one about all guards that acted.
    pub(super) fn into_notes(
        mut self,
    ) -> (BTreeMap<String, QuantTensor>, Activations, Vec<String>) {
        if self.guarded > 0 {
            let note = format!("steps of grids were kept from vanishing {} times", self.guarded);
            self.notes.push(note);
        }
        (self.weights, self.activations, self.notes)
    }
}
