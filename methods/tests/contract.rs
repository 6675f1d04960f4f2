//! The contract that every method keeps, asserted over the whole list on a tiny network.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Pictures, Run, engine, label, params, spec, tiny};
use quantbench_core::{Family, Granularity, ImageRule, Levels, ParamValue, SitesRule, Tensor};
use quantbench_graph::testing::Builder;
use quantbench_graph::{Artefact, Graph, SiteKind, encode, sites};
use quantbench_methods::{ALL, Method, MethodError, Vault, find};

/// Widths that the card allows: its ends, the middle, and FP32 activations.
fn labels(method: &dyn Method) -> Vec<String> {
    let widths = method.card().widths;
    let ((lo, hi), (alo, ahi)) = (widths.weights, widths.activations);
    let mut labels = Vec::new();
    for w in [lo, 3.clamp(lo, hi), 4.clamp(lo, hi), hi] {
        for a in [alo, 4.clamp(alo, ahi), ahi, 32] {
            labels.push(if widths.ternary { format!("w2ta{a}") } else { format!("w{w}a{a}") });
        }
    }
    labels.sort();
    labels.dedup();
    labels
}

/// A width that the method cannot do, and which would be its neighbour.
fn unfit(method: &dyn Method) -> [&'static str; 2] {
    match method.card().widths {
        widths if widths.ternary => ["w4a4", "w2a8"],
        widths if widths.weights.0 > 1 => ["w1a8", "w2ta8"],
        widths if widths.weights.1 == 8 => ["w2ta4", "w2ta8"],
        widths if widths.weights.1 > 1 => ["w8a8", "w2ta8"],
        _ => ["w2a8", "w2ta8"],
    }
}

/// Sum of squared differences between the float weights of the artefact's graph and its codes.
fn weight_error(artefact: &Artefact) -> f64 {
    let one = |(name, q): (&String, &quantbench_core::QuantTensor)| -> f64 {
        let float = artefact.graph.weight(name).unwrap();
        float.data.iter().zip(q.dequantize().data).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    artefact.weights.iter().map(one).sum()
}

#[test]
fn every_width_of_the_card_gives_a_sound_artefact() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for method in ALL {
        for label in labels(*method) {
            for rule in [SitesRule::Academic, SitesRule::Deployable] {
                let mut run = Run::new(engine, &graph, *method, &label);
                run.spec.sites = rule;
                let artefact = run.go(*method).unwrap_or_else(|e| panic!("{label}: {e}"));
                artefact.check().unwrap();
                let found = sites(&graph, &run.spec).unwrap();
                let layers = graph.layers();
                for site in &found.weights {
                    let grid = &artefact.weights[&layers[site.layer].weight].grid;
                    let mixed = method.card().family == Family::MixedPrecision && site.free;
                    assert!(mixed || grid.bits == site.bits, "{} {label}", method.card().name);
                }
                for site in found.activations.iter().filter(|s| s.kind != SiteKind::Image) {
                    let grid = &artefact.activations[&site.value];
                    assert_eq!(grid.bits, site.bits, "{} {label}", method.card().name);
                }
                for name in artefact.activations.keys() {
                    assert!(found.activations.iter().any(|s| s.value == *name));
                }
            }
        }
    }
}

#[test]
fn same_seed_same_bytes_at_any_number_of_threads() {
    let Some(mut engine) = engine() else { return };
    let graph = tiny();
    for method in ALL {
        let label = &label(*method, 4);
        engine.threads = 1;
        let first = encode(&Run::new(engine, &graph, *method, label).go(*method).unwrap());
        engine.threads = 2;
        let second = encode(&Run::new(engine, &graph, *method, label).go(*method).unwrap());
        assert_eq!(first, second, "{}", method.card().name);
    }
}

#[test]
fn a_method_that_is_not_stochastic_gives_the_same_bytes_for_every_seed() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for method in ALL.iter().filter(|m| !m.card().stochastic) {
        let label = &label(*method, 4);
        let [first, second] = [0, 1].map(|seed| {
            let run = Run { seed, ..Run::new(engine, &graph, *method, label) };
            encode(&run.go(*method).unwrap())
        });
        assert_eq!(first, second, "{}: set stochastic on its card", method.card().name);
    }
}

#[test]
fn unfit_specs_are_refused() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for method in ALL {
        for label in unfit(*method) {
            let error = Run::new(engine, &graph, *method, label).go(*method).unwrap_err();
            let MethodError::Unfit { method: name, reason } = &error else { panic!("{error}") };
            assert_eq!(*name, method.card().name);
            assert!(!reason.is_empty() && error.to_string().contains(name));
        }
    }
}

