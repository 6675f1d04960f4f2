//! Mixed precision: what is measured, what is chosen, what is recorded.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use common::{Pictures, Run, engine, tiny};
use quantbench_core::{Bits, Evidence, ImageSource, ParamValue};
use quantbench_graph::testing::{Builder, int, ints};
use quantbench_graph::{Graph, allocation};
use quantbench_methods::parts::ranges::{Mse, WeightStyle};
use quantbench_methods::parts::weights::quantize;
use quantbench_methods::{MethodError, find};

fn softmax(logits: &[f32]) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|&v| f64::from(v).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// The divergences by whole forward passes of networks with one rounded layer each.
fn by_whole_passes(graph: &Graph, images: &Pictures) -> Vec<(String, Vec<f64>)> {
    let engine = engine().unwrap();
    let truth = engine.logits(graph, images, 16).unwrap();
    let classes = truth.stride();
    let free = graph.layers().into_iter().filter(|l| !l.is_first && !l.is_last);
    free.map(|layer| {
        let weight = graph.weight(&layer.weight).unwrap();
        let losses = [2, 3, 4, 6, 8].map(|b| {
            let bits = Bits::new(b).unwrap();
            let rounded = quantize(&weight, layer.axis, bits, WeightStyle::Symmetric, &Mse);
            let mut changed = graph.clone();
            changed.set_weight(&layer.weight, &rounded.dequantize()).unwrap();
            let logits = engine.logits(&changed, images, 16).unwrap();
            let pairs = truth.data.chunks(classes).zip(logits.data.chunks(classes));
            let one = |(p, q)| -> f64 {
                softmax(p).iter().zip(softmax(q)).map(|(p, q)| p * (p / q).ln()).sum()
            };
            pairs.map(one).sum::<f64>() / images.len() as f64
        });
        (layer.name.clone(), losses.to_vec())
    })
    .collect()
}

fn agree(evidence: &Evidence, want: &[(String, Vec<f64>)]) {
    assert_eq!(evidence.sensitivities.len(), want.len());
    for (found, (layer, losses)) in evidence.sensitivities.iter().zip(want) {
        assert_eq!((&found.layer, found.bits.as_slice()), (layer, &[2, 3, 4, 6, 8][..]));
        for (a, b) in found.losses.iter().zip(losses) {
            assert!((a - b).abs() <= 1e-3 * b + 1e-6, "{layer}: {:?} {losses:?}", found.losses);
        }
    }
}

/// A network whose features pass through two transpositions, so that the batch does not lead
/// everywhere and no part of it can be run alone.
fn transposed(there_and_back: bool) -> Graph {
    let mut b = Builder::new(11);
    let stem = b.conv_bn("input", "stem", (3, 8), 1, 1);
    b.node("Relu", &[&stem], "r", vec![]);
    let body = b.conv_bn("r", "body", (8, 8), 2, 1);
    b.node("Relu", &[&body], "r2", vec![]);
    let more = b.conv_bn("r2", "more", (8, 8), 1, 1);
    b.node("GlobalAveragePool", &[&more], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "flat", vec![int("axis", 1)]);
    let mut features = "flat";
    if there_and_back {
        b.node("Transpose", &["flat"], "there", vec![ints("perm", &[1, 0])]);
        b.node("Transpose", &["there"], "back", vec![ints("perm", &[1, 0])]);
        features = "back";
    }
    let w = b.random(&[4, 8], 0.4, 0.0);
    b.weight("fc.w", &w);
    b.node("Gemm", &[features, "fc.w"], "logits", vec![int("transB", 1)]);
    Graph::from_bytes(&b.finish(&[3, 8, 8], "logits"), "net").unwrap().fold().unwrap()
}

#[test]
fn probing_from_the_layer_on_equals_whole_forward_passes() {
    let Some(engine) = engine() else { return };
    let method = find("sensitivity").unwrap();
    for graph in [tiny(), transposed(false), transposed(true)] {
        let want = by_whole_passes(&graph, &Pictures::new(&graph, 40));
        assert!(want.iter().any(|(_, losses)| losses[0] > 1e-3));
        for batch in [3, 16, 64] {
            let run = Run { batch, ..Run::new(engine, &graph, method, "w4a4") };
            agree(&run.go_fully(method).unwrap().1, &want);
        }
        // Each image once, where no ranges are needed.
        let run = Run::new(engine, &graph, method, "w4a32");
        run.go(method).unwrap();
        assert_eq!(run.vault.images_read(), 40);
    }
    // The one can be cut nowhere in front of the transposition, the other everywhere.
    let can_be_cut = |graph: Graph| -> Vec<bool> {
        graph.layers().iter().map(|l| graph.cut(l.node).is_some()).collect()
    };
    assert_eq!(can_be_cut(transposed(true)), [false, false, false, true]);
    assert_eq!(can_be_cut(transposed(false)), [true; 4]);
}

