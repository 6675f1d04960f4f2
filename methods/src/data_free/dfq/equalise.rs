//! Cross-layer equalisation (Nagel et al. 2019, section 4.1): `W1 / s`, `W2 * s` with
//! `s = sqrt(r1 r2) / r2` per channel, where `r` are the largest magnitudes on both sides.

use std::collections::BTreeMap;

use quantbench_graph::{Graph, Layer, NormStats};

use super::channels_of;
use super::pairs::{Caps, Pair};
use crate::contract::MethodError;
use crate::parts::bias::bias_of;

/// Largest change of a factor, as a logarithm, at which the sweeps end.
const SETTLED: f64 = 1e-5;

/// Sweeps at most; chains of pairs settle geometrically.
const SWEEPS: usize = 1000;

/// A layer's largest magnitude per output and input channel, and the factors found so far: a
/// weight is worth `w * input / output`.
struct Ranges {
    /// `(output channel, input channel, magnitude)`.
    largest: Vec<(usize, usize, f64)>,
    output: Vec<f64>,
    input: Vec<f64>,
}

impl Ranges {
    fn new(graph: &Graph, layer: &Layer) -> Result<Self, MethodError> {
        let channels = channels_of(layer);
        let mut largest: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for (at, &w) in graph.weight(&layer.weight)?.data.iter().enumerate() {
            let held = largest.entry(channels(at)).or_insert(0.0);
            *held = held.max(f64::from(w.abs()));
        }
        let largest: Vec<_> = largest.into_iter().map(|((o, i), v)| (o, i, v)).collect();
        let inputs = largest.iter().map(|(_, i, _)| i + 1).max().unwrap_or(0);
        Ok(Self { largest, output: vec![1.0; layer.channels()], input: vec![1.0; inputs] })
    }

    /// Largest magnitude of each output channel, or of each input channel.
    fn found(&self, outputs: bool) -> Vec<f64> {
        let mut out = vec![0f64; if outputs { self.output.len() } else { self.input.len() }];
        for &(o, i, v) in &self.largest {
            let place = &mut out[if outputs { o } else { i }];
            *place = place.max(v * self.input[i] / self.output[o]);
        }
        out
    }
}

/// Rescales all pairs until their ranges are equal; a channel without weights on one side stays.
pub(super) fn equalise(
    graph: &mut Graph,
    layers: &[Layer],
    pairs: &[Pair],
    caps: &mut Caps,
    notes: &mut Vec<String>,
) -> Result<(), MethodError> {
    let mut ranges: BTreeMap<usize, Ranges> = BTreeMap::new();
    for at in pairs.iter().flat_map(|p| [p.first, p.second]) {
        if let std::collections::btree_map::Entry::Vacant(place) = ranges.entry(at) {
            place.insert(Ranges::new(graph, &layers[at])?);
        }
    }
    let mut sweeps = 0;
    while sweeps < SWEEPS && sweep(pairs, &mut ranges) > SETTLED {
        sweeps += 1;
    }
    for (&at, ranges) in &ranges {
        rescale(graph, &layers[at], ranges)?;
    }
    for pair in pairs {
        if let (Some(caps), Some(first)) = (caps.between(pair), ranges.get(&pair.first)) {
            caps.iter_mut().zip(&first.output).for_each(|(cap, s)| *cap /= s);
        }
    }
    notes.push(format!("{} pairs of layers equalised in {sweeps} sweeps", pairs.len()));
    Ok(())
}

/// One step for every pair in turn; gives the largest change of a factor.
fn sweep(pairs: &[Pair], ranges: &mut BTreeMap<usize, Ranges>) -> f64 {
    let mut change = 0f64;
    for pair in pairs {
        let found = |at: usize, outputs| ranges.get(&at).map(|r| r.found(outputs));
        let (Some(r1), Some(r2)) = (found(pair.first, true), found(pair.second, false)) else {
            continue;
        };
        let factor = |(r1, r2): (&f64, &f64)| {
            let s = (r1 / r2).sqrt();
            if s > 0.0 && s.is_finite() { s } else { 1.0 }
        };
        let factors: Vec<f64> = r1.iter().zip(&r2).map(factor).collect();
        change = factors.iter().fold(change, |m, s| m.max(s.ln().abs()));
        let scale = |side: &mut Vec<f64>| side.iter_mut().zip(&factors).for_each(|(f, s)| *f *= s);
        if let Some(first) = ranges.get_mut(&pair.first) {
            scale(&mut first.output);
        }
        if let Some(second) = ranges.get_mut(&pair.second) {
            scale(&mut second.input);
        }
    }
    change
}