#[test]
fn a_method_reads_what_it_is_granted_and_says_when_that_is_nothing() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for method in ALL {
        let label = &label(*method, 4);
        let needs = method.needs(&spec(label), &params(*method, &[]));
        let run = Run::new(engine, &graph, *method, label);
        run.go(*method).unwrap();
        let wants = needs != quantbench_core::Needs::Nothing;
        assert_eq!(run.vault.images_read() > 0, wants, "{}", method.card().name);
        let labelled = needs == quantbench_core::Needs::Labelled;
        assert_eq!(run.vault.labels_read() > 0, labelled, "{}", method.card().name);
        let none = Arc::new(Pictures::new(&graph, 0));
        for vault in [Vault::empty(), Vault::with_calibration(none)] {
            let run = Run { vault, ..Run::new(engine, &graph, *method, label) };
            match run.go(*method) {
                Err(MethodError::NoImages(name)) => assert!(wants && name == method.card().name),
                Ok(_) => assert!(!wants, "{}", method.card().name),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn more_bits_are_never_much_worse() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for method in ALL.iter().filter(|m| m.card().widths.weights == (2, 8)) {
        // A search for the smallest loss follows the labels, not the weights.
        let searched = method.card().params.iter().any(|p| p.name == "passes");
        let still = if searched { vec![("passes", ParamValue::Int(0))] } else { Vec::new() };
        let errors: Vec<f64> = ["w2a32", "w3a32", "w4a32", "w6a32", "w8a32"]
            .iter()
            .map(|label| {
                let run = Run::new(engine, &graph, *method, label).with(*method, &still);
                weight_error(&run.go(*method).unwrap())
            })
            .collect();
        let falling = errors.windows(2).all(|w| w[1] <= w[0] * 1.05);
        assert!(falling, "{}: {errors:?}", method.card().name);
    }
}

#[test]
fn a_cancelled_run_ends_as_cancelled() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for method in ALL {
        let label = &label(*method, 4);
        let run = Run { cancelled: true, ..Run::new(engine, &graph, *method, label) };
        assert!(matches!(run.go(*method), Err(MethodError::Cancelled)), "{}", method.card().name);
    }
}

#[test]
fn min_max_does_not_depend_on_the_batch_size() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let minmax = find("minmax").unwrap();
    let bytes = [3, 16, 40].map(|batch| {
        let run = Run { batch, ..Run::new(engine, &graph, minmax, "w4a4") };
        encode(&run.go(minmax).unwrap())
    });
    assert!(bytes.iter().all(|b| *b == bytes[0]));
}

#[test]
fn an_image_that_is_not_a_number_is_named() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let mut pictures = Pictures::new(&graph, 20);
    pictures.data[777] = f32::NAN;
    let vault = Vault::with_calibration(Arc::new(pictures));
    for name in ["aciq", "entropy", "lp", "minmax", "mse", "percentile"] {
        let method = find(name).unwrap();
        let run = Run { vault: vault.clone(), ..Run::new(engine, &graph, method, "w4a4") };
        let error = run.go(method).unwrap_err();
        let MethodError::NotFinite { what } = &error else { panic!("{error}") };
        assert!(what.contains(graph.input()), "{what}");
    }
}

/// Two convs that share their weights and two FCs that share theirs; the first conv and the last
/// FC are kept at 8 bits.
fn with_shared_weights() -> Graph {
    let mut b = Builder::new(5);
    let (conv, fc) = (b.random(&[3, 3, 1, 1], 0.5, 0.0), b.random(&[3, 3], 0.5, 0.0));
    b.weight("conv.w", &conv).weight("fc.w", &fc);
    b.node("Conv", &["input", "conv.w"], "one", vec![]).node("Relu", &["one"], "r", vec![]);
    b.node("Conv", &["r", "conv.w"], "two", vec![]);
    b.node("GlobalAveragePool", &["two"], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "features", vec![]);
    b.node("Gemm", &["features", "fc.w"], "hidden", vec![]);
    b.node("Gemm", &["hidden", "fc.w"], "logits", vec![]);
    Graph::from_bytes(&b.finish(&[3, 4, 4], "logits"), "shared").unwrap().fold().unwrap()
}

#[test]
fn shared_weights_get_the_larger_width_or_are_refused() {
    let Some(engine) = engine() else { return };
    let graph = with_shared_weights();
    let layers = graph.layers();
    assert_eq!(layers.iter().map(|l| l.weight.as_str()).collect::<BTreeSet<_>>().len(), 2);
    for method in ALL {
        let card = method.card();
        let label = &label(*method, 32);
        let run = Run::new(engine, &graph, *method, label);
        let found = run.go(*method);
        if card.family == Family::MixedPrecision {
            let text = found.unwrap_err().to_string();
            let named = text.contains(&layers[0].name) && text.contains(&layers[1].name);
            assert!(named && text.contains("share the weights \"conv.w\""), "{text}");
            continue;
        }
        for (name, q) in &found.unwrap().weights {
            assert_eq!(q.grid.bits.get(), 8, "{} {name}", card.name);
        }
    }
}

/// The tiny network with one output channel of a free layer at zero, and that layer's name.
fn with_zero_channel() -> (Graph, String, String) {
    let mut graph = tiny();
    let layer = graph.layers().into_iter().find(|l| !l.is_first && !l.is_last).unwrap();
    let mut weight: Tensor = graph.weight(&layer.weight).unwrap();
    assert_eq!(layer.axis, 0);
    let stride = weight.stride();
    weight.data[..stride].fill(0.0);
    graph.set_weight(&layer.weight, &weight).unwrap();
    (graph, layer.name, layer.weight)
}

