//! Networks of which only some layers are quantized.

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::QuantTensor;
use quantbench_graph::{Artefact, Graph, GraphError, Layer};

use super::decibels;

/// A quantized network and the float network that it is compared with, taken apart by layer.
///
/// That is the FP32 model, and for a method that changes float weights beyond rounding them (as
/// scales that move from one layer to the next) the float graph of its artefact.
pub(super) struct Parts<'a> {
    artefact: &'a Artefact,
    /// The float network.
    pub(super) float: Graph,
    /// Its layers.
    pub(super) layers: Vec<Layer>,
    changed: bool,
}

impl<'a> Parts<'a> {
    pub(super) fn new(folded: &Graph, artefact: &'a Artefact) -> Self {
        let changed = artefact.graph.layers().iter().any(|layer| {
            let (now, before) =
                (artefact.graph.weight(&layer.weight), folded.weight(&layer.weight));
            let (Ok(now), Ok(before)) = (now, before) else { return true };
            let rounded = |q: &QuantTensor| q.dequantize().data == now.data;
            now.data != before.data && !artefact.weights.get(&layer.weight).is_some_and(rounded)
        });
        let float = if changed { artefact.graph.clone() } else { folded.clone() };
        let layers = float.layers();
        Self { artefact, float, layers, changed }
    }

    /// What is compared, if it is not the FP32 model.
    pub(super) fn note(&self) -> Option<String> {
        self.changed.then(|| {
            "the method changed float weights: single layers are compared with its own float \
             network, not with the FP32 model"
                .to_string()
        })
    }

    /// The float network.
    pub(super) fn float(&self) -> Artefact {
        Artefact::new(self.float.clone(), BTreeMap::new(), BTreeMap::new(), Vec::new())
    }

    /// The network with one layer quantized: its weights, its input, and the bias that the method
    /// gave it.
    pub(super) fn alone(&self, layer: &Layer) -> Result<Artefact, GraphError> {
        let mut graph = self.float.clone();
        Self::take_bias(&mut graph, &self.artefact.graph, layer)?;
        let weight = self.artefact.weights.get_key_value(&layer.weight);
        let weights = weight.into_iter().map(|(name, q)| (name.clone(), q.clone())).collect();
        let input = self.artefact.read_grid(&layer.input).into_iter();
        let activations = input.map(|(value, grid)| (value.to_string(), grid.clone())).collect();
        Ok(Artefact::new(graph, weights, activations, Vec::new()))
    }

    /// The artefact without what it quantizes in some layers; of its grids those stay that
    /// `sites` names.
    pub(super) fn without(
        &self,
        excluded: &[&str],
        sites: &BTreeSet<String>,
    ) -> Result<Artefact, GraphError> {
        let mut less = self.artefact.clone();
        let is_excluded = |l: &&Layer| excluded.contains(&l.name.as_str());
        for layer in self.layers.iter().filter(is_excluded) {
            less.weights.remove(&layer.weight);
            less.graph.set_weight(&layer.weight, &self.float.weight(&layer.weight)?)?;
            Self::take_bias(&mut less.graph, &self.float, layer)?;
        }
        less.activations.retain(|value, _| sites.contains(value));
        Ok(less)
    }

    /// Copies a layer's bias from one graph into another, where it differs.
    fn take_bias(into: &mut Graph, from: &Graph, layer: &Layer) -> Result<(), GraphError> {
        let own = |graph: &Graph| graph.layers().into_iter().find(|l| l.name == layer.name);
        let (Some(there), Some(here)) = (own(from), own(into)) else { return Ok(()) };
        match from.bias(&there)? {
            Some(bias) if into.bias(&here)?.as_ref() != Some(&bias) => {
                into.set_bias(&here, &bias.data)
            }
            _ => Ok(()),
        }
    }

    /// Signal-to-noise ratio of a layer's weights in dB; none if they are not quantized.
    pub(super) fn weight_sqnr_db(&self, layer: &Layer) -> Result<Option<f64>, GraphError> {
        let Some(q) = self.artefact.weights.get(&layer.weight) else { return Ok(None) };
        let float = self.float.weight(&layer.weight)?;
        let (mut signal, mut error) = (0.0, 0.0);
        for (a, b) in float.data.iter().zip(&q.dequantize().data) {
            signal += f64::from(*a).powi(2);
            error += (f64::from(*a) - f64::from(*b)).powi(2);
        }
        Ok(Some(decibels(signal, error)))
    }
}
