//! GPTQ and OBQ on a network: what their rounding does to the layers' outputs.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use common::{Pictures, Run, engine, tiny};
use quantbench_core::ParamValue;
use quantbench_engine::Engine;
use quantbench_graph::testing::{Builder, int, ints};
use quantbench_graph::{Artefact, Graph, Layer, encode};
use quantbench_methods::find;

/// Squared error of a layer's output when its weights alone are quantized.
fn output_error(engine: Engine, graph: &Graph, layer: &Layer, artefact: &Artefact) -> f64 {
    let tap = |graph: &Graph| {
        let mut all = Vec::new();
        let pictures = Pictures::new(graph, 40);
        let mut each = |_: usize, _: &[usize], data: &[f32]| all.extend_from_slice(data);
        engine.taps(graph, &[&layer.output], &pictures, 16, &mut each).unwrap();
        all
    };
    let mut quantized = graph.clone();
    let weights = artefact.weights[&layer.weight].dequantize();
    quantized.set_weight(&layer.weight, &weights).unwrap();
    tap(graph).iter().zip(tap(&quantized)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// Grouped, depthwise, strided and dilated convs and an FC.
fn mixed() -> Graph {
    let mut b = Builder::new(4);
    let one = b.conv_bn("input", "one", (3, 8), 1, 1);
    b.node("Relu", &[&one], "r1", vec![]);
    let two = b.conv_bn("r1", "two", (8, 8), 2, 8);
    b.node("Relu", &[&two], "r2", vec![]);
    let w = b.random(&[6, 4, 3, 3], 0.3, 0.0);
    b.weight("three.w", &w);
    let attributes = vec![ints("dilations", &[2, 2]), ints("pads", &[2; 4]), int("group", 2)];
    b.node("Conv", &["r2", "three.w"], "three", attributes);
    b.node("Relu", &["three"], "r3", vec![]).node("Flatten", &["r3"], "f", vec![]);
    let fc = b.random(&[96, 4], 0.2, 0.0);
    b.weight("fc.w", &fc).node("Gemm", &["f", "fc.w"], "logits", vec![]);
    Graph::from_bytes(&b.finish(&[3, 8, 8], "logits"), "mixed").unwrap().fold().unwrap()
}

#[test]
fn outputs_suffer_less_than_from_rounding_to_nearest() {
    let Some(engine) = engine() else { return };
    for graph in [tiny(), mixed()] {
        let mse = find("mse").unwrap();
        let run = |method: &dyn quantbench_methods::Method, given: &[(&str, ParamValue)]| {
            let mut run = Run::new(engine, &graph, method, "w3a32").with(method, given);
            run.spec.first_last = quantbench_core::FirstLast::Same;
            run.go(method).unwrap()
        };
        let plain = run(mse, &[]);
        for name in ["gptq", "obq"] {
            let method = find(name).unwrap();
            let fitted = run(method, &[("inputs", ParamValue::Text("fp32".into()))]);
            let (mut sums, layers) = ((0.0, 0.0), graph.layers());
            for layer in &layers {
                let [own, nearest] =
                    [&fitted, &plain].map(|a| output_error(engine, &graph, layer, a));
                assert!(own <= nearest * 1.02, "{name} {}: {own} > {nearest}", layer.name);
                sums = (sums.0 + own / nearest, sums.1 + 1.0);
            }
            assert!(sums.0 / sums.1 < 0.85, "{name}: mean share {}", sums.0 / sums.1);
        }
    }
}

#[test]
fn passes_are_as_many_as_the_inputs_ask_for() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    for name in ["gptq", "obq"] {
        let method = find(name).unwrap();
        let mut artefacts = Vec::new();
        for (inputs, passes) in [("fp32", 1), ("quantized", 5)] {
            let given = [("inputs", ParamValue::Text(inputs.into()))];
            let run = Run::new(engine, &graph, method, "w2a32").with(method, &given);
            artefacts.push(encode(&run.go(method).unwrap()));
            assert_eq!(run.vault.images_read(), 40 * passes, "{name} {inputs}");
        }
        assert_ne!(artefacts[0], artefacts[1], "{name}");
    }
}

#[test]
fn thinned_positions_and_other_parameters_change_the_codes() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let method = find("gptq").unwrap();
    let run = |given: &[(&str, ParamValue)]| {
        encode(&Run::new(engine, &graph, method, "w3a32").with(method, given).go(method).unwrap())
    };
    let all = run(&[]);
    for given in [
        ("positions", ParamValue::Int(7)),
        ("act_order", ParamValue::Bool(true)),
        ("damping", ParamValue::Float(1.0)),
        ("ranges", ParamValue::Text("minmax".into())),
        ("weights", ParamValue::Text("affine".into())),
    ] {
        assert_ne!(all, run(std::slice::from_ref(&given)), "{given:?}");
    }
    assert_eq!(all, run(&[("positions", ParamValue::Int(64))]), "all there are");
}

#[test]
fn inputs_that_are_always_zero_are_told() {
    let Some(engine) = engine() else { return };
    // The first conv's bias silences its second channel.
    let mut graph = tiny();
    let layers = graph.layers();
    let mut bias = graph.bias(&layers[0]).unwrap().unwrap().data;
    bias[1] = -1e4;
    graph.set_bias(&layers[0], &bias).unwrap();
    for name in ["gptq", "obq"] {
        let method = find(name).unwrap();
        let artefact = Run::new(engine, &graph, method, "w3a32").go(method).unwrap();
        let note = artefact.notes.iter().find(|n| n.contains("always zero")).unwrap();
        assert!(note.starts_with(&format!("{}: 9 inputs", layers[1].name)), "{note}");
        // Their weights keep the nearest level.
        let q = &artefact.weights[&layers[1].weight];
        let float = graph.weight(&layers[1].weight).unwrap();
        let nearest = q.grid.quantize(&float).unwrap();
        for o in 0..8 {
            let range = o * 72 + 9..o * 72 + 18;
            assert_eq!(q.codes[range.clone()], nearest.codes[range], "{name}");
        }
    }
}
