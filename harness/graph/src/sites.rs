//! Where the quantizers of a spec sit on a graph (design, section 5: *academic* and *deployable*).

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::{Bits, FirstLast, LayerRule, RuleError, SitesRule, Spec};
use thiserror::Error;

use crate::graph::Graph;
use crate::layer::Layer;
use crate::onnx::NodeProto;
use crate::site::{Site, SiteKind, Sites, WeightSite};
use crate::walk::{after_relu, copies, data_values, op, origins};

/// A graph on which no quantizer can be placed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SiteError {
    /// Nothing to quantize.
    #[error(
        "{origin}: there is no conv, Gemm or MatMul with constant weights to quantize; fold \
         constants first, or give a model that has such layers"
    )]
    NoLayers {
        /// File or origin of the model.
        origin: String,
    },
    /// A rule for single layers that does not fit the layers of the graph.
    #[error("{origin}: {source}")]
    Rule {
        /// File or origin of the model.
        origin: String,
        /// What does not fit.
        source: RuleError,
    },
    /// A layer that is to stay in FP32 has its weights in common with one that is not.
    #[error(
        "{origin}: layer {excluded:?} is excluded but shares the weights {weight:?} with layer \
         {other:?}; exclude both or none"
    )]
    SharedWeights {
        /// File or origin of the model.
        origin: String,
        /// The excluded layer.
        excluded: String,
        /// The other one.
        other: String,
        /// The initializer.
        weight: String,
    },
    /// The rules for single layers leave nothing to quantize.
    #[error("{origin}: exclude leaves no layer to quantize; name fewer layers")]
    AllExcluded {
        /// File or origin of the model.
        origin: String,
    },
}

/// Operators whose inputs and output the deployable rule quantizes.
const JOINS: &[&str] = &["Add", "Concat"];
const POOLS: &[&str] =
    &["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMean"];

/// The sites of a spec on a folded graph, in topological order.
///
/// *Academic*: the input of every conv and FC, both operands of a MatMul of two activations, and
/// every residual sum once, after its Relu or Clip. *Deployable*: also the output of every layer,
/// inputs and output of every Add, Concat and pool, and the logits (always 8 bits), so that a
/// runtime finds each operator between two quantized values.
///
/// A layer that reads a rearranged copy (Reshape, Slice, MaxPool and so on) of a site needs no
/// quantizer: the academic rule leaves it out; the deployable rule repeats the same grid there
/// ([`Site::shares`]), because runtimes look for integer kernels among neighbours only.
///
/// Everything that is computed before the first layer counts as image; what only feeds the last
/// FC counts as its input.
///
/// An excluded layer asks for no site, nor does a residual sum that only excluded layers read
/// (academic). A layer with widths of its own gets them whatever the other rules say; an input
/// that several layers read has one site, as wide as the widest of them asks.
pub fn sites(graph: &Graph, spec: &Spec) -> Result<Sites, SiteError> {
    let layers = graph.layers();
    if layers.is_empty() {
        return Err(SiteError::NoLayers { origin: graph.origin().to_string() });
    }
    let rules = rules(graph, spec, &layers)?;
    let place = Place::new(graph, spec, &layers, &rules);
    Ok(Sites { activations: place.activations(), weights: weights(spec, &layers, &rules) })
}

/// The rule of each layer, checked against the graph.
fn rules(graph: &Graph, spec: &Spec, layers: &[Layer]) -> Result<Vec<LayerRule>, SiteError> {
    let origin = || graph.origin().to_string();
    let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
    let rules =
        spec.layer_rules(&names).map_err(|source| SiteError::Rule { origin: origin(), source })?;
    if rules.iter().all(|rule| *rule == LayerRule::Excluded) {
        return Err(SiteError::AllExcluded { origin: origin() });
    }
    let is_excluded = |at: usize| rules[at] == LayerRule::Excluded;
    for (at, layer) in layers.iter().enumerate().filter(|(at, _)| is_excluded(*at)) {
        let twin = |&other: &usize| layers[other].weight == layer.weight && !is_excluded(other);
        if let Some(other) = (0..layers.len()).find(twin) {
            let (excluded, other) = (layers[at].name.clone(), layers[other].name.clone());
            let weight = layer.weight.clone();
            return Err(SiteError::SharedWeights { origin: origin(), excluded, other, weight });
        }
    }
    Ok(rules)
}