/// Applies a layer's factors to its weights, bias and batch-norm statistics.
fn rescale(graph: &mut Graph, layer: &Layer, ranges: &Ranges) -> Result<(), MethodError> {
    let channels = channels_of(layer);
    let mut weight = graph.weight(&layer.weight)?;
    for (at, w) in weight.data.iter_mut().enumerate() {
        let (o, i) = channels(at);
        *w = (f64::from(*w) * ranges.input[i] / ranges.output[o]) as f32;
    }
    graph.set_weight(&layer.weight, &weight)?;
    if ranges.output.iter().all(|&s| s == 1.0) {
        return Ok(());
    }
    if graph.bias(layer)?.is_some() {
        let bias = bias_of(graph, layer)?;
        let bias: Vec<f32> = bias.iter().zip(&ranges.output).map(|(b, s)| (b / s) as f32).collect();
        graph.set_bias(layer, &bias)?;
    }
    if let Some(stats) = graph.norm_stats(&layer.output) {
        let scaled = |values: &[f32]| -> Vec<f32> {
            values.iter().zip(&ranges.output).map(|(v, s)| (f64::from(*v) / s) as f32).collect()
        };
        let stats = NormStats { mean: scaled(&stats.mean), std: scaled(&stats.std) };
        graph.set_norm_stats(&layer.output, stats);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::pairs::find;
    use super::*;
    use quantbench_core::Tensor;
    use quantbench_graph::testing::Builder;

    /// Conv, depthwise conv, conv, each with batch norm and a Relu or Relu6 behind.
    pub(crate) fn depthwise(relu6: bool) -> Graph {
        let mut b = Builder::new(11);
        b.weight("lo", &Tensor::new(vec![], vec![0.0]));
        b.weight("hi", &Tensor::new(vec![], vec![6.0]));
        let mut value = "input".to_string();
        for (name, shape, groups) in [("a", (3, 6), 1), ("b", (6, 6), 6), ("c", (6, 4), 1)] {
            let out = b.conv_bn(&value, name, shape, 1, groups);
            value = format!("{name}_act");
            if relu6 {
                b.node("Clip", &[&out, "lo", "hi"], &value, vec![]);
            } else {
                b.node("Relu", &[&out], &value, vec![]);
            }
        }
        Graph::from_bytes(&b.finish(&[3, 8, 8], &value), "dw").unwrap().fold().unwrap()
    }

    #[test]
    fn ranges_get_equal_also_across_a_depthwise_layer() {
        let mut graph = depthwise(true);
        let layers = graph.layers();
        let pairs = find(&graph, &layers);
        let ends: Vec<_> = pairs.iter().map(|p| (p.first, p.second, p.clip.is_some())).collect();
        assert_eq!(ends, [(0, 1, true), (1, 2, true)]);
        let mut notes = Vec::new();
        let mut caps = Caps::of(&pairs);
        equalise(&mut graph, &layers, &pairs, &mut caps, &mut notes).unwrap();
        let ranges: Vec<Ranges> = layers.iter().map(|l| Ranges::new(&graph, l).unwrap()).collect();
        let (a, b) = (ranges[0].found(true), ranges[1].found(true));
        let c = ranges[2].found(false);
        for k in 0..6 {
            assert!((a[k] / b[k] - 1.0).abs() < 1e-3 && (b[k] / c[k] - 1.0).abs() < 1e-3);
        }
        let caps = caps.between(&pairs[0]).unwrap();
        assert!(caps.iter().any(|&c| (c - 6.0).abs() > 0.1), "{caps:?}");
    }

    #[test]
    fn a_channel_without_weights_stays() {
        let mut graph = depthwise(false);
        let layers = graph.layers();
        let mut weight = graph.weight(&layers[0].weight).unwrap();
        weight.data[..27].fill(0.0);
        graph.set_weight(&layers[0].weight, &weight).unwrap();
        let before = graph.bias(&layers[0]).unwrap().unwrap().data[0];
        let pairs = find(&graph, &layers);
        let mut caps = Caps::of(&pairs);
        equalise(&mut graph, &layers, &pairs, &mut caps, &mut Vec::new()).unwrap();
        assert_eq!(graph.bias(&layers[0]).unwrap().unwrap().data[0], before);
        assert!(graph.weight(&layers[1].weight).unwrap().data.iter().all(|w| w.is_finite()));
    }

    #[test]
    fn pairs_do_not_reach_across_a_residual_sum() {
        let bytes = quantbench_graph::testing::tiny_resnet(7);
        let graph = Graph::from_bytes(&bytes, "tiny").unwrap().fold().unwrap();
        let layers = graph.layers();
        let found: Vec<_> = find(&graph, &layers)
            .iter()
            .map(|p| (layers[p.first].weight.clone(), layers[p.second].weight.clone()))
            .collect();
        // The stem is read twice, b is summed; a -> b is inside the branch, c -> fc through a pool.
        let want = [("a.w", "b.w"), ("c.w", "fc.w")].map(|(a, b)| (a.to_string(), b.to_string()));
        assert_eq!(found, want);
    }
}
