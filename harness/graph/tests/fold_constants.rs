//! Constants, factors and pass-through nodes: folding keeps the function and the types.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;
#[path = "common/interpreter.rs"]
mod interpreter;

use prost::Message;
use quantbench_core::Tensor;
use quantbench_graph::onnx::{ModelProto, NodeProto, TensorProto, data_type};
use quantbench_graph::testing::{Builder, float, info, int, ints};
use quantbench_graph::{Graph, LayerKind};

fn load(bytes: &[u8]) -> Graph {
    Graph::from_bytes(bytes, "m.onnx").unwrap()
}

fn ops(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().filter_map(|n| n.op_type.as_deref()).collect()
}

/// `features` of 12 numbers per image.
fn flat(seed: u64) -> Builder {
    let mut b = Builder::new(seed);
    b.node("Flatten", &["input"], "features", vec![int("axis", 1)]);
    b
}

fn image() -> Tensor {
    Builder::new(3).random(&[2, 3, 2, 2], 1.0, 0.0)
}

#[test]
fn factors_of_gemm_move_into_weights_and_bias() {
    for bias_dims in [vec![5], vec![1, 5], vec![1], vec![]] {
        let mut b = flat(1);
        let w = b.random(&[12, 5], 1.0, 0.0);
        let c = b.random(&bias_dims, 1.0, 0.0);
        b.weight("w", &w).weight("c", &c);
        b.node(
            "Gemm",
            &["features", "w", "c"],
            "scaled",
            vec![float("alpha", 0.5), float("beta", 3.0)],
        );
        for (part, value) in [("gamma", 2.0), ("beta", 0.25), ("mean", 0.5), ("var", 4.0)] {
            b.weight(part, &Tensor::new(vec![5], vec![value; 5]));
        }
        b.node(
            "BatchNormalization",
            &["scaled", "gamma", "beta", "mean", "var"],
            "logits",
            vec![float("epsilon", 0.0)],
        );
        let folded = load(&b.finish(&[3, 2, 2], "logits")).fold().unwrap();
        assert_eq!(ops(&folded), ["Flatten", "Gemm"], "{bias_dims:?}");
        let y = interpreter::run(&folded, &image());
        for (i, &y) in y.data.iter().enumerate() {
            let (row, o) = (i / 5, i % 5);
            let product: f64 = (0..12)
                .map(|k| f64::from(image().data[row * 12 + k]) * f64::from(w.data[k * 5 + o]))
                .sum();
            // Gemm, then (x - 0.5) / sqrt(4) * 2 + 0.25.
            let gemm = 0.5 * product + 3.0 * f64::from(c.data[o % c.len()]);
            let want = gemm - 0.5 + 0.25;
            assert!((f64::from(y) - want).abs() < 1e-5, "{bias_dims:?}: {y} {want}");
        }
        let layer = &folded.layers()[0];
        assert_eq!(folded.bias(layer).unwrap().unwrap().dims, [5]);
        assert_eq!(layer.macs, 60);
    }
}

#[test]
fn a_weight_that_is_transposed_at_run_time_becomes_constant() {
    let mut b = flat(2);
    let w = b.random(&[5, 12], 1.0, 0.0);
    b.weight("w", &w).node("Transpose", &["w"], "turned", vec![ints("perm", &[1, 0])]);
    b.node("Identity", &["turned"], "same", vec![]);
    b.node("MatMul", &["features", "same"], "logits", vec![]);
    let graph = load(&b.finish(&[3, 2, 2], "logits"));
    assert!(graph.layers().is_empty(), "the weights are computed before folding");
    let folded = graph.fold().unwrap();
    assert_eq!(ops(&folded), ["Flatten", "Gemm"]);
    let layer = &folded.layers()[0];
    let got = folded.weight(&layer.weight).unwrap();
    assert_eq!((layer.kind, layer.axis, &got.dims), (LayerKind::Fc, 1, &vec![12, 5]));
    for (i, v) in got.data.iter().enumerate() {
        assert_eq!(*v, w.data[i % 5 * 12 + i / 5]);
    }
    // The tensor that nothing reads any more is gone.
    assert!(folded.initializer("w").is_none());
}