fn weights(spec: &Spec, layers: &[Layer], rules: &[LayerRule]) -> Vec<WeightSite> {
    let site = |(layer, facts): (usize, &Layer)| {
        match rules[layer] {
            LayerRule::Common => {}
            LayerRule::Excluded => {
                return WeightSite { layer, bits: Bits::FP32, free: false, ternary: false };
            }
            LayerRule::Own(own) => {
                let (bits, ternary) = (own.weights, own.ternary);
                return WeightSite { layer, bits, free: false, ternary };
            }
        }
        let kept = (facts.is_first || facts.is_last) && spec.first_last != FirstLast::Same;
        let bits = if kept { spec.first_last_weight_bits() } else { spec.bits.weights };
        WeightSite { layer, bits, free: !kept, ternary: spec.bits.ternary && !kept }
    };
    layers.iter().enumerate().map(site).filter(|s| s.bits.is_quantized()).collect()
}

/// What deciding about a value needs to know of the graph.
struct Place<'g> {
    graph: &'g Graph,
    spec: &'g Spec,
    layers: &'g [Layer],
    rules: &'g [LayerRule],
    data: BTreeSet<&'g str>,
    /// Values that depend on the output of a layer.
    deep: BTreeSet<&'g str>,
    last_input: Option<&'g str>,
}

