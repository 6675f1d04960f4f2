//! Networks against ONNX Runtime, and their gradients against differences.

use std::collections::BTreeMap;

use quantbench_core::{ImageSource, Tensor};
use quantbench_graph::Graph;

use super::*;
use crate::Engine;
use crate::autodiff::kernels::tests::noise;
use crate::autodiff::{Device, Isa, Value, ops};
use crate::testing::{Values, runtime, tiny_net};

mod operators;

/// The logits of a network on the engine's own kernels, norms frozen.
fn logits(graph: &Graph, images: &Tensor, isa: Isa) -> Tensor {
    let network = Network::new(graph, &[]).unwrap();
    let device = Device::with(isa);
    let mut tape = Tape::new(&device);
    let image = tape.constant(Value::Map(device.map(images).unwrap()));
    let parameters = network.parameters().iter();
    let parameters = parameters.map(|(n, t)| (n.clone(), tape.parameter(t))).collect();
    let inputs = BTreeMap::from([(network.input().to_string(), image)]);
    let run = network.run(&mut tape, inputs, &parameters, false, &mut Unchanged).unwrap();
    tape.map(run.values[network.output()]).to_tensor()
}

/// Largest difference over the largest logit.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    let largest = b.data.iter().fold(0f32, |m, v| m.max(v.abs()));
    a.data.iter().zip(&b.data).fold(0f32, |m, (x, y)| m.max((x - y).abs())) / largest
}

#[test]
fn logits_are_those_of_onnx_runtime() {
    let Some(runtime) = runtime() else { return };
    let mut nets = vec![
        ("tiny".to_string(), tiny_net(1), vec![3, 8, 8]),
        ("default".to_string(), quantbench_datasets::DEFAULT_MODEL.to_vec(), vec![3, 32, 32]),
    ];
    match std::env::var_os("QUANTBENCH_DATA").map(std::path::PathBuf::from) {
        Some(folder) => {
            for name in ["resnet8", "resnet20", "resnet32"] {
                let path = folder.join("models").join(format!("{name}-cifar10.onnx"));
                nets.push((name.to_string(), std::fs::read(path).unwrap(), vec![3, 32, 32]));
            }
        }
        None => println!("skipped for trained CIFAR-10 models: QUANTBENCH_DATA is not set"),
    }
    for (name, net, dims) in nets {
        let images = Values::random(&dims, 128, 3);
        let graph = Graph::from_bytes(&net, &name).unwrap();
        let want = Engine::new(runtime, 2).logits(&graph, &images, 128).unwrap();
        let batch = images.batch(0, 128).unwrap();
        let few = images.batch(0, 8).unwrap();
        let best = Isa::best().name();
        for isa in Isa::available() {
            for graph in [graph.fold_constants().unwrap(), graph.fold().unwrap()] {
                // Slow instruction sets see some of the images.
                let batch = if isa.name() == best { &batch } else { &few };
                let found = logits(&graph, batch, isa);
                let mut want = want.clone();
                want.data.truncate(found.data.len());
                let off = difference(&found, &want);
                assert!(off < 1e-3, "{name} on {}: {off}", isa.name());
            }
        }
    }
}

#[test]
fn training_steps_lower_the_loss_and_move_the_norms() {
    let graph = Graph::from_bytes(&tiny_net(2), "tiny").unwrap().fold_constants().unwrap();
    let mut network = Network::new(&graph, &[]).unwrap();
    let mut parameters = network.parameters().clone();
    let device = Device::new();
    let images = noise(&[16, 3, 8, 8], 5);
    let labels: Vec<u16> = (0..16).map(|i| i % 5).collect();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let mut tape = Tape::new(&device);
        let image = tape.constant(Value::Map(device.map(&images).unwrap()));
        let vars: BTreeMap<String, Var> =
            parameters.iter().map(|(n, t)| (n.clone(), tape.parameter(t))).collect();
        let inputs = BTreeMap::from([(network.input().to_string(), image)]);
        let run = network.run(&mut tape, inputs, &vars, true, &mut Unchanged).unwrap();
        let output = run.values[network.output()];
        let loss = ops::cross_entropy(&mut tape, output, &labels, 0.0).unwrap();
        losses.push(tape.scalar(loss));
        network.update_norms(&run, &tape, 0.1);
        let mut gradients = tape.backward(loss);
        for (name, tensor) in &mut parameters {
            if let Some(gradient) = gradients.flat(vars[name]) {
                let pairs = tensor.data.iter_mut().zip(&gradient.data);
                pairs.for_each(|(w, g)| *w -= 0.05 * g);
            }
        }
    }
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    let before = Network::new(&graph, &[]).unwrap();
    for (now, before) in network.norms().iter().zip(before.norms()) {
        assert_ne!(now.moments, before.moments);
        assert!(now.moments.variance.iter().all(|v| *v > 0.0));
    }
}

#[test]
fn what_cannot_be_trained_is_named() {
    let net = crate::testing::one_node("Cast", "tail/cast", vec![crate::testing::int("to", 7)]);
    let graph = Graph::from_bytes(&net, "net.onnx").unwrap();
    let error = Network::new(&graph, &[]).unwrap_err().to_string();
    assert!(error.contains("net.onnx: node \"tail/cast\" (Cast)"), "{error}");
}
