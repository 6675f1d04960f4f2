//! Parts of a network that are reconstructed at once.

use std::ops::Range;

use quantbench_engine::autodiff::Network;
use quantbench_graph::Graph;
use quantbench_graph::ops::node_name;

use crate::contract::{Job, MethodError};

/// Functions that belong to the layer before them.
const ACTIVATIONS: &[&str] = &["Clip", "HardSwish", "LeakyRelu", "Relu", "Sigmoid"];

/// A part with one input and one output.
pub(crate) struct Piece {
    /// Its nodes in the graph.
    pub(crate) nodes: Range<usize>,
    /// The value that it reads.
    pub(crate) input: String,
    /// The value that it gives.
    pub(crate) output: String,
    /// The part, ready to run.
    pub(crate) network: Network,
}

impl Piece {
    fn new(
        graph: &Graph,
        nodes: Range<usize>,
        input: &str,
        output: &str,
        named: &[&str],
    ) -> Result<Self, MethodError> {
        let part = graph.segment(nodes.clone(), &[output.to_string()])?;
        let network = Network::new(&part, named)?;
        Ok(Self { nodes, input: input.to_string(), output: output.to_string(), network })
    }
}

/// The graph cut wherever a single value passes, in order; each piece has a layer.
///
/// What has no layer of its own goes with the piece before it if it is an activation function,
/// else with the piece after it.
pub(crate) fn blocks(job: &Job<'_>) -> Result<Vec<Piece>, MethodError> {
    let (graph, layers) = (job.graph, job.layers);
    let named = named(job);
    let count = graph.nodes().len();
    let mut cuts = vec![(0, graph.input().to_string())];
    for at in 1..count {
        if let Some([value]) = graph.cut(at).as_deref() {
            cuts.push((at, value.clone()));
        }
    }
    cuts.push((count, graph.output().to_string()));
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    for pair in cuts.windows(2) {
        let nodes = pair[0].0..pair[1].0;
        let has_layer = layers.iter().any(|l| nodes.contains(&l.node));
        let op = |i: usize| graph.nodes()[i].op_type.as_deref().unwrap_or("");
        let is_activation = nodes.clone().all(|i| ACTIVATIONS.contains(&op(i)));
        match ranges.last_mut() {
            Some(last) if is_activation && last.end == nodes.start => {
                last.end = nodes.end;
                from = nodes.end;
            }
            _ if has_layer => {
                ranges.push(from..nodes.end);
                from = nodes.end;
            }
            _ => {}
        }
    }
    // What follows the last layer.
    if let Some(last) = ranges.last_mut() {
        last.end = count;
    }
    let value = |at: usize| {
        let found = cuts.iter().find(|c| c.0 == at);
        found.map_or(graph.output(), |c| c.1.as_str())
    };
    let piece = |r: Range<usize>| {
        let (input, output) = (value(r.start), value(r.end));
        Piece::new(graph, r, input, output, &named)
    };
    ranges.into_iter().map(piece).collect()
}

/// Values that have to be computed as they stand in the graph: those with quantizers, and those
/// that layers read and give.
fn named<'a>(job: &Job<'a>) -> Vec<&'a str> {
    let sites = job.sites.activations.iter().map(|s| s.value.as_str());
    let layers = job.layers.iter().flat_map(|l| [l.input.as_str(), l.output.as_str()]);
    sites.chain(layers).collect()
}

/// A layer as a part of its own.
pub(super) struct Alone<'a> {
    pub(super) piece: Piece,
    /// Whether only a rectified linear unit reads it.
    pub(super) rectified: bool,
    /// Initializer of its bias.
    pub(super) bias: Option<&'a str>,
}

/// The layers of a piece.
pub(super) fn layers_of<'a>(
    job: &Job<'a>,
    piece: &Piece,
    method: &'static str,
) -> Result<Vec<Alone<'a>>, MethodError> {
    let graph = job.graph;
    let mut found = Vec::new();
    for layer in job.layers.iter().filter(|l| piece.nodes.contains(&l.node)) {
        let part = Piece::new(graph, layer.node..layer.node + 1, &layer.input, &layer.output, &[])?;
        let readers = graph.consumers(&layer.output);
        let rectified = match readers.as_slice() {
            [reader] => graph.nodes()[*reader].op_type.as_deref() == Some("Relu"),
            _ => false,
        };
        found.push(Alone { piece: part, rectified, bias: layer.bias.as_deref() });
    }
    if found.is_empty() {
        let node = graph.nodes().get(piece.nodes.start).map_or("", node_name);
        let reason = format!("the part from node {node:?} on has no layer");
        return Err(MethodError::Unfit { method, reason });
    }
    Ok(found)
}
