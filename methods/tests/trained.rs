//! Methods that train: what training does to a network with batch norms, and that it can fail.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use std::sync::Arc;

use common::{Pictures, Run, engine, tiny};
use quantbench_core::card::ParamValue;
use quantbench_core::{ImageSource, Levels};
use quantbench_engine::Optimisation;
use quantbench_engine::autodiff::{Device, outputs};
use quantbench_graph::{Artefact, ExportOptions, Graph, decode, encode, export, testing};
use quantbench_methods::{ALL, Keeper, Method, MethodError, Vault, find};

/// The tiny network with its batch norms.
fn unfolded() -> Graph {
    let graph = Graph::from_bytes(&testing::tiny_resnet(7), "tiny").unwrap();
    graph.fold_constants().unwrap()
}

/// Mean cross entropy of an exported artefact on its training images.
fn loss(run: &Run<'_>, onnx: &[u8], pictures: &Pictures, labels: &[u16]) -> f64 {
    let mut session = run.engine.session(onnx, Optimisation::Off).unwrap();
    let logits = session.run(&pictures.batch(0, pictures.len()).unwrap()).unwrap().remove(0);
    let classes = logits.stride();
    let rows = logits.data.chunks(classes).zip(labels);
    let total: f64 = rows
        .map(|(row, label)| {
            let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
            sum.ln() - f64::from(row[usize::from(*label)])
        })
        .sum();
    total / labels.len() as f64
}

#[test]
fn training_lowers_the_loss_of_the_artefact_and_folds_batch_norm_into_grids() {
    let Some(engine) = engine() else { return };
    let mut whole = unfolded();
    // One gamma is negative, which turns the grid of its channel around.
    let mut gamma = whole.weight("a.gamma").unwrap();
    gamma.data[1] = -gamma.data[1].abs();
    whole.set_weight("a.gamma", &gamma).unwrap();
    let graph = whole.fold().unwrap();
    let pictures = Arc::new(Pictures::new(&graph, 48));
    let labels = quantbench_core::LabelledSource::labels(&*pictures).to_vec();
    let method = find("lsq").unwrap();
    let after = |epochs: i64, rate: f64| {
        let given = [
            ("epochs", ParamValue::Int(epochs)),
            ("rate", ParamValue::Float(rate)),
            ("augment", ParamValue::Bool(false)),
        ];
        let run = Run {
            unfolded: Some(&whole),
            vault: Vault::with_calibration(pictures.clone()),
            ..Run::new(engine, &graph, method, "w4a4").with(method, &given)
        };
        let artefact = run.go(method).unwrap();
        artefact.check().unwrap();
        let onnx = export(&artefact, ExportOptions::default()).unwrap();
        assert!(run.vault.labels_read() > 0);
        (loss(&run, &onnx, &pictures, &labels), artefact)
    };
    let (before, untouched) = after(1, 0.0);
    let (trained, artefact) = after(60, 0.05);
    assert!(trained < 0.7 * before, "{trained} after training, {before} before");
    // The same seed gives the same bytes.
    assert_eq!(encode(&after(2, 0.05).1), encode(&after(2, 0.05).1));
    let unsigned = |l: &Levels| matches!(l, Levels::Affine { qmin: 0, .. });
    assert!(unsigned(&untouched.weights["a.w"].grid.levels));
    assert_eq!(untouched.weights["a.w"].grid.zero_point[..3], [8, 7, 8]);
    assert!(!artefact.weights.is_empty());
    // Weights are the folded ones as near as a step allows.
    for layer in graph.layers() {
        let float = graph.weight(&layer.weight).unwrap();
        let quantized = &untouched.weights[&layer.weight];
        let (_, channels, inner) = quantized.grid.layout(&quantized.dims);
        let found = quantized.dequantize();
        let (mut off, mut all) = (0f64, 0f64);
        for (i, (f, w)) in found.data.iter().zip(&float.data).enumerate() {
            let (low, high) = quantized.grid.ends(i / inner % channels);
            off += f64::from((f - w.clamp(low, high)).powi(2));
            all += f64::from(w.powi(2));
        }
        assert!(off < 0.1 * all, "{}: {off} of {all}", layer.name);
    }
}

/// The methods that train.
fn trainers() -> impl Iterator<Item = &'static &'static dyn Method> {
    ALL.iter().filter(|m| m.card().params.iter().any(|p| p.name == "epochs"))
}

