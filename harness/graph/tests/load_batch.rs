//! The batch: symbolic under any name, or fixed by the export and freed.

#![allow(clippy::unwrap_used)] // A test may panic.

use prost::Message;
use quantbench_graph::onnx::{ModelProto, ValueInfoProto, data_type, dimension, type_proto};
use quantbench_graph::testing::{Builder, info, int, tiny_resnet};
use quantbench_graph::{Dim, Graph};

fn dims(info: &mut ValueInfoProto) -> &mut Vec<quantbench_graph::onnx::Dimension> {
    match info.r#type.as_mut().unwrap().value.as_mut().unwrap() {
        type_proto::Value::TensorType(t) => &mut t.shape.as_mut().unwrap().dim,
        _ => panic!("a tensor was expected"),
    }
}

fn batch_of(info: &ValueInfoProto) -> Option<dimension::Value> {
    dims(&mut info.clone())[0].value.clone()
}

/// conv, pool and a Reshape to a target that the export computed for a fixed batch.
fn baked(batch: i64, target: &[i64]) -> ModelProto {
    let mut b = Builder::new(1);
    let stem = b.conv_bn("input", "s", (3, 2), 1, 1);
    b.node("GlobalAveragePool", &[&stem], "pooled", vec![]).ints("target", target);
    b.node("Reshape", &["pooled", "target"], "logits", vec![]);
    let mut model = b.model(&[3, 4, 4], "logits");
    let graph = model.graph.as_mut().unwrap();
    graph.output[0] = info("logits", Some(&[2]));
    graph.value_info = vec![info("pooled", Some(&[2, 1, 1])), info("s.w", Some(&[3, 3, 3]))];
    for info in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        dims(info)[0].value = Some(dimension::Value::DimValue(batch));
    }
    model
}

#[test]
fn a_symbolic_batch_may_have_any_name_or_none() {
    for value in [
        Some(dimension::Value::DimParam("batch_size".into())),
        Some(dimension::Value::DimValue(-1)),
        Some(dimension::Value::DimValue(0)),
        None,
    ] {
        let mut model = ModelProto::decode(tiny_resnet(1).as_slice()).unwrap();
        dims(&mut model.graph.as_mut().unwrap().input[0])[0].value = value.clone();
        let bytes = model.encode_to_vec();
        let graph = Graph::from_bytes(&bytes, "m.onnx").unwrap();
        assert_eq!(graph.shape("input").unwrap()[0], Dim::Batch, "{value:?}");
        assert_eq!(graph.to_bytes(), bytes, "{value:?}");
        assert!(graph.notes().is_empty());
    }
}

#[test]
fn a_reshape_to_the_fixed_batch_copies_it_instead() {
    for (batch, target) in [(1, vec![1, 2]), (1, vec![1, -1]), (4, vec![4, 2]), (4, vec![-1, 2])] {
        let model = baked(batch, &target);
        let graph = Graph::from_bytes(&model.encode_to_vec(), "m.onnx").unwrap();
        assert_eq!(graph.shape("logits").unwrap(), &[Dim::Batch, Dim::Known(2)], "{target:?}");
        assert!(graph.notes()[0].contains(&format!("fixed at {batch}")));
        let free = Some(dimension::Value::DimParam("N".into()));
        let proto = graph.proto();
        for info in [&proto.input[0], &proto.output[0], &proto.value_info[0]] {
            assert_eq!(batch_of(info), free, "{:?}", info.name);
        }
        // A weight whose first dimension happens to be as long as the batch keeps it.
        let kept = Some(dimension::Value::DimValue(batch));
        assert_eq!(batch_of(&proto.value_info[1]), kept);
        let reshape = graph.nodes().iter().find(|n| n.op_type.as_deref() == Some("Reshape"));
        let target_now = graph.initializer(&reshape.unwrap().input[1]).unwrap();
        let first =
            i64::from_le_bytes(target_now.raw_data.as_ref().unwrap()[..8].try_into().unwrap());
        assert!(first <= 0, "{first}");
        // Written and read again, nothing is left to free.
        let again = Graph::from_bytes(&graph.to_bytes(), "again").unwrap();
        assert!(again.notes().is_empty());
        assert_eq!(again.fold().unwrap().item_dims("logits"), [2]);
    }
}

#[test]
fn a_fixed_batch_in_a_model_with_a_symbolic_one_is_an_error() {
    let mut model = baked(1, &[1, 2]);
    let input = &mut model.graph.as_mut().unwrap().input[0];
    dims(input)[0].value = Some(dimension::Value::DimParam("N".into()));
    let text = Graph::from_bytes(&model.encode_to_vec(), "m.onnx").unwrap_err().to_string();
    assert!(text.contains("Reshape_logits") && text.contains("[N, 2, 1, 1]"), "{text}");
}

#[test]
fn logits_without_a_row_per_image_are_refused() {
    let mut b = Builder::new(1);
    b.node("Flatten", &["input"], "flat", vec![int("axis", 1)]);
    b.node("Transpose", &["flat"], "logits", vec![]);
    let bytes = b.finish(&[3, 4, 4], "logits");
    let text = Graph::from_bytes(&bytes, "m.onnx").unwrap_err().to_string();
    assert!(text.contains("\"logits\" has the shape [48, N]"), "{text}");
}

#[test]
fn an_input_that_is_not_fp32_is_refused() {
    let mut model = ModelProto::decode(tiny_resnet(1).as_slice()).unwrap();
    let input = &mut model.graph.as_mut().unwrap().input[0];
    if let Some(type_proto::Value::TensorType(t)) = &mut input.r#type.as_mut().unwrap().value {
        t.elem_type = Some(data_type::FLOAT16);
    }
    let text = Graph::from_bytes(&model.encode_to_vec(), "m.onnx").unwrap_err().to_string();
    assert!(text.contains("element type 10; expected FP32"), "{text}");
}
