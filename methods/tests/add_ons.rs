//! The contract of add-ons, and what bias correction promises.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::{Pictures, Run, engine, label, params, spec, tiny};
use quantbench_core::{Family, Needs, ParamValue, Params};
use quantbench_engine::Engine;
use quantbench_graph::testing::Builder;
use quantbench_graph::{Artefact, Graph, Layer, encode};
use quantbench_methods::parts::channel_stats::ChannelStats;
use quantbench_methods::{ADD_ONS, ALL, Method, MethodError, Vault, find};

/// Every method with every add-on.
fn compositions() -> Vec<(&'static dyn Method, &'static dyn Method)> {
    let pairs = ALL.iter().flat_map(|base| ADD_ONS.iter().map(move |a| (base, a.card().name)));
    pairs
        .map(|(base, add_on)| (*base, find(&format!("{}+{add_on}", base.card().name)).unwrap()))
        .collect()
}

#[test]
fn add_ons_have_names_of_their_own_and_complete_files() {
    let names: Vec<&str> = ADD_ONS.iter().map(|a| a.card().name).collect();
    assert!(names.windows(2).all(|w| w[0] < w[1]), "{names:?}");
    for card in ADD_ONS.iter().map(|a| a.card()) {
        assert!((1..100).contains(&card.version) && card.paper.contains("arXiv:"));
        let file = format!("src/add_on/{}.rs", card.name.replace('-', "_"));
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        for heading in ["What it does", "When to use it", "Parameters", "Reference"] {
            assert!(text.contains(&format!("//! # {heading}\n")), "{path:?} lacks {heading}");
        }
        for param in card.params {
            assert!(text.contains(&format!("//! - `{}`", param.name)), "{}", param.name);
        }
        assert!(ALL.iter().all(|m| m.card().name != card.name));
    }
}

#[test]
fn composed_cards_hold_both_parts() {
    for (base, whole) in compositions() {
        let (one, both) = (base.card(), whole.card());
        let keys: BTreeSet<&str> = both.params.iter().map(|p| p.name).collect();
        assert_eq!(keys.len(), both.params.len(), "{}: a parameter of the same name", both.name);
        assert!(both.params.len() > one.params.len() && both.version > 100 * one.version);
        assert!(both.summary.starts_with(one.summary) && both.paper.starts_with(one.paper));
        assert_eq!((both.widths, both.stochastic), (one.widths, one.stochastic));
        assert_ne!(both.family, Family::DataFree);
        let params = both.resolve(&Params::new()).unwrap();
        let labelled = base.grant() == Needs::Labelled;
        let needs = if labelled { Needs::Labelled } else { Needs::Unlabelled };
        assert_eq!(whole.needs(&spec(&label(base, 4)), &params), needs);
        assert_eq!(whole.grant(), needs);
    }
}

#[test]
fn compositions_give_sound_artefacts_that_differ_in_biases_alone() {
    let Some(mut engine) = engine() else { return };
    let graph = tiny();
    for (base, whole) in compositions() {
        let label = label(base, 4);
        let plain = Run::new(engine, &graph, base, &label).go(base).unwrap();
        let run = Run::new(engine, &graph, whole, &label);
        let both = run.go(whole).unwrap();
        both.check().unwrap();
        assert!(run.vault.images_read() > 0);
        assert_eq!(run.vault.labels_read() > 0, base.grant() == Needs::Labelled);
        assert_eq!((&plain.weights, &plain.activations), (&both.weights, &both.activations));
        let biases = |a: &Artefact| -> Vec<_> {
            a.graph.layers().iter().map(|l| a.graph.bias(l).unwrap()).collect()
        };
        assert_ne!(biases(&plain), biases(&both), "{}", whole.card().name);
        engine.threads = 2;
        let again = Run::new(engine, &graph, whole, &label).go(whole).unwrap();
        engine.threads = 1;
        assert_eq!(encode(&both), encode(&again), "{}", whole.card().name);
    }
}

#[test]
fn compositions_refuse_what_they_cannot_do() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for (base, whole) in compositions() {
        let name = whole.card().name;
        let label = label(base, 4);
        let run = Run { vault: Vault::empty(), ..Run::new(engine, &graph, whole, &label) };
        let error = run.go(whole).unwrap_err();
        assert!(matches!(error, MethodError::NoImages(n) if n == name), "{error}");
        let run = Run { cancelled: true, ..Run::new(engine, &graph, whole, &label) };
        assert!(matches!(run.go(whole), Err(MethodError::Cancelled)), "{name}");
        let error = Run::new(engine, &graph, whole, "w7ta4".replace("7t", "1").as_str());
        if base.card().widths.weights.0 > 1 {
            let error = error.go(whole).unwrap_err();
            assert!(matches!(error, MethodError::Unfit { method, .. } if method == name));
        }
    }
}