#[test]
fn folded_integers_keep_their_type() {
    let mut b = Builder::new(3);
    b.ints("wide", &[0, 0]).ints("ends", &[2, 2]).ints("axes", &[2, 3]);
    for (from, to) in [("wide", "starts"), ("ends", "stops"), ("axes", "narrow_axes")] {
        b.node("Cast", &[from], to, vec![int("to", i64::from(data_type::INT32))]);
    }
    b.node("Slice", &["input", "starts", "stops", "narrow_axes"], "logits", vec![]);
    let folded = load(&b.finish(&[3, 4, 4], "logits")).fold().unwrap();
    assert_eq!(ops(&folded), ["Slice"]);
    for name in &folded.nodes()[0].input[1..] {
        let tensor = folded.initializer(name).unwrap();
        assert_eq!(tensor.data_type, Some(data_type::INT32), "{name}");
        assert_eq!(tensor.raw_data.as_ref().unwrap().len(), 8);
    }
    assert_eq!(folded.item_dims("logits"), [3, 2, 2]);
}

#[test]
fn an_integer_that_becomes_a_float_is_left_alone() {
    let mut b = flat(4);
    b.node("Shape", &["features"], "shape", vec![int("start", 1)]);
    b.node("Cast", &["shape"], "width", vec![int("to", i64::from(data_type::FLOAT))]);
    b.node("Div", &["features", "width"], "logits", vec![]);
    let folded = load(&b.finish(&[3, 2, 2], "logits")).fold().unwrap();
    assert_eq!(ops(&folded), ["Flatten", "Cast", "Div"]);
    assert_eq!(folded.item_dims("logits"), [12]);
}

#[test]
fn constants_are_read_however_they_are_written() {
    let mut b = flat(5);
    for (name, key) in [("low", "value_float"), ("high", "value_float")] {
        b.node("Constant", &[], name, vec![float(key, if name == "low" { 0.0 } else { 6.0 })]);
    }
    b.node("Constant", &[], "to", vec![ints("value_ints", &[0, 3, 4])]);
    b.node("Reshape", &["features", "to"], "matrix", vec![]);
    b.node("Clip", &["matrix", "low", "high"], "logits", vec![]);
    let folded = load(&b.finish(&[3, 2, 2], "logits")).fold().unwrap();
    assert_eq!(ops(&folded), ["Flatten", "Reshape", "Clip"]);
    assert_eq!(folded.weight("high").unwrap(), Tensor::new(vec![], vec![6.0]));
    assert_eq!(folded.item_dims("logits"), [3, 4]);
}

#[test]
fn dropout_goes_unless_it_is_in_training_mode() {
    let build = |on: bool| {
        let mut b = flat(6);
        b.weight("ratio", &Tensor::new(vec![], vec![0.5]));
        b.initializer(TensorProto {
            data_type: Some(data_type::BOOL),
            name: Some("mode".into()),
            raw_data: Some(vec![u8::from(on)]),
            ..TensorProto::default()
        });
        b.node("Dropout", &["features", "ratio", "mode"], "dropped", vec![]);
        b.node("Relu", &["dropped"], "logits", vec![]);
        b.finish(&[3, 2, 2], "logits")
    };
    assert_eq!(ops(&load(&build(false)).fold().unwrap()), ["Flatten", "Relu"]);
    let text = Graph::from_bytes(&build(true), "m.onnx").unwrap_err().to_string();
    assert!(text.contains("Dropout_dropped") && text.contains("training mode"), "{text}");
}