/// What is trained is what is exported: on nearly all images the runtime gives the engine's logits.
/// On the others a number lay so near a threshold that the order of a sum decided.
#[test]
fn the_runtime_gives_the_logits_of_the_engine_for_every_trained_grid() {
    let Some(engine) = engine() else { return };
    let (graph, whole) = (tiny(), unfolded());
    for method in trainers() {
        for widths in ["w2a2", "w4a4"] {
            let given = [("rate", ParamValue::Float(0.001))];
            let run = Run::new(engine, &graph, *method, widths).with(*method, &given);
            let artefact = Run { unfolded: Some(&whole), ..run }.go(*method).unwrap();
            // As it comes out of the store.
            let artefact = decode(&encode(&artefact), "artefact").unwrap();
            let onnx = export(&artefact, ExportOptions::default()).unwrap();
            let pictures = Pictures::new(&graph, 200);
            let images = pictures.batch(0, 200).unwrap();
            let mut session = engine.session(&onnx, Optimisation::Off).unwrap();
            let theirs = session.run(&images).unwrap().remove(0);
            let classes = theirs.stride();
            let ours = outputs(&artefact, &Device::new(), &images).unwrap();
            let largest = theirs.data.iter().fold(0f32, |m, v| m.max(v.abs()));
            let rows = ours.data.chunks(classes).zip(theirs.data.chunks(classes));
            let far = |(a, b): &(&[f32], &[f32])| {
                a.iter().zip(*b).any(|(a, b)| (a - b).abs() > 1e-3 * largest)
            };
            let off = rows.filter(far).count();
            let name = method.card().name;
            assert!(off <= 30, "{name} {widths}: {off} of 200 images differ");
        }
    }
}

/// Keeps checkpoints in memory, and breaks off when it is shown a certain epoch.
#[derive(Default)]
struct Memory {
    kept: Option<Vec<u8>>,
    breaks_at: usize,
    shown: Vec<usize>,
}

impl Keeper for Memory {
    fn load(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.kept.clone())
    }

    fn save(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.kept = Some(bytes.to_vec());
        Ok(())
    }

    fn snapshot(&mut self, epoch: usize, artefact: &Artefact) -> Result<(), String> {
        artefact.check().unwrap();
        self.shown.push(epoch);
        if epoch == self.breaks_at { Err("the power went out".to_string()) } else { Ok(()) }
    }
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bytes() {
    let Some(engine) = engine() else { return };
    let (graph, whole) = (tiny(), unfolded());
    for method in trainers() {
        let given = [
            ("epochs", ParamValue::Int(4)),
            ("rate", ParamValue::Float(0.002)),
            ("every", ParamValue::Int(1)),
        ];
        let known = |name: &str| method.card().params.iter().any(|p| p.name == name);
        let given: Vec<_> = given.into_iter().filter(|(name, _)| known(name)).collect();
        let run = Run::new(engine, &graph, *method, "w2a2").with(*method, &given);
        let run = Run { unfolded: Some(&whole), ..run };
        let straight = encode(&run.go(*method).unwrap());
        let name = method.card().name;
        let mut memory = Memory { breaks_at: 3, ..Memory::default() };
        let error = run.go_kept(*method, &mut memory).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("the power went out"), "{name}: {error}");
        memory.breaks_at = 0;
        let resumed = encode(&run.go_kept(*method, &mut memory).unwrap());
        assert_eq!(memory.shown, [1, 2, 3, 3, 4], "{name}");
        assert!(resumed == straight, "{name}: going on gave another artefact");
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    let Some(engine) = engine() else { return };
    let (graph, whole) = (tiny(), unfolded());
    let mut memory = Memory::default();
    for (name, reason) in [("lsq", ""), ("pact", "parameter")] {
        let method = find(name).unwrap();
        let run = Run { unfolded: Some(&whole), ..Run::new(engine, &graph, method, "w2a2") };
        match run.go_kept(method, &mut memory) {
            Ok(_) => assert!(reason.is_empty()),
            Err(error) => {
                let text = error.to_string();
                assert!(!reason.is_empty() && text.contains("remove it to begin again"), "{text}");
                assert!(text.contains(reason), "{text}");
            }
        }
    }
    let method = find("lsq").unwrap();
    let run = Run { unfolded: Some(&whole), ..Run::new(engine, &graph, method, "w2a2") };
    memory.kept = memory.kept.map(|bytes| bytes[..bytes.len() / 2].to_vec());
    let text = run.go_kept(method, &mut memory).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("remove it to begin again"), "{text}");
}

#[test]
fn what_cannot_be_trained_says_why() {
    let Some(engine) = engine() else { return };
    let (graph, whole) = (tiny(), unfolded());
    let method = find("lsq").unwrap();
    let go = |given: &[(&str, ParamValue)]| {
        let run = Run::new(engine, &graph, method, "w4a4").with(method, given);
        Run { unfolded: Some(&whole), ..run }.go(method).map(|_| ()).unwrap_err()
    };
    let error = go(&[("batch", ParamValue::Int(41))]);
    assert!(matches!(error, MethodError::Batches(_)), "{error}");
    assert!(error.to_string().contains("batches of 41 images"), "{error}");
    // An image with a number that is none: training ends at once.
    let mut pictures = Pictures::new(&graph, 40);
    pictures.data.iter_mut().for_each(|v| *v = f32::NAN);
    let vault = Vault::with_calibration(Arc::new(pictures));
    let run = Run { unfolded: Some(&whole), vault, ..Run::new(engine, &graph, method, "w4a4") };
    let message = run.go(method).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("step 0"), "{message}");
}