#[test]
fn the_choice_is_a_point_of_the_recorded_front() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let method = find("sensitivity").unwrap();
    for (mean, budget) in [(2.5, "size"), (3.3, "size"), (5.0, "bit-operations"), (7.9, "size")] {
        let given = [
            ("mean_bits", ParamValue::Float(mean)),
            ("budget", ParamValue::Text(budget.to_string())),
        ];
        let run = Run::new(engine, &graph, method, "w4a4").with(method, &given);
        let (artefact, evidence, synthetic) = run.go_fully(method).unwrap();
        let front = evidence.front.unwrap();
        assert!(front.points.len() <= 64 && synthetic == 0);
        assert!(front.points.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 > w[1].1));
        let layers = graph.layers();
        let found = allocation(&artefact);
        let (mut cost, mut loss, mut each) = (0, 0.0, 0);
        for row in &evidence.sensitivities {
            let at = found.iter().position(|l| l.layer == row.layer).unwrap();
            let bits = found[at].weights.get();
            // The activations that these layers read have four bits.
            let one = if budget == "size" { layers[at].parameters() } else { 4 * layers[at].macs };
            cost += one * u64::from(bits);
            each += one;
            loss += row.losses[row.bits.iter().position(|b| *b == bits).unwrap()];
        }
        assert_eq!(front.points[front.chosen].0, cost);
        assert!((front.points[front.chosen].1 - loss).abs() < 1e-12);
        assert!(cost <= front.budget && front.budget == (mean * each as f64) as u64);
    }
}

#[test]
fn a_mean_width_that_nothing_meets_is_refused_with_the_smallest_that_does() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for name in ["sensitivity", "sensitivity-noise"] {
        let method = find(name).unwrap();
        let with = |mean: f64| {
            let given = [("mean_bits", ParamValue::Float(mean))];
            Run::new(engine, &graph, method, "w8a8").with(method, &given).go(method)
        };
        let error = with(1.5).unwrap_err();
        assert!(matches!(error, MethodError::Infeasible { .. }), "{error}");
        let want =
            "budget of 1.5 mean bits is infeasible; the smallest feasible one is 2 mean bits";
        assert_eq!(error.to_string(), want);
        assert!(with(2.0).unwrap().notes.iter().any(|n| n.contains("smallest width, 2 bits")));
        assert!(with(8.0).unwrap().notes.iter().any(|n| n.contains("largest width, 8 bits")));
    }
}

#[test]
fn noise_is_counted_where_it_is_made() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let method = find("sensitivity-noise").unwrap();
    let made = |label: &str, ranges: &str| {
        let given =
            [("images", ParamValue::Int(20)), ("ranges", ParamValue::Text(ranges.to_string()))];
        let run = Run::new(engine, &graph, method, label).with(method, &given);
        let (artefact, evidence, made) = run.go_fully(method).unwrap();
        assert_eq!(run.vault.images_read(), 0);
        (artefact, evidence, made)
    };
    assert_eq!(made("w4a4", "noise").2, 20);
    let (artefact, evidence, count) = made("w4a4", "statistics");
    assert_eq!((count, evidence.sensitivities.len()), (20, 3));
    assert!(!artefact.activations.contains_key(graph.input()));
    assert!(artefact.notes.iter().any(|n| n.contains("left in FP32")));
    assert_eq!(made("w2a4", "statistics").2, 0);
    assert_eq!(made("w2a4", "noise").2, 20);
}

/// The tiny network made for images that are `factor` times as large.
fn reading(factor: f32) -> Graph {
    let mut graph = Graph::from_bytes(&quantbench_graph::testing::tiny_resnet(7), "tiny").unwrap();
    let name = "stem.w";
    let mut weight = graph.weight(name).unwrap();
    weight.data.iter_mut().for_each(|w| *w /= factor);
    graph.set_weight(name, &weight).unwrap();
    graph.fold().unwrap()
}

#[test]
fn matched_noise_follows_the_scale_of_the_images_that_a_network_reads() {
    let Some(engine) = engine() else { return };
    let method = find("sensitivity-noise").unwrap();
    let ends = |graph: &Graph, noise: &str| {
        let given = [("noise", ParamValue::Text(noise.to_string()))];
        let run = Run::new(engine, graph, method, "w4a4").with(method, &given);
        let (artefact, evidence, _) = run.go_fully(method).unwrap();
        let (lo, hi) = artefact.activations[graph.input()].ends(0);
        (lo, hi, evidence.sensitivities[0].losses[0])
    };
    let (bytes, unit) = (reading(64.0), reading(1.0));
    let (lo, hi, loss) = ends(&unit, "matched");
    let (raw_lo, raw_hi, raw_loss) = ends(&bytes, "matched");
    assert!(((raw_hi - raw_lo) / (hi - lo) - 64.0).abs() < 3.0, "{raw_lo} {raw_hi} {lo} {hi}");
    assert!((raw_loss - loss).abs() < 0.01 * loss, "{raw_loss} {loss}");
    // Noise of deviation 1 is next to nothing for such a network.
    let (lo, hi, _) = ends(&bytes, "standard");
    assert!(lo > -7.0 && hi < 7.0);
    // Another seed is other noise.
    let seeds = [0, 1].map(|seed| {
        let run = Run { seed, ..Run::new(engine, &unit, method, "w4a4") };
        run.go_fully(method).unwrap().1.sensitivities
    });
    assert_ne!(seeds[0], seeds[1]);
}
