//! Models whose parts contradict each other in ways that only damaged or hostile files do.

#![allow(clippy::unwrap_used)] // A test may panic.

use proptest::prelude::*;
use prost::Message;
use quantbench_graph::Graph;
use quantbench_graph::onnx::{ModelProto, TensorProto, data_type};
use quantbench_graph::testing::{Builder, int, ints};

fn message(model: &ModelProto) -> String {
    Graph::from_bytes(&model.encode_to_vec(), "m.onnx").unwrap_err().to_string()
}

/// A model that exercises the operators with integer operands.
fn busy(seed: u64) -> ModelProto {
    let mut b = Builder::new(seed);
    let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
    b.ints("starts", &[0, 0]).ints("ends", &[i64::MAX, i64::MAX]).ints("axes", &[2, 3]);
    b.ints("steps", &[2, 2]).ints("pads", &[0, 1, 0, 0, 0, 1, 0, 0]);
    b.ints("table", &[4, 2]).ints("flat", &[-1]).ints("zero", &[0]).ints("axis", &[0]);
    b.node("Slice", &[&stem, "starts", "ends", "axes", "steps"], "sliced", vec![]);
    b.node("Reshape", &["pads", "table"], "pad_table", vec![]);
    b.node("Transpose", &["pad_table"], "turned", vec![ints("perm", &[1, 0])]);
    b.node("Transpose", &["turned"], "back", vec![]);
    b.node("Reshape", &["back", "flat"], "pads_again", vec![]);
    b.node("Cast", &["pads_again"], "pads_cast", vec![int("to", 7)]);
    b.node("Pad", &["sliced", "pads_cast"], "padded", vec![]);
    let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    b.node("MaxPool", &["padded"], "pooled", window);
    b.node("Shape", &["pooled"], "shape", vec![]);
    b.node("Gather", &["shape", "zero"], "n", vec![int("axis", 0)]);
    b.node("Concat", &["n", "flat"], "target", vec![int("axis", 0)]);
    b.node("Reshape", &["pooled", "target"], "flattened", vec![]);
    b.node("Unsqueeze", &["flattened", "axis"], "more", vec![]);
    b.node("Squeeze", &["more", "axis"], "features", vec![]);
    let w = b.random(&[24, 5], 0.3, 0.0);
    b.weight("w", &w);
    b.node("Gemm", &["features", "w"], "logits", vec![]);
    b.model(&[3, 8, 8], "logits")
}

#[test]
fn the_busy_model_is_valid() {
    let graph = Graph::from_bytes(&busy(1).encode_to_vec(), "busy").unwrap();
    assert_eq!(graph.item_dims("features"), [24]);
    let ops: Vec<String> =
        graph.fold().unwrap().nodes().iter().filter_map(|n| n.op_type.clone()).collect();
    let kept = ["Conv", "Slice", "Pad", "MaxPool", "Reshape", "Unsqueeze", "Squeeze", "Gemm"];
    assert_eq!(ops, kept);
}