#[test]
fn an_all_zero_channel_gets_scale_one_and_a_note() {
    let Some(engine) = engine() else { return };
    let (graph, layer, weight) = with_zero_channel();
    // Training does not leave such a channel as it is.
    let labelled = |m: &&&dyn Method| m.grant() == quantbench_core::Needs::Labelled;
    for method in ALL.iter().filter(|m| !labelled(m)) {
        let label = &label(*method, 4);
        let artefact = Run::new(engine, &graph, *method, label).go(*method).unwrap();
        let q = &artefact.weights[&weight];
        let stride = q.codes.len() / q.dims[0];
        let largest = q.dequantize().data[..stride].iter().fold(0f32, |m, v| m.max(v.abs()));
        // A binary grid has no zero: its scale is as good as nothing instead.
        let binary = q.grid.levels == Levels::Binary;
        assert!(largest <= if binary { 1e-29 } else { 0.0 }, "{}", method.card().name);
        let own = !binary && q.grid.granularity != Granularity::Tensor;
        assert!(!own || q.grid.scale[0] == 1.0, "{}", method.card().name);
        let noted = artefact.notes.iter().any(|n| n.contains(&layer) && n.contains("all-zero"));
        assert!(noted, "{}: {:?}", method.card().name, artefact.notes);
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    let Some(engine) = engine() else { return };
    let (mut graph, _, name) = with_zero_channel();
    let mut weight = graph.weight(&name).unwrap();
    weight.data[3] = f32::INFINITY;
    graph.set_weight(&name, &weight).unwrap();
    for method in ALL {
        let label = &label(*method, 4);
        let error = Run::new(engine, &graph, *method, label).go(*method).unwrap_err();
        assert!(matches!(error, MethodError::NotFinite { .. }), "{}: {error}", method.card().name);
    }
}

#[test]
fn squant_leaves_the_image_alone_and_says_so() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let squant = find("squant").unwrap();
    let mut run = Run::new(engine, &graph, squant, "w4a4");
    run.spec.image = ImageRule::EightBit;
    let artefact = run.go(squant).unwrap();
    assert!(!artefact.activations.contains_key(graph.input()));
    assert!(artefact.notes.iter().any(|n| n.contains("FP32")));
}

#[test]
fn sensitivity_keeps_its_budget() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let method = find("sensitivity").unwrap();
    for budget in ["size", "bit-operations"] {
        for label in ["w2a4", "w3a4", "w5a4", "w8a8"] {
            let given = [("budget", ParamValue::Text(budget.to_string()))];
            let run = Run::new(engine, &graph, method, label).with(method, &given);
            let artefact = run.go(method).unwrap();
            let layers = graph.layers();
            let found = sites(&graph, &run.spec).unwrap();
            let (mut used, mut allowed) = (0, 0);
            for site in found.weights.iter().filter(|s| s.free) {
                let layer = &layers[site.layer];
                let each = if budget == "size" { layer.parameters() } else { layer.macs };
                used += each * u64::from(artefact.weights[&layer.weight].grid.bits.get());
                allowed += each * u64::from(site.bits.get());
            }
            assert!(used <= allowed, "{budget} {label}: {used} > {allowed}");
            let tight = artefact.notes.iter().any(|n| n.contains("nothing to choose"));
            assert_eq!(tight, label == "w2a4" || label == "w8a8");
        }
    }
}

#[test]
fn batch_norm_re_estimation_restores_mean_and_deviation() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for name in ["bwn", "twn"] {
        let method = find(name).unwrap();
        let given = [("bn_reestimate", ParamValue::Bool(true))];
        let run = Run::new(engine, &graph, method, &label(method, 32)).with(method, &given);
        let artefact = run.go(method).unwrap();
        assert!(run.vault.images_read() > 0);
        batch_norms_hold(engine, &graph, &artefact);
    }
}

/// Asserts that layers' outputs have the mean and deviation of their batch norms.
fn batch_norms_hold(engine: quantbench_engine::Engine, graph: &Graph, artefact: &Artefact) {
    // The artefact's graph holds the projected values: its layers' outputs have the statistics of
    // the batch norms on the images that they were estimated on.
    let pictures = Pictures::new(graph, 40);
    let mut checked = 0;
    for layer in graph.layers() {
        let Some(norm) = graph.norm_stats(&layer.output) else { continue };
        let mut stats =
            quantbench_methods::parts::channel_stats::ChannelStats::new(layer.channels());
        engine
            .taps(&artefact.graph, &[&layer.output], &pictures, 16, &mut |_, dims, data| {
                stats.add(dims, data);
            })
            .unwrap();
        for c in 0..layer.channels() {
            let (mean, std) = (f64::from(norm.mean[c]), f64::from(norm.std[c]));
            assert!((stats.mean(c) - mean).abs() < 1e-3 * (1.0 + std), "{} {c}", layer.name);
            assert!((stats.deviation(c) - std).abs() < 1e-3 * (1.0 + std), "{} {c}", layer.name);
            checked += 1;
        }
    }
    assert!(checked > 0);
}
