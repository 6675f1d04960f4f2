//! Methods that reconstruct: that outputs come nearer to those in float, and what they leave alone.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use std::sync::Arc;

use common::{Pictures, Run, engine};
use quantbench_core::ImageSource;
use quantbench_core::card::ParamValue;
use quantbench_engine::{Engine, Optimisation};
use quantbench_graph::{Artefact, ExportOptions, Graph, encode, export, testing};
use quantbench_methods::{Vault, find};

/// The tiny network with its batch norms, and folded.
fn tiny() -> (Graph, Graph) {
    let graph = Graph::from_bytes(&testing::tiny_resnet(7), "tiny").unwrap();
    (graph.fold_constants().unwrap(), graph.fold().unwrap())
}

/// The logits of a model.
fn logits(engine: &Engine, onnx: &[u8], pictures: &Pictures) -> Vec<f32> {
    let mut session = engine.session(onnx, Optimisation::Off).unwrap();
    session.run(&pictures.batch(0, pictures.len()).unwrap()).unwrap().remove(0).data
}

/// Mean squared distance of an artefact's logits from those in float.
fn distance(engine: &Engine, graph: &Graph, artefact: &Artefact, pictures: &Pictures) -> f64 {
    let float = logits(engine, &graph.to_bytes(), pictures);
    let onnx = export(artefact, ExportOptions::default()).unwrap();
    let pairs = logits(engine, &onnx, pictures).into_iter().zip(&float);
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / float.len() as f64
}

/// A method's artefact of 64 images at some widths.
fn artefact(
    engine: Engine,
    name: &str,
    label: &str,
    given: &[(&str, ParamValue)],
) -> (Artefact, f64) {
    let (unfolded, graph) = tiny();
    let method = find(name).unwrap();
    let pictures = Arc::new(Pictures::new(&graph, 64));
    let run = Run {
        unfolded: Some(&unfolded),
        vault: Vault::with_calibration(pictures.clone()),
        ..Run::new(engine, &graph, method, label).with(method, given)
    };
    let artefact = run.go(method).unwrap();
    artefact.check().unwrap();
    let distance = distance(&run.engine, &graph, &artefact, &pictures);
    (artefact, distance)
}

fn int(name: &str, value: i64) -> (&str, ParamValue) {
    (name, ParamValue::Int(value))
}

fn float(name: &str, value: f64) -> (&str, ParamValue) {
    (name, ParamValue::Float(value))
}

#[test]
fn adaquant_brings_outputs_nearer_by_weights_biases_and_steps() {
    let Some(engine) = engine() else { return };
    let (_, graph) = tiny();
    let still = ["rate", "bias_rate", "range_rate", "input_range_rate"].map(|n| float(n, 0.0));
    let (start, before) = artefact(engine, "adaquant", "w3a4", &still);
    // Nothing moved, so the network in float is the one that was given.
    assert_eq!(start.graph.to_bytes(), graph.to_bytes());
    let given = [int("iterations", 200), float("rate", 1e-3)];
    let (learned, after) = artefact(engine, "adaquant", "w3a4", &given);
    assert!(after < 0.7 * before, "{after} after learning, {before} before");
    for layer in graph.layers() {
        let (old, new) = (&start.weights[&layer.weight], &learned.weights[&layer.weight]);
        assert_ne!(old.grid.scale, new.grid.scale, "{}", layer.name);
        let bias = layer.bias.unwrap();
        assert_ne!(graph.weight(&bias).unwrap(), learned.graph.weight(&bias).unwrap(), "{bias}");
        let (old, new) = (&start.activations[&layer.input], &learned.activations[&layer.input]);
        assert_ne!(old.scale, new.scale, "{}", layer.input);
    }
}

#[test]
fn a_rate_far_too_high_is_guarded_and_counted_once() {
    let Some(engine) = engine() else { return };
    let given = [int("iterations", 30), float("input_range_rate", 10.0)];
    let (learned, _) = artefact(engine, "adaquant", "w4a4", &given);
    let notes = learned.notes.iter().filter(|n| n.contains("kept from vanishing"));
    assert_eq!(notes.count(), 1, "{:?}", learned.notes);
    assert!(learned.activations.values().all(|g| g.scale[0] > 0.0));
}