impl<'g> Place<'g> {
    fn new(graph: &'g Graph, spec: &'g Spec, layers: &'g [Layer], rules: &'g [LayerRule]) -> Self {
        let made: BTreeSet<&str> = layers.iter().map(|l| l.output.as_str()).collect();
        let at: BTreeSet<usize> = layers.iter().map(|l| l.node).collect();
        let mut deep = BTreeSet::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            let layer = at.contains(&index) || node.output.iter().any(|o| made.contains(&**o));
            if layer || node.input.iter().any(|i| deep.contains(i.as_str())) {
                deep.extend(node.output.iter().map(String::as_str));
            }
        }
        let last_input = layers.iter().find(|l| l.is_last).map(|l| l.input.as_str());
        Self { graph, spec, layers, rules, data: data_values(graph), deep, last_input }
    }

    fn activations(&self) -> Vec<Site> {
        let deployable = self.spec.sites == SitesRule::Deployable;
        let mut wanted = self.academic();
        if deployable {
            wanted.extend(self.deployable());
        }
        wanted.retain(|v| self.data.contains(v));
        let mut found: Vec<Site> = Vec::new();
        let mut index: BTreeMap<&str, usize> = BTreeMap::new();
        for value in self.in_order(&wanted) {
            let source = origins(self.graph, value).skip(1).find_map(|v| index.get(v).copied());
            let site = if let Some(source) = source {
                let root = found[source].shares.unwrap_or(source);
                let (kind, bits) = (found[root].kind, found[root].bits);
                Site { value: value.to_string(), kind, bits, shares: Some(root) }
            } else {
                let kind = self.kind(value);
                let bits = self.own_bits(value, self.bits(value, kind));
                Site { value: value.to_string(), kind, bits, shares: None }
            };
            if site.bits.is_quantized() && (deployable || site.shares.is_none()) {
                index.insert(value, found.len());
                found.push(site);
            }
        }
        found
    }

    fn academic(&self) -> BTreeSet<&'g str> {
        let mut wanted: BTreeSet<&str> = self.quantized().map(|l| l.input.as_str()).collect();
        for node in self.graph.nodes() {
            match op(node) {
                "MatMul" if self.joins_activations(node) => {
                    wanted.extend(node.input.iter().map(String::as_str));
                }
                "Relu" | "Clip" if self.reads_a_sum(node) => {
                    let sum = node.output.first().map(String::as_str);
                    wanted.extend(sum.filter(|value| !self.only_excluded_read(value)));
                }
                _ => {}
            }
        }
        wanted
    }

    fn deployable(&self) -> BTreeSet<&'g str> {
        let mut wanted = BTreeSet::new();
        for layer in self.quantized() {
            let kept = layer.is_last && !self.spec.first_last_weight_bits().is_quantized();
            if !kept {
                wanted.insert(after_relu(self.graph, &layer.output));
            }
        }
        for node in self.graph.nodes() {
            let joins =
                (JOINS.contains(&op(node)) || op(node) == "MatMul") && self.joins_activations(node);
            if joins || POOLS.contains(&op(node)) {
                let operands = if joins { node.input.len() } else { 1 };
                wanted.extend(node.input.iter().take(operands).map(String::as_str));
                wanted.extend(node.output.first().map(|o| after_relu(self.graph, o)));
            }
        }
        wanted
    }

    /// The layers that are not excluded.
    fn quantized(&self) -> impl Iterator<Item = &'g Layer> {
        let all = self.layers.iter().zip(self.rules);
        all.filter(|(_, rule)| **rule != LayerRule::Excluded).map(|(layer, _)| layer)
    }

    /// The rules of the layers that read a value or a copy of it.
    fn readers(&self, value: &str) -> impl Iterator<Item = LayerRule> {
        let all = self.layers.iter().zip(self.rules);
        all.filter(move |(layer, _)| origins(self.graph, &layer.input).any(|v| v == value))
            .map(|(_, rule)| *rule)
    }

    /// Whether layers read a value, and all of them are excluded.
    fn only_excluded_read(&self, value: &str) -> bool {
        let mut readers = self.readers(value).peekable();
        readers.peek().is_some() && readers.all(|rule| rule == LayerRule::Excluded)
    }

    /// The width of a value where layers with widths of their own read it: the widest that a
    /// reader asks, `common` standing for the readers without a rule.
    fn own_bits(&self, value: &str, common: Bits) -> Bits {
        let rules: Vec<LayerRule> = self.readers(value).collect();
        if !rules.iter().any(|rule| matches!(rule, LayerRule::Own(_))) {
            return common;
        }
        let asked = rules.iter().filter_map(|rule| match rule {
            LayerRule::Common => Some(common),
            LayerRule::Excluded => None,
            LayerRule::Own(own) => Some(own.activations),
        });
        asked.max().unwrap_or(common)
    }

    /// Whether every operand of a node is computed from the image.
    fn joins_activations(&self, node: &NodeProto) -> bool {
        node.input.iter().all(|i| self.data.contains(i.as_str()))
    }

    /// Whether a node reads the output of an Add of two activations.
    fn reads_a_sum(&self, node: &NodeProto) -> bool {
        let source = node.input.first().and_then(|i| self.graph.producer(i));
        source
            .map(|i| &self.graph.nodes()[i])
            .is_some_and(|source| op(source) == "Add" && self.joins_activations(source))
    }

    /// The wanted values in the order in which they are computed.
    fn in_order(&self, wanted: &BTreeSet<&'g str>) -> Vec<&'g str> {
        let input = self.graph.input();
        let made = self.graph.nodes().iter().flat_map(|n| n.output.iter().map(String::as_str));
        std::iter::once(input).chain(made).filter(|v| wanted.contains(v)).collect()
    }

    fn kind(&self, value: &str) -> SiteKind {
        if !self.deep.contains(value) {
            SiteKind::Image
        } else if self.feeds_only_the_last(value) {
            SiteKind::LastInput
        } else {
            SiteKind::Hidden
        }
    }

    /// Whether a value is the last FC's input, or only copies of it are read and only there.
    fn feeds_only_the_last(&self, value: &str) -> bool {
        if self.last_input == Some(value) {
            return true;
        }
        let readers = self.graph.consumers(value);
        !readers.is_empty()
            && readers.iter().all(|&reader| {
                let node = &self.graph.nodes()[reader];
                // A Shape of the value reads no values.
                if !node.output.iter().any(|o| self.data.contains(o.as_str())) {
                    return true;
                }
                let copies = copies(self.graph, node);
                let copied = !copies.is_empty() && node.input.first().is_some_and(|i| i == value);
                let mut read = copies.iter().filter(|c| self.is_read(c));
                copied && read.all(|c| self.feeds_only_the_last(c))
            })
    }

    /// Whether a node or the caller of the network reads a value.
    fn is_read(&self, value: &str) -> bool {
        self.graph.is_output(value) || !self.graph.consumers(value).is_empty()
    }

    fn bits(&self, value: &str, kind: SiteKind) -> Bits {
        let a = self.spec.bits.activations;
        match kind {
            SiteKind::Image => self.spec.image_bits(),
            SiteKind::LastInput => self.spec.last_activation_bits(),
            SiteKind::Hidden if value == self.graph.output() && a.is_quantized() => Bits::EIGHT,
            SiteKind::Hidden => a,
        }
    }
}
