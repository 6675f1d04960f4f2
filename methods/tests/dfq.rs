//! DFQ on networks: what must not change, and what must.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use common::{Pictures, Run, engine, tiny};
use quantbench_core::{ParamValue, SitesRule, Tensor};
use quantbench_engine::Engine;
use quantbench_graph::testing::{Builder, int};
use quantbench_graph::{Artefact, ExportOptions, Graph, decode, encode, export};
use quantbench_methods::find;

/// Inverted bottlenecks as MobileNets have them: expand, depthwise, project, with a residual sum;
/// `cap` is the end of the Clip between, none for a Relu. Batch norms are uneven, and one channel
/// is dead if asked.
fn bottleneck(seed: u64, cap: Option<f32>, dead: bool) -> Graph {
    let mut b = Builder::new(seed);
    b.weight("lo", &Tensor::new(vec![], vec![0.0]));
    b.weight("hi", &Tensor::new(vec![], vec![cap.unwrap_or(0.0)]));
    let act = |b: &mut Builder, value: &str, name: &str| {
        match cap {
            Some(_) => b.node("Clip", &[value, "lo", "hi"], name, vec![]),
            None => b.node("Relu", &[value], name, vec![]),
        };
    };
    let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
    let expand = b.conv_bn(&stem, "expand", (4, 8), 1, 1);
    act(&mut b, &expand, "e");
    let depthwise = b.conv_bn("e", "depthwise", (8, 8), 1, 8);
    act(&mut b, &depthwise, "d");
    let project = b.conv_bn("d", "project", (8, 4), 1, 1);
    b.node("Add", &[&project, &stem], "sum", vec![]);
    let last = b.conv_bn("sum", "last", (4, 6), 2, 1);
    act(&mut b, &last, "l");
    b.node("GlobalAveragePool", &["l"], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "features", vec![int("axis", 1)]);
    let w = b.random(&[6, 4], 0.5, 0.0);
    b.weight("fc.w", &w).node("Gemm", &["features", "fc.w"], "logits", vec![]);
    let bytes = b.finish(&[3, 8, 8], "logits");
    let mut graph = Graph::from_bytes(&bytes, "bottleneck").unwrap();
    for (name, k) in [("expand.gamma", 3), ("depthwise.gamma", 5), ("last.gamma", 2)] {
        let mut gamma = graph.weight(name).unwrap();
        gamma.data.iter_mut().enumerate().for_each(|(c, g)| *g *= 0.3 + (c * k % 7) as f32);
        graph.set_weight(name, &gamma).unwrap();
    }
    if dead {
        for name in ["expand.var", "depthwise.var"] {
            let mut var = graph.weight(name).unwrap();
            var.data[2] = 1e-20;
            graph.set_weight(name, &var).unwrap();
        }
        // What is dead gives its mean: its weights are next to nothing.
        let mut w = graph.weight("expand.w").unwrap();
        w.data[2 * 36..3 * 36].iter_mut().for_each(|v| *v *= 1e-12);
        graph.set_weight("expand.w", &w).unwrap();
        let mut mean = graph.weight("expand.mean").unwrap();
        mean.data[2] = 0.0;
        graph.set_weight("expand.mean", &mean).unwrap();
    }
    graph.fold().unwrap()
}

fn switches(equalise: bool, absorb: bool, correct: bool) -> Vec<(&'static str, ParamValue)> {
    [("equalise", equalise), ("absorb", absorb), ("correct", correct)]
        .map(|(name, on)| (name, ParamValue::Bool(on)))
        .to_vec()
}

fn run(engine: Engine, graph: &Graph, label: &str, given: &[(&str, ParamValue)]) -> Artefact {
    let dfq = find("dfq").unwrap();
    let run = Run::new(engine, graph, dfq, label).with(dfq, given);
    let artefact = run.go(dfq).unwrap_or_else(|e| panic!("{given:?}: {e}"));
    assert_eq!(run.vault.images_read(), 0);
    artefact.check().unwrap();
    artefact
}

/// Largest difference of two networks' logits on random images, in units of the largest logit.
fn difference(engine: Engine, a: &Graph, b: &Graph) -> f32 {
    let logits = |graph: &Graph| engine.logits(graph, &Pictures::new(graph, 24), 8).unwrap().data;
    let (a, b) = (logits(a), logits(b));
    let size = a.iter().fold(0f32, |m, v| m.max(v.abs()));
    a.iter().zip(&b).fold(0f32, |m, (x, y)| m.max((x - y).abs())) / size
}

#[test]
fn equalisation_does_not_change_the_fp32_network() {
    let Some(engine) = engine() else { return };
    let mut nets = vec![("tiny".to_string(), tiny())];
    for seed in 0..4 {
        for cap in [None, Some(6.0), Some(1.0)] {
            for dead in [false, true] {
                let name = format!("bottleneck {seed} {cap:?} {dead}");
                nets.push((name, bottleneck(seed, cap, dead)));
            }
        }
    }
    for (name, graph) in &nets {
        let artefact = run(engine, graph, "w4a32", &switches(true, false, false));
        assert_ne!(artefact.graph.to_bytes(), graph.to_bytes(), "{name}");
        let off = difference(engine, graph, &artefact.graph);
        assert!(off < 1e-4, "{name}: {off}");
    }
}

