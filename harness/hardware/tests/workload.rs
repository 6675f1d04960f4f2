//! From graphs and artefacts to workloads.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use quantbench_core::{Bits, Grid, QuantTensor};
use quantbench_graph::testing::{Builder, int, ints, tiny_resnet};
use quantbench_graph::{Artefact, Graph, bit_operations};
use quantbench_hardware::{CostError, WorkKind, Workload, WorkloadError};

fn load(bytes: &[u8]) -> Graph {
    Graph::from_bytes(bytes, "tiny.onnx").unwrap().fold().unwrap()
}

fn tiny() -> Graph {
    load(&tiny_resnet(1))
}

/// A grouped, a depthwise, a strided 1x1 and a dilated conv, then a MatMul with weights.
fn mixed() -> Graph {
    let mut b = Builder::new(2);
    let mut conv = |input: &str, name: &str, dims: [usize; 4], attributes| {
        let weights = b.random(&dims, 0.2, 0.0);
        b.weight(&format!("{name}.w"), &weights);
        b.node("Conv", &[input, &format!("{name}.w")], name, attributes);
    };
    conv("input", "grouped", [16, 4, 3, 3], vec![int("group", 2), ints("pads", &[1; 4])]);
    conv("grouped", "depthwise", [16, 1, 3, 3], vec![int("group", 16), ints("strides", &[2, 2])]);
    conv("depthwise", "point", [8, 16, 1, 1], vec![ints("strides", &[2, 2])]);
    conv("point", "dilated", [8, 8, 2, 2], vec![ints("dilations", &[2, 2])]);
    b.node("GlobalAveragePool", &["dilated"], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "flat", vec![int("axis", 1)]);
    let weights = b.random(&[8, 5], 0.2, 0.0);
    b.weight("fc.w", &weights);
    b.node("MatMul", &["flat", "fc.w"], "logits", vec![]);
    load(&b.finish(&[8, 19, 19], "logits"))
}

#[test]
fn layers_are_those_of_the_graph() {
    let graph = tiny();
    let workload = Workload::uniform(&graph, 8, 4).unwrap();
    let layers = graph.layers();
    assert_eq!(workload.layers.len(), layers.len());
    for (work, layer) in workload.layers.iter().zip(&layers) {
        assert_eq!(
            (&work.name, work.macs(), work.weights()),
            (&layer.name, layer.macs, layer.parameters())
        );
        assert_eq!((work.weight_bits, work.activation_bits, work.is_first), (8, 4, layer.is_first));
        assert_eq!(work.outputs(), graph.item_elements(&layer.output) as u64);
    }
    let stem = &workload.layers[0];
    assert_eq!((stem.pixels, stem.window, stem.filters, stem.groups), (64, 27, 8, 1));
    assert_eq!(
        (stem.input_elements, &stem.kernel, &stem.output_size),
        (3 * 64, &vec![3, 3], &vec![8, 8])
    );
    let bytes = stem.bytes();
    assert_eq!((bytes.input, bytes.weights, bytes.output), (3 * 64 / 2, 27 * 8, 8 * 64 / 2));
    assert_eq!(stem.bit_operations(), stem.macs() * 32);
    let fc = workload.layers.last().unwrap();
    assert_eq!(
        (fc.kind, fc.pixels, fc.window, fc.filters, fc.input_elements),
        (WorkKind::Fc, 1, 16, 4, 16)
    );
}

#[test]
fn groups_strides_and_dilations_count_what_windows_touch() {
    let workload = Workload::uniform(&mixed(), 8, 8).unwrap();
    let shapes: Vec<_> = workload
        .layers
        .iter()
        .map(|w| (w.groups, w.pixels, w.window, w.filters, w.input_elements))
        .collect();
    assert_eq!(
        shapes,
        [
            (2, 19 * 19, 36, 8, 8 * 19 * 19),
            (16, 81, 9, 1, 16 * 19 * 19),
            (1, 25, 16, 8, 16 * 25),
            (1, 9, 32, 8, 8 * 25),
            (1, 1, 8, 5, 8),
        ]
    );
    assert!(workload.layers[1].is_depthwise() && !workload.layers[0].is_depthwise());
    // Every shipped model maps all of them.
    for profile in common::modelled() {
        assert_eq!(profile.cost(&workload).unwrap().layers.len(), 5, "{}", profile.name);
    }
}

