//! Folding leaves the function as it was: compared with a plain reference interpreter.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;
#[path = "common/interpreter.rs"]
mod interpreter;

use quantbench_core::Tensor;
use quantbench_graph::testing::{Builder, int, ints, tiny_resnet};
use quantbench_graph::{Graph, LayerKind};

fn image(dims: &[usize]) -> Tensor {
    Builder::new(99).random(dims, 1.0, 0.0)
}

fn assert_same(bytes: &[u8], image_dims: &[usize]) -> Graph {
    let graph = Graph::from_bytes(bytes, "test").unwrap();
    let folded = graph.fold().unwrap();
    let x = image(image_dims);
    let (a, b) = (interpreter::run(&graph, &x), interpreter::run(&folded, &x));
    assert_eq!(a.dims, b.dims);
    let top = a.data.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(top > 0.01, "a dead network proves nothing");
    for (x, y) in a.data.iter().zip(&b.data) {
        assert!((x - y).abs() < 1e-4 * top, "{x} {y}");
    }
    folded
}

#[test]
fn a_residual_network() {
    let folded = assert_same(&tiny_resnet(3), &[2, 3, 8, 8]);
    assert!(folded.nodes().iter().all(|n| n.op_type.as_deref() != Some("BatchNormalization")));
    assert_eq!(folded.norm_stats("stem_bn").unwrap().mean.len(), 8);
    let layers = folded.layers();
    assert_eq!(layers.len(), 5);
    assert!(layers[0].is_first && layers[4].is_last && layers[4].kind == LayerKind::Fc);
    // 8 output channels x 3 x 3x3 x 8x8 positions.
    assert_eq!(layers[0].macs, 8 * 27 * 64);
    assert_eq!(layers[4].macs, 64);
}

#[test]
fn a_depthwise_conv() {
    let mut b = Builder::new(5);
    let stem = b.conv_bn("input", "stem", (3, 6), 1, 1);
    b.node("Relu", &[&stem], "r", vec![]);
    let depthwise = b.conv_bn("r", "dw", (6, 6), 2, 6);
    b.node("GlobalAveragePool", &[&depthwise], "p", vec![]);
    b.node("Flatten", &["p"], "logits", vec![int("axis", 1)]);
    let folded = assert_same(&b.finish(&[3, 8, 8], "logits"), &[2, 3, 8, 8]);
    assert_eq!(folded.layers()[1].groups, 6);
    assert_eq!(folded.layers()[1].macs, 6 * 9 * 16);
}

#[test]
fn weights_shared_by_two_convs_are_copied_first() {
    let mut b = Builder::new(6);
    let one = b.conv_bn("input", "a", (3, 3), 1, 1);
    let two = b.conv_bn(&one, "b", (3, 3), 1, 1);
    b.node("GlobalAveragePool", &[&two], "p", vec![]);
    b.node("Flatten", &["p"], "logits", vec![int("axis", 1)]);
    let mut model = b.model(&[3, 8, 8], "logits");
    let graph = model.graph.as_mut().unwrap();
    for node in &mut graph.node {
        for input in &mut node.input {
            if input == "b.w" {
                *input = "a.w".to_string();
            }
        }
    }
    let folded = assert_same(&prost::Message::encode_to_vec(&model), &[2, 3, 8, 8]);
    let layers = folded.layers();
    assert_ne!(layers[0].weight, layers[1].weight);
}

#[test]
fn the_reshape_tail_of_exporters_is_resolved() {
    let mut b = Builder::new(7);
    let stem = b.conv_bn("input", "stem", (3, 4), 2, 1);
    b.node("GlobalAveragePool", &[&stem], "p", vec![]);
    b.node("Shape", &["p"], "shape", vec![]);
    b.ints("zero", &[0]).ints("axes", &[0]).ints("minus_one", &[-1]);
    b.node("Gather", &["shape", "zero"], "n", vec![int("axis", 0)]);
    b.node("Concat", &["n", "minus_one"], "target", vec![int("axis", 0)]);
    b.node("Reshape", &["p", "target"], "features", vec![]);
    let w = b.random(&[4, 5], 0.5, 0.0);
    let bias = b.random(&[5], 0.5, 0.0);
    b.weight("w", &w).weight("bias", &bias);
    b.node("MatMul", &["features", "w"], "product", vec![]);
    b.node("Add", &["product", "bias"], "logits", vec![]);
    let folded = assert_same(&b.finish(&[3, 8, 8], "logits"), &[3, 3, 8, 8]);
    let ops: Vec<&str> = folded.nodes().iter().filter_map(|n| n.op_type.as_deref()).collect();
    assert_eq!(ops, ["Conv", "GlobalAveragePool", "Reshape", "Gemm"]);
    let fc = &folded.layers()[1];
    assert_eq!((fc.axis, fc.bias.as_deref()), (1, Some("bias")));
    assert_eq!(folded.item_dims("features"), [4]);
}

#[test]
fn a_dead_channel_becomes_its_constant() {
    let mut b = Builder::new(8);
    let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
    b.node("GlobalAveragePool", &[&stem], "p", vec![]);
    b.node("Flatten", &["p"], "logits", vec![ints("unused", &[]), int("axis", 1)]);
    let mut model = b.model(&[3, 8, 8], "logits");
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        if tensor.name.as_deref() == Some("stem.var") {
            tensor.raw_data.as_mut().unwrap()[..4].copy_from_slice(&1e-12f32.to_le_bytes());
        }
    }
    let bytes = prost::Message::encode_to_vec(&model);
    let folded = Graph::from_bytes(&bytes, "dead").unwrap().fold().unwrap();
    let weight = folded.weight("stem.w").unwrap();
    assert!(weight.data[..27].iter().all(|&w| w == 0.0));
    assert_eq!(folded.norm_stats("stem_bn").unwrap().std[0], 0.0);
    assert!(folded.notes()[0].contains("channels [0]"), "{:?}", folded.notes());
}

#[test]
fn set_bias_adds_an_operand_where_there_is_none() {
    let mut b = Builder::new(9);
    let w = b.random(&[2, 3, 1, 1], 1.0, 0.0);
    b.weight("w", &w).node("Conv", &["input", "w"], "logits", vec![]);
    let mut graph = Graph::from_bytes(&b.finish(&[3, 2, 2], "logits"), "t").unwrap();
    let layer = graph.layers()[0].clone();
    assert!(graph.bias(&layer).unwrap().is_none());
    graph.set_bias(&layer, &[1.0, 2.0]).unwrap();
    let layer = graph.layers()[0].clone();
    assert_eq!(graph.bias(&layer).unwrap().unwrap().data, [1.0, 2.0]);
    assert!(graph.set_bias(&layer, &[1.0]).unwrap_err().to_string().contains("expected 2"));
}