#[test]
fn a_replaced_relu6_is_another_network_and_says_so() {
    let Some(engine) = engine() else { return };
    let graph = bottleneck(1, Some(1.0), false);
    let mut given = switches(true, false, false);
    given.push(("relu6", ParamValue::Text("replace".into())));
    let artefact = run(engine, &graph, "w8a32", &given);
    assert!(artefact.notes.iter().any(|n| n.contains("3 Relu6 replaced by Relu")));
    assert!(difference(engine, &graph, &artefact.graph) > 1e-2);
    let carried = run(engine, &graph, "w8a32", &switches(true, false, false));
    assert!(carried.notes.iter().any(|n| n.contains("cap per channel")), "{:?}", carried.notes);
}

#[test]
fn absorption_changes_little_and_each_part_changes_something() {
    let Some(engine) = engine() else { return };
    let graph = bottleneck(3, Some(6.0), true);
    let absorbed = run(engine, &graph, "w4a32", &switches(true, true, false));
    assert!(absorbed.notes.iter().any(|n| n.contains("absorbed")), "{:?}", absorbed.notes);
    let plain = run(engine, &graph, "w4a32", &switches(true, false, false));
    assert_ne!(encode(&absorbed), encode(&plain));
    let corrected = run(engine, &graph, "w4a32", &switches(true, false, true));
    assert_ne!(encode(&corrected), encode(&plain));
    let nothing = run(engine, &graph, "w4a32", &switches(false, false, false));
    assert_eq!(nothing.graph.to_bytes(), graph.to_bytes());
}

#[test]
fn equalised_weights_lose_less_on_a_grid_per_tensor() {
    let Some(engine) = engine() else { return };
    let graph = bottleneck(2, Some(6.0), true);
    let off = |given: &[(&str, ParamValue)]| {
        let artefact = run(engine, &graph, "w6a32", given);
        let mut quantized = artefact.graph.clone();
        for (name, weights) in &artefact.weights {
            assert_eq!(weights.grid.scale.len(), 1);
            quantized.set_weight(name, &weights.dequantize()).unwrap();
        }
        difference(engine, &graph, &quantized)
    };
    let (with, without) = (off(&switches(true, false, false)), off(&switches(false, false, false)));
    assert!(with < without, "{with} against {without}");
}

#[test]
fn carried_caps_and_tensor_grids_survive_packing_and_export() {
    let Some(engine) = engine() else { return };
    let graph = bottleneck(1, Some(1.0), false);
    for (label, rule) in [("w8a8", SitesRule::Deployable), ("w4a4", SitesRule::Academic)] {
        let dfq = find("dfq").unwrap();
        let mut job = Run::new(engine, &graph, dfq, label);
        job.spec.sites = rule;
        let artefact = job.go(dfq).unwrap();
        let bytes = encode(&artefact);
        assert_eq!(encode(&decode(&bytes, "packed").unwrap()), bytes);
        let exported = export(&artefact, ExportOptions { portable: true }).unwrap();
        let exported = Graph::from_bytes(&exported, "exported").unwrap();
        let off = difference(engine, &graph, &exported);
        assert!(off < if label == "w8a8" { 0.3 } else { 2.0 }, "{label}: {off}");
        // Quantized as well as exported: what the file gives is what the artefact says.
        let mut simulated = artefact.clone();
        for (name, weights) in &artefact.weights {
            simulated.graph.set_weight(name, &weights.dequantize()).unwrap();
        }
        simulated.weights.clear();
        let bytes = export(&simulated, ExportOptions { portable: true }).unwrap();
        let float = Graph::from_bytes(&bytes, "float weights").unwrap();
        assert!(difference(engine, &float, &exported) < 0.1);
    }
}

#[test]
fn a_pool_does_not_narrow_the_range_of_logits() {
    let Some(engine) = engine() else { return };
    // The same network for images of two sizes: a range that took pooled positions as independent
    // would spread a quarter as wide around the mean for the larger ones.
    let ranges = [8i64, 32].map(|side| {
        let mut b = Builder::new(5);
        let stem = b.conv_bn("input", "stem", (3, 6), 1, 1);
        b.node("Relu", &[&stem], "relu", vec![]);
        b.node("GlobalAveragePool", &["relu"], "pooled", vec![]);
        b.node("Flatten", &["pooled"], "features", vec![int("axis", 1)]);
        let w = b.random(&[6, 4], 0.5, 0.0);
        b.weight("fc.w", &w).node("Gemm", &["features", "fc.w"], "logits", vec![]);
        let bytes = b.finish(&[3, side, side], "logits");
        let graph = Graph::from_bytes(&bytes, "pooled").unwrap().fold().unwrap();
        let dfq = find("dfq").unwrap();
        let mut job = Run::new(engine, &graph, dfq, "w8a8");
        job.spec.sites = SitesRule::Deployable;
        job.go(dfq).unwrap().activations["logits"].clone()
    });
    assert_eq!(ranges[0], ranges[1]);
}