#[test]
fn a_product_of_two_activations_is_work_too() {
    let mut b = Builder::new(3);
    let weights = b.random(&[6, 6], 0.2, 0.0);
    b.weight("q.w", &weights);
    b.node("MatMul", &["input", "q.w"], "q", vec![]);
    b.node("Transpose", &["input"], "turned", vec![ints("perm", &[0, 1, 3, 2])]);
    b.node("MatMul", &["q", "turned"], "scores", vec![]);
    b.node("Flatten", &["scores"], "logits", vec![int("axis", 1)]);
    let graph = load(&b.finish(&[2, 5, 6], "logits"));
    let workload = Workload::uniform(&graph, 4, 8).unwrap();
    let [linear, product] = &workload.layers[..] else { panic!("{:?}", workload.layers) };
    assert_eq!(
        (linear.kind, linear.pixels, linear.window, linear.filters),
        (WorkKind::Fc, 10, 6, 6)
    );
    assert_eq!(product.kind, WorkKind::Product);
    assert_eq!((product.groups, product.pixels, product.window, product.filters), (2, 5, 6, 5));
    assert_eq!((product.weight_bits, product.activation_bits, product.weights()), (8, 8, 60));
    assert_eq!(workload.bit_operations(), 360 * 32 + 300 * 64);
    let error = common::profile("eyeriss").cost(&workload).unwrap_err();
    let text = "eyeriss.yaml: cost.model: layer \"MatMul_scores\" cannot be mapped: rows stay";
    assert!(error.to_string().starts_with(text), "{error}");
}

#[test]
fn an_artefact_has_widths_of_its_own_and_the_same_bit_operations() {
    let graph = tiny();
    let mut weights = BTreeMap::new();
    let mut activations = BTreeMap::new();
    for (i, layer) in graph.layers().iter().enumerate().take(4) {
        let bits = Bits::new([8, 4, 3, 2][i]).unwrap();
        let scale = vec![0.1; layer.channels()];
        let grid =
            Grid::symmetric(scale, layer.axis, bits, quantbench_core::grid::SignedRange::Full);
        let tensor = QuantTensor {
            dims: layer.dims.clone(),
            codes: vec![0; layer.parameters() as usize],
            grid,
        };
        weights.insert(layer.weight.clone(), tensor);
        activations.insert(
            layer.input.clone(),
            Grid::activation(0.0, 1.0, Bits::new([8, 4, 4, 6][i]).unwrap()),
        );
    }
    let artefact = Artefact::new(graph, weights, activations, Vec::new());
    artefact.check().unwrap();
    let workload = Workload::of(&artefact).unwrap();
    let widths: Vec<_> =
        workload.layers.iter().map(|w| (w.weight_bits, w.activation_bits)).collect();
    assert_eq!(widths, [(8, 8), (4, 4), (3, 4), (2, 6), (32, 32)]);
    assert_eq!(workload.bit_operations(), bit_operations(&artefact).0);
    let error = common::profile("bitfusion").cost(&workload).unwrap_err().to_string();
    let start =
        "bitfusion.yaml: executes.weight_bits: layer \"Gemm_logits\" has weights of 32 bits";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn what_cannot_be_is_refused() {
    let graph = tiny();
    let width = Workload::uniform(&graph, 0, 8).unwrap_err();
    assert_eq!(width, WorkloadError::Width { what: "weights", bits: 0 });
    assert!(
        Workload::uniform(&graph, 8, 33)
            .unwrap_err()
            .to_string()
            .contains("activations of 33 bits")
    );
    let mut b = Builder::new(4);
    b.node("Relu", &["input"], "logits", vec![]);
    let none = Workload::uniform(&load(&b.finish(&[4], "logits")), 8, 8).unwrap_err().to_string();
    assert!(none.starts_with("tiny.onnx: there is no layer to cost"), "{none}");
    let workload = Workload::uniform(&graph, 8, 8).unwrap();
    let error = common::profile("x86-avx2").cost(&workload).unwrap_err();
    assert!(
        matches!(error, CostError::NoModel { .. }) && error.to_string().contains("measured"),
        "{error}"
    );
}

#[test]
fn a_kernel_that_is_too_tall_or_has_three_dimensions_names_key_and_layer() {
    let conv = |dims: &[usize], image: &[i64]| {
        let mut b = Builder::new(5);
        let weights = b.random(dims, 0.2, 0.0);
        b.weight("w", &weights);
        b.node("Conv", &["input", "w"], "logits", vec![]);
        Workload::uniform(&load(&b.finish(image, "logits")), 8, 8).unwrap()
    };
    let eyeriss = common::profile("eyeriss");
    let tall = eyeriss.cost(&conv(&[4, 2, 13, 3], &[2, 20, 20])).unwrap_err().to_string();
    assert_eq!(
        tall,
        "eyeriss.yaml: cost.array.rows: layer \"Conv_logits\" cannot be mapped: its kernel has 13 rows, the array 12"
    );
    let deep = conv(&[4, 2, 3, 3, 3], &[2, 8, 8, 8]);
    let error = eyeriss.cost(&deep).unwrap_err().to_string();
    assert!(error.contains("convolution of 3 dimensions"), "{error}");
    assert!(common::profile("systolic-ws-64").cost(&deep).is_ok());
}
