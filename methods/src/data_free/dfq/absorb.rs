//! High-bias absorption (Nagel et al. 2019, section 4.1.3): what a channel gives almost always
//! moves into the next layer's bias.

use quantbench_graph::{Graph, Layer, NormStats};

use super::channels_of;
use super::pairs::{Caps, Pair};
use crate::contract::MethodError;
use crate::parts::bias::{bias_of, can_hold_bias};

/// Standard deviations below its mean down to which a channel counts as always active: 99.87 % of
/// a normal variable lie above.
const ALWAYS: f64 = 3.0;

/// Absorbs `c = max(0, beta - 3 |gamma|)` of each channel of each pair with a ReLU between.
pub(super) fn absorb(
    graph: &mut Graph,
    layers: &[Layer],
    pairs: &[Pair],
    caps: &mut Caps,
    notes: &mut Vec<String>,
) -> Result<(), MethodError> {
    let (mut absorbed, mut padded) = (0, 0);
    for pair in pairs.iter().filter(|p| p.rectified) {
        let (first, second) = (&layers[pair.first], &layers[pair.second]);
        let Some(stats) = graph.norm_stats(&first.output).cloned() else { continue };
        if !can_hold_bias(graph, second) {
            continue;
        }
        let above = |c: usize| f64::from(stats.mean[c]) - ALWAYS * f64::from(stats.std[c]);
        let held = caps.between(pair);
        // A channel that lies beyond its cap is constant there, which no shift keeps.
        let free = |c: usize, v: f64| held.as_ref().is_none_or(|caps| v < caps[c]);
        let amounts: Vec<f64> = (0..pair.channels)
            .map(|c| above(c).max(0.0))
            .enumerate()
            .map(|(c, v)| if free(c, v) { v } else { 0.0 })
            .collect();
        if amounts.iter().all(|&v| v == 0.0) {
            continue;
        }
        if let Some(caps) = held {
            caps.iter_mut().zip(&amounts).for_each(|(cap, v)| *cap -= v);
        }
        shift(graph, first, second, &stats, &amounts)?;
        absorbed += amounts.iter().filter(|&&v| v > 0.0).count();
        padded += usize::from(is_padded(graph, second));
    }
    if absorbed > 0 {
        notes.push(format!("{absorbed} high biases absorbed by the next layer"));
    }
    if padded > 0 {
        notes.push(format!(
            "absorption moves values at the border of {padded} layers with zero padding"
        ));
    }
    Ok(())
}

/// Takes the amounts out of the first layer's biases and puts what they cause into the second's.
fn shift(
    graph: &mut Graph,
    first: &Layer,
    second: &Layer,
    stats: &NormStats,
    amounts: &[f64],
) -> Result<(), MethodError> {
    let minus = |values: &mut dyn Iterator<Item = f64>| -> Vec<f32> {
        values.zip(amounts).map(|(v, a)| (v - a) as f32).collect()
    };
    let bias = minus(&mut bias_of(graph, first)?.into_iter());
    graph.set_bias(first, &bias)?;
    let mean = minus(&mut stats.mean.iter().map(|&m| f64::from(m)));
    graph.set_norm_stats(&first.output, NormStats { mean, std: stats.std.clone() });
    let channels = channels_of(second);
    let mut bias = bias_of(graph, second)?;
    for (at, &w) in graph.weight(&second.weight)?.data.iter().enumerate() {
        let (o, i) = channels(at);
        bias[o] += f64::from(w) * amounts[i];
    }
    let bias: Vec<f32> = bias.iter().map(|&b| b as f32).collect();
    Ok(graph.set_bias(second, &bias)?)
}

fn is_padded(graph: &Graph, layer: &Layer) -> bool {
    graph.nodes()[layer.node].attribute.iter().any(|a| match a.name.as_deref() {
        Some("pads") => a.ints.iter().any(|&p| p != 0),
        Some("auto_pad") => a.s.as_deref().is_some_and(|s| s.starts_with(b"SAME")),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::pairs::find;
    use super::*;
    use quantbench_core::Tensor;
    use quantbench_graph::testing::{Builder, ints};

    /// A stem whose second channel is always active, and a 1x1 conv that reads it.
    fn active(cap: Option<f32>) -> Graph {
        let mut b = Builder::new(2);
        let stem = b.conv_bn("input", "stem", (1, 2), 1, 1);
        if let Some(cap) = cap {
            b.weight("lo", &Tensor::new(vec![], vec![0.0]));
            b.weight("hi", &Tensor::new(vec![], vec![cap]));
            b.node("Clip", &[&stem, "lo", "hi"], "r", vec![]);
        } else {
            b.node("Relu", &[&stem], "r", vec![]);
        }
        b.weight("w", &Tensor::new(vec![1, 2, 1, 1], vec![0.5, -2.0]));
        b.node("Conv", &["r", "w"], "out", vec![ints("kernel_shape", &[1, 1])]);
        let mut graph =
            Graph::from_bytes(&b.finish(&[1, 8, 8], "out"), "g").unwrap().fold().unwrap();
        let output = graph.layers()[0].output.clone();
        let stats = NormStats { mean: vec![0.0, 5.0], std: vec![1.0, 1.0] };
        graph.set_norm_stats(&output, stats);
        graph
    }

    #[test]
    fn what_is_always_there_moves_into_the_next_bias() {
        for cap in [None, Some(6.0), Some(1.5)] {
            let mut graph = active(cap);
            let layers = graph.layers();
            let pairs = find(&graph, &layers);
            let mut caps = Caps::of(&pairs);
            let before = graph.bias(&layers[0]).unwrap().unwrap().data;
            absorb(&mut graph, &layers, &pairs, &mut caps, &mut Vec::new()).unwrap();
            let after = graph.bias(&layers[0]).unwrap().unwrap().data;
            // 5 - 3 * 1 = 2, unless the cap is below.
            let amount = if cap == Some(1.5) { 0.0 } else { 2.0 };
            assert_eq!(after[0], before[0]);
            assert!((before[1] - after[1] - amount).abs() < 1e-6);
            let next = bias_of(&graph, &graph.layers()[1]).unwrap();
            assert!((next[0] + 2.0 * f64::from(amount)).abs() < 1e-6, "{next:?}");
            assert_eq!(graph.norm_stats(&layers[0].output).unwrap().mean, [0.0, 5.0 - amount]);
            if let Some(caps) = caps.between(&pairs[0]) {
                let cap = f64::from(cap.unwrap());
                assert_eq!(*caps, [cap, cap - f64::from(amount)]);
            }
        }
    }
}