#[test]
fn predictions_and_corrections_change_what_blocks_learn() {
    let Some(engine) = engine() else { return };
    let with = |weight: f64, corrections: i64| {
        let given = [
            int("iterations", 150),
            int("correction_iterations", corrections),
            float("block_weight", weight),
            float("rounding_rate", 1e-2),
            float("correction_rate", 1e-2),
        ];
        artefact(engine, "pd-quant", "w2a4", &given)
    };
    let (learned, after) = with(0.1, 20);
    let still = [float("rounding_rate", 0.0), float("step_rate", 0.0)];
    let (_, before) = artefact(engine, "pd-quant", "w2a4", &still);
    assert!(after < 0.7 * before, "{after} after learning, {before} before");
    let bytes = encode(&learned);
    assert_ne!(bytes, encode(&with(1e6, 20).0), "the difference of predictions counts");
    assert_ne!(bytes, encode(&with(0.1, 0).0), "corrections count");
    assert_eq!(bytes, encode(&with(0.1, 20).0));
}

/// Mean cross entropy of an artefact.
fn cross_entropy(engine: &Engine, artefact: &Artefact, pictures: &Pictures) -> f64 {
    let onnx = export(artefact, ExportOptions::default()).unwrap();
    let logits = logits(engine, &onnx, pictures);
    let classes = logits.len() / pictures.len();
    let rows = logits.chunks(classes).zip(&pictures.labels);
    let losses = rows.map(|(row, label)| {
        let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
        sum.ln() - f64::from(row[usize::from(*label)])
    });
    losses.sum::<f64>() / pictures.len() as f64
}

#[test]
fn lapq_lowers_the_loss_of_the_artefact_from_start_to_search() {
    let Some(engine) = engine() else { return };
    let (_, graph) = tiny();
    let mut pictures = Pictures::new(&graph, 96);
    let exact = logits(&engine, &graph.to_bytes(), &pictures);
    let classes = exact.len() / pictures.len();
    let largest = |row: &[f32]| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    pictures.labels = exact.chunks(classes).map(|row| largest(row) as u16).collect();
    let pictures = Arc::new(pictures);
    let go = |name: &str, given: &[(&str, ParamValue)]| {
        let method = find(name).unwrap();
        let vault = Vault::with_calibration(pictures.clone());
        let run = Run { vault, ..Run::new(engine, &graph, method, "w3a3").with(method, given) };
        let artefact = run.go(method).unwrap();
        artefact.check().unwrap();
        let labels = run.vault.labels_read();
        (cross_entropy(&run.engine, &artefact, &pictures), artefact, labels)
    };
    let lp = [2.0, 3.0, 4.0].map(|p| go("lp", &[float("p", p)]).0);
    let (start, _, labels) = go("lapq", &[int("passes", 0)]);
    assert_eq!(labels, 96);
    assert!(lp.iter().all(|loss| start <= loss + 1e-4), "{start} {lp:?}");
    let (once, _, _) = go("lapq", &[int("passes", 1)]);
    let (thrice, artefact, _) = go("lapq", &[int("passes", 3)]);
    assert!(once < start - 1e-3 && thrice <= once + 1e-5, "{start} {once} {thrice}");
    // First and last layer, the image and what the last layer reads keep their grids.
    let (_, untouched, _) = go("lapq", &[int("passes", 0)]);
    let layers = graph.layers();
    for layer in layers.iter().filter(|l| l.is_first || l.is_last) {
        assert_eq!(artefact.weights[&layer.weight], untouched.weights[&layer.weight]);
        assert_eq!(artefact.activations[&layer.input], untouched.activations[&layer.input]);
    }
    let (fewer, _, labels) = go("lapq", &[int("passes", 1), int("images", 32)]);
    assert!(labels == 32 && fewer.is_finite());
}
