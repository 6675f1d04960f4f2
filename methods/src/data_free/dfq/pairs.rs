//! Layers that really follow each other: what the first gives is read by the second alone, with
//! nothing between but operators that a positive factor per channel passes through.

use std::collections::BTreeMap;

use quantbench_graph::{Graph, Layer, LayerKind};

use crate::contract::MethodError;
use crate::parts::bias::can_hold_bias;

/// Two layers between which channels can be rescaled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    /// Position of the layer that gives the channels.
    pub first: usize,
    /// Position of the layer that reads them.
    pub second: usize,
    /// Node and upper end of the Clip at `[0, end]` in between.
    pub clip: Option<(usize, f64)>,
    /// Whether a shift of a channel passes through as well, where its values are above zero: after
    /// a ReLU, and not after a leaky one.
    pub rectified: bool,
    /// Channels.
    pub channels: usize,
}

/// All pairs in the order of the graph.
pub(super) fn find(graph: &Graph, layers: &[Layer]) -> Vec<Pair> {
    let at: BTreeMap<usize, usize> = layers.iter().enumerate().map(|(i, l)| (l.node, i)).collect();
    let pairs = layers.iter().enumerate().filter(|(_, l)| can_hold_bias(graph, l));
    pairs.filter_map(|(i, layer)| follow(graph, layers, &at, i, layer)).collect()
}

fn follow(
    graph: &Graph,
    layers: &[Layer],
    at: &BTreeMap<usize, usize>,
    first: usize,
    layer: &Layer,
) -> Option<Pair> {
    let channels = layer.channels();
    let mut pair = Pair { first, second: first, clip: None, rectified: false, channels };
    let (mut value, mut leaky) = (layer.output.as_str(), false);
    loop {
        let [reader] = graph.consumers(value)[..] else { return None };
        let node = &graph.nodes()[reader];
        if graph.proto().output.iter().any(|o| o.name.as_deref() == Some(value))
            || node.input.iter().filter(|i| *i == value).count() != 1
            || node.input.first().is_none_or(|i| i != value)
        {
            return None;
        }
        if let Some(&second) = at.get(&reader) {
            let next = &layers[second];
            let own = |l: &Layer| uses(graph, &l.weight) == 1;
            let fits = inputs(next) == channels && own(layer) && own(next);
            pair.second = second;
            pair.rectified &= !leaky;
            return fits.then_some(pair);
        }
        let output = node.output.first()?;
        match node.op_type.as_deref()? {
            "Relu" => pair.rectified = true,
            "LeakyRelu" => leaky = true,
            "Clip" if pair.clip.is_none() => match graph.clip_ends(reader)? {
                (Some(0.0), Some(end)) if end > 0.0 => {
                    pair.clip = Some((reader, f64::from(end)));
                    pair.rectified = true;
                }
                _ => return None,
            },
            "MaxPool" if node.output.len() == 1 => {}
            "Identity" | "GlobalAveragePool" | "GlobalMaxPool" => {}
            "Flatten" | "Reshape" | "Squeeze" if graph.item_elements(output) == channels => {}
            _ => return None,
        }
        if graph.item_dims(output).first() != Some(&channels) {
            return None;
        }
        value = output;
    }
}

/// Input channels of a layer.
fn inputs(layer: &Layer) -> usize {
    match layer.kind {
        LayerKind::Conv => layer.dims[1] * layer.groups,
        LayerKind::Fc => layer.dims[1 - layer.axis],
    }
}

fn uses(graph: &Graph, value: &str) -> usize {
    graph.nodes().iter().flat_map(|n| &n.input).filter(|i| *i == value).count()
}

/// Makes every Clip at `[0, end]` a Relu.
pub(super) fn replace_caps(graph: &mut Graph, notes: &mut Vec<String>) -> Result<(), MethodError> {
    let mut replaced = 0;
    for node in 0..graph.nodes().len() {
        if let Some((Some(0.0), Some(end))) = graph.clip_ends(node)
            && end > 0.0
        {
            graph.clip_to_relu(node)?;
            replaced += 1;
        }
    }
    if replaced > 0 {
        notes.push(format!(
            "{replaced} Relu6 replaced by Relu: the FP32 network is another one now (relu6: carry \
             keeps it)"
        ));
    }
    Ok(())
}

/// Upper ends per channel of the Clips between pairs, by node.
pub(super) struct Caps(BTreeMap<usize, (f64, Vec<f64>)>);

impl Caps {
    /// As the network has them.
    pub fn of(pairs: &[Pair]) -> Self {
        let one = |p: &Pair| p.clip.map(|(node, end)| (node, (end, vec![end; p.channels])));
        Self(pairs.iter().filter_map(one).collect())
    }

    /// The caps between a pair, if it has some.
    pub fn between(&mut self, pair: &Pair) -> Option<&mut Vec<f64>> {
        self.0.get_mut(&pair.clip?.0).map(|(_, caps)| caps)
    }

    /// Writes them into the graph where a channel's differs from before. Positions of layers stay,
    /// indices of nodes do not.
    pub fn write(self, graph: &mut Graph, notes: &mut Vec<String>) -> Result<(), MethodError> {
        let changed = self.0.into_iter().filter(|(_, (end, caps))| caps.iter().any(|c| c != end));
        let changed: Vec<_> = changed.collect();
        if !changed.is_empty() {
            notes.push(format!(
                "{} Relu6 became a cap per channel (Min behind Relu), which runtimes may not fuse \
                 into integer kernels",
                changed.len()
            ));
        }
        // From the last on: each rewriting moves the nodes behind it.
        for (node, (_, caps)) in changed.into_iter().rev() {
            let caps: Vec<f32> = caps.iter().map(|&c| c as f32).collect();
            graph.clip_to_caps(node, &caps)?;
        }
        Ok(())
    }
}
