//! Bad models: one clear error each, never a panic.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use proptest::prelude::*;
use prost::Message;
use quantbench_core::Tensor;
use quantbench_graph::onnx::{AttributeProto, ModelProto, TensorProto, dimension, type_proto};
use quantbench_graph::testing::{Builder, float, int, ints, tiny_resnet};
use quantbench_graph::values::from_f32;
use quantbench_graph::{Graph, GraphError};

fn tiny_model() -> ModelProto {
    ModelProto::decode(tiny_resnet(1).as_slice()).unwrap()
}

fn error_of(change: impl FnOnce(&mut ModelProto)) -> String {
    let mut model = tiny_model();
    change(&mut model);
    Graph::from_bytes(&model.encode_to_vec(), "m.onnx").unwrap_err().to_string()
}

fn tensor<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    let all = &mut model.graph.as_mut().unwrap().initializer;
    all.iter_mut().find(|t| t.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn an_untouched_model_is_written_byte_for_byte() {
    let bytes = tiny_resnet(1);
    assert_eq!(Graph::from_bytes(&bytes, "t").unwrap().to_bytes(), bytes);
    for name in ["resnet8-cifar10.onnx", "resnet20-cifar10.onnx", "resnet32-cifar10.onnx"] {
        let Some(bytes) = common::real_model(name) else { return };
        let graph = Graph::from_bytes(&bytes, name).unwrap();
        assert_eq!(graph.to_bytes(), bytes, "{name}");
        let folded = graph.fold().unwrap();
        let ops: Vec<_> = folded.nodes().iter().filter_map(|n| n.op_type.as_deref()).collect();
        assert!(!ops.contains(&"BatchNormalization") && !ops.contains(&"Shape"), "{ops:?}");
        if name.starts_with("resnet20") {
            let macs: u64 = folded.layers().iter().map(|l| l.macs).sum();
            // The published count of ResNet-20 for 32x32 images, 40.55 M.
            assert_eq!(macs, 40_551_040);
        }
    }
}

#[test]
fn files_that_are_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &std::path::Path| Graph::load(path).unwrap_err().to_string();
    assert!(message(folder.path()).contains("it is a directory"));
    assert!(message(&folder.path().join("no.onnx")).contains("cannot be read"));
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    assert!(message(&write("empty.onnx", b"")).contains("the file is empty"));
    assert!(message(&write("text.onnx", b"PK\x03\x04 not a model")).contains("not an ONNX model"));
    let bytes = tiny_resnet(1);
    for keep in [5, 100, bytes.len() / 2, bytes.len() - 1] {
        let text = message(&write("cut.onnx", &bytes[..keep]));
        assert!(text.contains("truncated or damaged"), "{keep}: {text}");
    }
}

#[test]
fn fields_from_the_future_are_not_dropped_in_silence() {
    let mut bytes = tiny_resnet(1);
    // Field 200, varint 1.
    bytes.extend([0xc0, 0x0c, 0x01]);
    let text = Graph::from_bytes(&bytes, "m.onnx").unwrap_err().to_string();
    assert!(text.contains("3 bytes") && text.contains("IR version 8"), "{text}");
}

#[test]
fn unsupported_operators_are_named_with_their_node() {
    let text = error_of(|m| m.graph.as_mut().unwrap().node[2].op_type = Some("Convv".into()));
    assert!(text.contains("operator Convv") && text.contains("did you mean \"Conv\""), "{text}");
    let text =
        error_of(|m| m.graph.as_mut().unwrap().node[2].op_type = Some("NonMaxSuppression".into()));
    assert!(text.contains("Relu_stem_relu") && text.contains("NonMaxSuppression"), "{text}");
    let text = error_of(|m| m.graph.as_mut().unwrap().node[2].domain = Some("com.vendor".into()));
    assert!(text.contains("com.vendor.Relu"), "{text}");
}