/// Means of the layers' outputs over the calibration images.
fn means(engine: Engine, graph: &Graph, layers: &[Layer]) -> Vec<Vec<f64>> {
    let pictures = Pictures::new(graph, 40);
    layers
        .iter()
        .map(|layer| {
            let mut stats = ChannelStats::new(layer.channels());
            let mut each = |_: usize, dims: &[usize], data: &[f32]| stats.add(dims, data);
            engine.taps(graph, &[&layer.output], &pictures, 16, &mut each).unwrap();
            (0..layer.channels()).map(|c| stats.mean(c)).collect()
        })
        .collect()
}

/// A conv without a bias of its own, a shortcut conv beside it, and a Gemm without one.
fn without_biases() -> Graph {
    let mut b = Builder::new(9);
    let (w1, w2) = (b.random(&[6, 3, 3, 3], 0.3, 0.05), b.random(&[6, 3, 1, 1], 0.5, 0.0));
    let w3 = b.random(&[6, 4], 0.4, 0.0);
    b.weight("w1", &w1).weight("w2", &w2).weight("w3", &w3);
    b.node("Conv", &["input", "w1"], "one", vec![quantbench_graph::testing::ints("pads", &[1; 4])]);
    b.node("Conv", &["input", "w2"], "side", vec![]);
    b.node("Add", &["one", "side"], "sum", vec![]).node("Relu", &["sum"], "r", vec![]);
    b.node("GlobalAveragePool", &["r"], "p", vec![]).node("Flatten", &["p"], "f", vec![]);
    b.node("Gemm", &["f", "w3"], "logits", vec![]);
    Graph::from_bytes(&b.finish(&[3, 6, 6], "logits"), "bare").unwrap().fold().unwrap()
}

#[test]
fn means_of_a_weights_only_artefact_are_those_of_the_fp32_network() {
    let Some(engine) = engine() else { return };
    for graph in [tiny(), without_biases()] {
        for base in ["minmax", "mse", "gptq", "twn", "bwn"] {
            let whole = find(&format!("{base}+bias-correction")).unwrap();
            let label = label(whole, 32);
            let artefact = Run::new(engine, &graph, whole, &label).go(whole).unwrap();
            let mut quantized = artefact.graph.clone();
            for (name, weights) in &artefact.weights {
                quantized.set_weight(name, &weights.dequantize()).unwrap();
            }
            let layers = graph.layers();
            let want = means(engine, &graph, &layers);
            let found = means(engine, &quantized, &layers);
            for ((layer, want), found) in layers.iter().zip(&want).zip(&found) {
                let size = want.iter().fold(0f64, |m, v| m.max(v.abs()));
                for (w, f) in want.iter().zip(found) {
                    let off = (w - f).abs();
                    assert!(off < 1e-3 * size, "{base} {}: {f} for {w}", layer.name);
                    assert!(!layer.is_first || off < 1e-5 * size.max(1.0), "{base}: {f} for {w}");
                }
            }
        }
    }
}

#[test]
fn after_equalisation_means_are_compared_with_the_equalised_network() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let logits = |graph: &Graph| -> Vec<f64> {
        let all = engine.logits(graph, &Pictures::new(&graph.clone(), 40), 16).unwrap();
        (0..4).map(|c| all.data.iter().skip(c).step_by(4).map(|&v| f64::from(v)).sum()).collect()
    };
    let whole = find("dfq+bias-correction").unwrap();
    let artefact = Run::new(engine, &graph, whole, "w4a32").go(whole).unwrap();
    let mut quantized = artefact.graph.clone();
    for (name, weights) in &artefact.weights {
        quantized.set_weight(name, &weights.dequantize()).unwrap();
    }
    // Hidden channels are on another scale, but what leaves the network is not, and absorption
    // moves next to nothing here.
    for (want, found) in logits(&graph).iter().zip(logits(&quantized)) {
        assert!((want - found).abs() < 0.02 * (40.0 + want.abs()), "{found} for {want}");
    }
}

#[test]
fn activations_are_quantized_while_means_are_taken_if_asked() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let whole = find("minmax+bias-correction").unwrap();
    for sites in ["w2a2", "w8a8"] {
        let [with, without] = [true, false].map(|on| {
            let given = [("bias_activations", ParamValue::Bool(on))];
            let run = Run::new(engine, &graph, whole, sites).with(whole, &given);
            run.go(whole).unwrap()
        });
        assert_ne!(encode(&with), encode(&without));
        let exported =
            quantbench_graph::export(&with, quantbench_graph::ExportOptions::default()).unwrap();
        let exported = Graph::from_bytes(&exported, "exported").unwrap();
        let layers = graph.layers();
        let inner: Vec<Layer> = layers.into_iter().filter(|l| !l.is_last).collect();
        let (want, found) = (means(engine, &graph, &inner), means(engine, &exported, &inner));
        for (want, found) in want.iter().flatten().zip(found.iter().flatten()) {
            assert!(
                (want - found).abs() < 2e-3 * (1.0 + want.abs()),
                "{sites}: {found} for {want}"
            );
        }
    }
    assert_eq!(params(whole, &[]).len(), 2);
}