#[test]
fn values_in_the_field_of_another_type_are_not_counted() {
    let mut model = busy(1);
    let weights = model.graph.as_mut().unwrap().initializer.iter_mut();
    let w = weights.into_iter().find(|t| t.name.as_deref() == Some("w")).unwrap();
    w.raw_data = None;
    w.int32_data = vec![1; 120];
    let text = message(&model);
    assert!(text.contains("\"w\"") && text.contains("need 120 values, the file holds 0"), "{text}");
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_computed() {
    let model = |op: &str, constant: &[i64], attributes| {
        let mut b = Builder::new(1);
        b.ints("c", constant).node(op, &["input", "c"], "logits", attributes);
        b.model(&[3, 8, 8], "logits")
    };
    let huge = 1i64 << 40;
    let text = message(&model("Pad", &[0, 0, 0, 0, 0, huge, 0, 0], vec![]));
    assert!(text.contains("Pad_logits") && text.contains("too large"), "{text}");
    let text = message(&model("Split", &[i64::MAX, i64::MAX], vec![int("axis", 1)]));
    assert!(text.contains("does not fit"), "{text}");
    let text = message(&model("Reshape", &[huge, huge, -1], vec![]));
    assert!(text.contains("does not reshape"), "{text}");
}

#[test]
fn a_transpose_must_name_each_axis_once() {
    let mut b = Builder::new(1);
    let w = b.random(&[8, 2], 1.0, 0.0);
    b.weight("w", &w).node("Transpose", &["w"], "t", vec![ints("perm", &[0, 0])]);
    b.node("Flatten", &["input"], "flat", vec![]);
    b.node("MatMul", &["flat", "t"], "logits", vec![]);
    let text = message(&b.model(&[2, 2, 2], "logits"));
    assert!(text.contains("perm [0, 0] is no order of the axes of [8, 2]"), "{text}");
}

#[test]
fn a_shape_computed_from_absurd_numbers_does_not_overflow() {
    let mut b = Builder::new(1);
    b.ints("values", &[1, 2]).ints("to", &[1 << 40, 1 << 40]);
    b.node("Reshape", &["values", "to"], "table", vec![]);
    b.node("Reshape", &["input", "table"], "logits", vec![]);
    let text = message(&b.model(&[3, 8, 8], "logits"));
    assert!(text.contains("Reshape"), "{text}");
}

#[test]
fn a_file_cut_behind_the_graph_is_damaged() {
    let mut model = busy(1);
    model.opset_import.clear();
    assert!(message(&model).contains("truncated or damaged"));
}

#[test]
fn zero_sized_dimensions_are_refused() {
    let mut b = Builder::new(1);
    b.initializer(TensorProto {
        dims: vec![0, 3, 1, 1],
        data_type: Some(data_type::FLOAT),
        name: Some("w".into()),
        raw_data: Some(vec![]),
        ..TensorProto::default()
    });
    b.node("Conv", &["input", "w"], "logits", vec![]);
    let text = message(&b.model(&[3, 8, 8], "logits"));
    assert!(text.contains("no usable shape"), "{text}");
    let text = message(
        &Builder::new(1).node("Relu", &["input"], "logits", vec![]).model(&[3, 0, 8], "logits"),
    );
    assert!(text.contains("dimension 2 of \"input\" is 0"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn damaged_structure_never_panics(
        changes in prop::collection::vec((0usize..100_000, any::<u8>()), 1..4),
        cut in prop::option::of(0usize..100_000),
    ) {
        let mut bytes = busy(1).encode_to_vec();
        for (place, value) in changes {
            let at = place % bytes.len();
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        if let Ok(folded) = Graph::from_bytes(&bytes, "fuzz").and_then(|g| g.fold()) {
            let names: Vec<String> = folded.layers().iter().map(|l| l.output.clone()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ = folded.ending_in(&names);
        }
    }

    /// Integers are what shapes are made of: any of them may be anything.
    #[test]
    fn hostile_integers_never_panic(
        which in 0usize..64,
        values in prop::collection::vec(
            prop_oneof![
                any::<i64>(), -3i64..10, Just(i64::MAX), Just(i64::MIN), Just(1 << 31),
            ],
            0..9,
        ),
    ) {
        let mut model = busy(1);
        let graph = model.graph.as_mut().unwrap();
        let attributes = graph.node.iter().map(|n| n.attribute.len()).sum::<usize>();
        let tensors: Vec<usize> = (0..graph.initializer.len())
            .filter(|&i| graph.initializer[i].data_type == Some(data_type::INT64))
            .collect();
        let pick = which % (attributes + tensors.len());
        if pick < attributes {
            let attribute = graph.node.iter_mut().flat_map(|n| &mut n.attribute).nth(pick);
            let attribute = attribute.unwrap();
            if attribute.i.is_some() {
                attribute.i = values.first().copied();
            } else {
                attribute.ints = values;
            }
        } else {
            let tensor = &mut graph.initializer[tensors[pick - attributes]];
            tensor.dims = vec![values.len() as i64];
            tensor.raw_data = Some(values.iter().flat_map(|v| v.to_le_bytes()).collect());
        }
        if let Ok(graph) = Graph::from_bytes(&model.encode_to_vec(), "fuzz") {
            let _ = graph.fold().map(|g| g.layers());
        }
    }
}