#[test]
fn weights_that_are_no_numbers() {
    for (value, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "an infinity")] {
        let text = error_of(|m| {
            tensor(m, "a.w").raw_data.as_mut().unwrap()[8..12]
                .copy_from_slice(&value.to_le_bytes());
        });
        assert!(text.contains(&format!("\"a.w\" holds {word} at index 2")), "{text}");
    }
}

#[test]
fn constants_that_are_no_numbers() {
    let text = |attribute| {
        let mut b = Builder::new(1);
        b.node("Constant", &[], "factor", vec![attribute]);
        b.node("Mul", &["input", "factor"], "logits", vec![]);
        Graph::from_bytes(&b.finish(&[3, 8, 8], "logits"), "m.onnx").map_err(|e| e.to_string())
    };
    let list = |values: &[f32]| AttributeProto {
        name: Some("value_floats".into()),
        floats: values.to_vec(),
        ..AttributeProto::default()
    };
    let tensor = |value| AttributeProto {
        name: Some("value".into()),
        t: Some(from_f32("", &Tensor::new(vec![], vec![value]))),
        ..AttributeProto::default()
    };
    assert!(text(float("value_float", 0.5)).is_ok() && text(list(&[0.5])).is_ok());
    let nan = text(float("value_float", f32::NAN)).unwrap_err();
    assert!(nan.contains("\"factor\" holds NaN at index 0"), "{nan}");
    let infinite = text(list(&[1.0, 2.0, f32::INFINITY])).unwrap_err();
    assert!(infinite.contains("\"factor\" holds an infinity at index 2"), "{infinite}");
    let unnamed = text(tensor(f32::NAN)).unwrap_err();
    assert!(unnamed.contains("\"factor\" holds NaN at index 0"), "{unnamed}");
}

#[test]
fn a_softmax_over_a_dimension_that_is_not_there() {
    for op in ["Softmax", "LogSoftmax"] {
        let load = |axis| {
            let mut b = Builder::new(1);
            b.node(op, &["input"], "logits", vec![int("axis", axis)]);
            Graph::from_bytes(&b.finish(&[3, 8, 8], "logits"), "m").map_err(|e| e.to_string())
        };
        assert!([-4, -1, 0, 3].iter().all(|&axis| load(axis).is_ok()));
        for axis in [-5, 4, i64::MIN, i64::MAX] {
            let text = load(axis).unwrap_err();
            let want =
                format!("node \"{op}_logits\" ({op}): axis {axis} does not fit 4 dimensions");
            assert!(text.contains(&want), "{text}");
        }
    }
}

#[test]
fn shapes_that_do_not_fit() {
    let text = error_of(|m| tensor(m, "a.w").dims[0] = 9);
    assert!(text.contains("\"a.w\"") && text.contains("need 2592 bytes"), "{text}");
    let text = error_of(|m| tensor(m, "a.w").dims = vec![8, 4, 3, 6]);
    assert!(text.contains("expect 4 input channels"), "{text}");
    let text = error_of(|m| tensor(m, "a.w").dims = vec![-8, 8, 3, 3]);
    assert!(text.contains("negative or overflow"), "{text}");
    let text = error_of(|m| m.graph.as_mut().unwrap().node[0].input[0] = "ghost".into());
    assert!(text.contains("reads \"ghost\", which nothing defines"), "{text}");
    let text = error_of(|m| m.graph.as_mut().unwrap().node[3].output[0] = "stem_relu".into());
    assert!(text.contains("\"stem_relu\" is defined twice"), "{text}");
}

#[test]
fn a_cycle_is_an_error_and_a_shuffled_graph_is_sorted() {
    let text = error_of(|m| m.graph.as_mut().unwrap().node[0].input[0] = "stem_relu".into());
    assert!(text.contains("cycle"), "{text}");
    let mut model = tiny_model();
    model.graph.as_mut().unwrap().node.reverse();
    let graph = Graph::from_bytes(&model.encode_to_vec(), "shuffled").unwrap();
    assert_eq!(graph.layers().len(), 5);
}