#[test]
fn a_value_that_is_an_output_as_well_survives() {
    let mut b = Builder::new(7);
    let norm = b.conv_bn("input", "c", (3, 4), 1, 1);
    b.node("GlobalAveragePool", &[&norm], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "logits", vec![]);
    let mut model = b.model(&[3, 4, 4], "logits");
    model.graph.as_mut().unwrap().output.push(info("c_out", None));
    let folded = load(&model.encode_to_vec()).fold().unwrap();
    assert_eq!(ops(&folded), ["Conv", "BatchNormalization", "GlobalAveragePool", "Flatten"]);
    let tapped = folded.ending_in(&["logits", &norm, "logits"]).unwrap();
    let names: Vec<_> = tapped.proto().output.iter().filter_map(|o| o.name.as_deref()).collect();
    assert_eq!(names, ["logits", norm.as_str()]);
    // What comes after the last of them is not computed.
    let cut = folded.ending_in(&[&norm]).unwrap();
    assert_eq!(ops(&cut), ["Conv", "BatchNormalization"]);
    assert!(folded.ending_in(&["ghost"]).unwrap_err().to_string().contains("\"ghost\""));
}

#[test]
fn a_batch_norm_before_the_conv_stays() {
    let mut b = Builder::new(8);
    let first = b.conv_bn("input", "a", (3, 4), 1, 1);
    // Pre-activation: the sum is read by a batch norm and by the shortcut.
    let names = ["a.gamma", "a.beta", "a.mean", "a.var"];
    b.node("Relu", &[&first], "r", vec![]);
    let inputs: Vec<&str> = std::iter::once("r").chain(names).collect();
    b.node("BatchNormalization", &inputs, "pre", vec![]);
    let second = b.conv_bn("pre", "b", (4, 4), 1, 1);
    b.node("Add", &[&second, "r"], "logits", vec![]);
    let folded = load(&b.finish(&[3, 4, 4], "logits")).fold().unwrap();
    assert_eq!(ops(&folded), ["Conv", "Relu", "BatchNormalization", "Conv", "Add"]);
    // Its parameters are still there, although the first conv has taken the same ones in.
    assert!(names.iter().all(|n| folded.initializer(n).is_some()));
}

#[test]
fn folding_twice_changes_nothing_and_initializers_need_not_be_inputs() {
    let mut b = Builder::new(9);
    let norm = b.conv_bn("input", "c", (3, 4), 1, 1);
    b.node("Relu", &[&norm], "logits", vec![]);
    let mut model = b.model(&[3, 4, 4], "logits");
    model.ir_version = Some(3);
    let graph = model.graph.as_mut().unwrap();
    for tensor in &graph.initializer {
        let mut stated = info(tensor.name.as_deref().unwrap(), None);
        stated.doc_string = Some("an initializer of IR version 3".into());
        graph.input.push(stated);
    }
    let once = load(&model.encode_to_vec()).fold().unwrap();
    assert_eq!(once.input(), "input");
    let again = once.fold().unwrap();
    assert_eq!(again.to_bytes(), once.to_bytes());
    assert_eq!(again.norm_stats(&norm), once.norm_stats(&norm));
    assert!(once.proto().input.iter().all(|i| i.name.as_deref() != Some("c.gamma")));
    let written = ModelProto::decode(once.to_bytes().as_slice()).unwrap();
    assert_eq!(written.ir_version, Some(4));
}

#[test]
fn a_training_batch_norm_is_refused() {
    let mut b = Builder::new(10);
    let norm = b.conv_bn("input", "c", (3, 4), 1, 1);
    b.node("Relu", &[&norm], "logits", vec![]);
    let mut model = b.model(&[3, 4, 4], "logits");
    let is_norm = |n: &&mut NodeProto| n.op_type.as_deref() == Some("BatchNormalization");
    let node = model.graph.as_mut().unwrap().node.iter_mut().find(is_norm).unwrap();
    node.attribute.push(int("training_mode", 1));
    let text = Graph::from_bytes(&model.encode_to_vec(), "m.onnx").unwrap_err().to_string();
    assert!(text.contains("training mode"), "{text}");
}
