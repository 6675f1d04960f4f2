//! Analytic bias correction (Nagel et al. 2019, section 4.2): an error `e` of the weights shifts
//! the mean output by `e E[x]`, and `E[x]` follows from batch norm.

use std::collections::BTreeMap;

use quantbench_core::QuantTensor;
use quantbench_graph::{Graph, Layer};

use super::channels_of;
use crate::contract::MethodError;
use crate::parts::bias::{bias_of, can_hold_bias};
use crate::parts::moments::{Positions, propagate};

/// Takes the expected shift of every layer's output out of its bias, where the mean of its input
/// is known. Zero padding is taken to be like the rest, as in the paper.
pub(super) fn correct(
    graph: &mut Graph,
    layers: &[Layer],
    weights: &BTreeMap<String, QuantTensor>,
    notes: &mut Vec<String>,
) -> Result<(), MethodError> {
    // An expected mean wants the expected spread of what a ReLU clips, not the bound that ranges
    // want; how far the largest value lies has no bearing on it.
    let known = propagate(graph, layers, 1.0, Positions::Independent);
    let mut left = Vec::new();
    for layer in layers {
        let Some(quantized) = weights.get(&layer.weight) else { continue };
        let input = known.get(&layer.input).filter(|_| can_hold_bias(graph, layer));
        let Some(input) = input else {
            left.push(layer.name.as_str());
            continue;
        };
        let channels = channels_of(layer);
        let mut bias = bias_of(graph, layer)?;
        let pairs = graph.weight(&layer.weight)?.data;
        for (at, (w, q)) in pairs.iter().zip(quantized.dequantize().data).enumerate() {
            let (o, i) = channels(at);
            bias[o] -= (f64::from(q) - f64::from(*w)) * input.mean[i];
        }
        let bias: Vec<f32> = bias.iter().map(|&b| b as f32).collect();
        graph.set_bias(layer, &bias)?;
    }
    if !left.is_empty() {
        notes.push(format!(
            "bias not corrected where the mean of the input is not known: {}",
            left.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::normal::clipped;
    use crate::parts::ranges::{MinMax, WeightStyle};
    use crate::parts::weights::quantize;
    use quantbench_core::Bits;
    use quantbench_graph::testing::Builder;

    #[test]
    fn the_shift_is_the_error_times_the_clipped_mean() {
        let mut b = Builder::new(6);
        let one = b.conv_bn("input", "one", (3, 4), 1, 1);
        b.node("Relu", &[&one], "r", vec![]);
        let two = b.conv_bn("r", "two", (4, 4), 1, 2);
        let mut graph =
            Graph::from_bytes(&b.finish(&[3, 8, 8], &two), "g").unwrap().fold().unwrap();
        let layers = graph.layers();
        let bits = Bits::new(3).unwrap();
        let weights: BTreeMap<String, QuantTensor> = layers
            .iter()
            .map(|l| {
                let w = graph.weight(&l.weight).unwrap();
                (l.weight.clone(), quantize(&w, 0, bits, WeightStyle::Affine, &MinMax))
            })
            .collect();
        let stats = graph.norm_stats(&layers[0].output).unwrap().clone();
        let before: Vec<Vec<f32>> =
            layers.iter().map(|l| graph.bias(l).unwrap().unwrap().data).collect();
        let mut notes = Vec::new();
        correct(&mut graph, &layers, &weights, &mut notes).unwrap();
        assert_eq!(graph.bias(&layers[0]).unwrap().unwrap().data, before[0]);
        assert!(notes[0].contains(&layers[0].name), "{notes:?}");
        let after = graph.bias(&layers[1]).unwrap().unwrap().data;
        let (w, q) = (graph.weight("two.w").unwrap(), weights["two.w"].dequantize());
        // Two groups of two inputs and outputs, kernels of nine.
        for o in 0..4 {
            let mut shift = 0.0;
            for k in 0..18 {
                let i = o / 2 * 2 + k / 9;
                let (mean, std) = (f64::from(stats.mean[i]), f64::from(stats.std[i]));
                let x = clipped(mean, std * std, Some(0.0), None).mean;
                shift += f64::from(q.data[o * 18 + k] - w.data[o * 18 + k]) * x;
            }
            assert!((f64::from(before[1][o] - after[o]) - shift).abs() < 1e-5);
        }
    }
}