#[test]
fn dynamic_height_is_refused_and_a_fixed_batch_is_freed() {
    let set = |m: &mut ModelProto, axis: usize, value| {
        let info = &mut m.graph.as_mut().unwrap().input[0];
        let Some(type_proto::Value::TensorType(t)) = info.r#type.as_mut().unwrap().value.as_mut()
        else {
            panic!("input type")
        };
        t.shape.as_mut().unwrap().dim[axis].value = value;
    };
    let text = error_of(|m| set(m, 2, Some(dimension::Value::DimParam("height".into()))));
    assert!(text.contains("dimension 2 of \"input\" is symbolic (height)"), "{text}");
    let mut model = tiny_model();
    set(&mut model, 0, Some(dimension::Value::DimValue(1)));
    let graph = Graph::from_bytes(&model.encode_to_vec(), "fixed").unwrap();
    assert!(graph.notes()[0].contains("fixed at 1"));
    // A Reshape that mixes a baked-in batch with other dimensions cannot be freed.
    let mut b = Builder::new(1);
    let stem = b.conv_bn("input", "s", (3, 2), 1, 1);
    b.node("GlobalAveragePool", &[&stem], "p", vec![]).ints("to", &[2, 1]);
    b.node("Reshape", &["p", "to"], "logits", vec![]);
    let mut model = b.model(&[3, 4, 4], "logits");
    set(&mut model, 0, Some(dimension::Value::DimValue(1)));
    let text = Graph::from_bytes(&model.encode_to_vec(), "baked").unwrap_err().to_string();
    assert!(text.contains("dynamic batch"), "{text}");
}

#[test]
fn what_is_not_supported_says_so() {
    let text = error_of(|m| m.opset_import[0].version = Some(9));
    assert!(text.contains("operator set 9"), "{text}");
    let text = error_of(|m| tensor(m, "a.w").data_location = Some(1));
    assert!(text.contains("external data"), "{text}");
    let text = error_of(|m| {
        let again = m.graph.as_ref().unwrap().input[0].clone();
        let mut second = again;
        second.name = Some("mask".into());
        m.graph.as_mut().unwrap().input.push(second);
    });
    assert!(text.contains("2 inputs (input, mask)"), "{text}");
}

#[test]
fn slice_and_pad_shortcuts_split_and_pools_have_shapes() {
    let mut b = Builder::new(4);
    b.ints("starts", &[0, 0]).ints("ends", &[i64::MAX, i64::MAX]).ints("axes", &[2, 3]);
    b.ints("steps", &[2, 2]).ints("pads", &[0, 1, 0, 0, 0, 2, 0, 0]);
    b.node("Slice", &["input", "starts", "ends", "axes", "steps"], "sliced", vec![]);
    b.node("Pad", &["sliced", "pads"], "padded", vec![]);
    b.node(
        "MaxPool",
        &["padded"],
        "pooled",
        vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1)],
    );
    b.node("ReduceMean", &["pooled"], "mean", vec![ints("axes", &[2, 3]), int("keepdims", 0)]);
    b.node("Softmax", &["mean"], "logits", vec![int("axis", 1)]);
    let graph = Graph::from_bytes(&b.finish(&[3, 9, 9], "logits"), "t").unwrap();
    assert_eq!(graph.item_dims("sliced"), [3, 5, 5]);
    assert_eq!(graph.item_dims("padded"), [6, 5, 5]);
    assert_eq!(graph.item_dims("pooled"), [6, 2, 2]);
    assert_eq!(graph.item_dims("logits"), [6]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damaged_bytes_never_panic(at in 0usize..4000, value: u8, cut in 0usize..4000) {
        let mut bytes = tiny_resnet(1);
        // The structure lies before and between the weights; flip bytes all over the file.
        let place = at * bytes.len() / 4000;
        bytes[place] = value;
        if cut % 3 == 0 {
            bytes.truncate(cut * bytes.len() / 4000);
        }
        if let Ok(graph) = Graph::from_bytes(&bytes, "fuzz") {
            let folded: Result<Graph, GraphError> = graph.fold();
            if let Ok(folded) = folded {
                let _ = folded.layers();
            }
        }
    }
}
