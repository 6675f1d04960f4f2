//! Every operator in a small graph: values against ONNX Runtime, gradients against differences.

use std::collections::BTreeMap;

use quantbench_core::ImageSource;
use quantbench_graph::Graph;
use quantbench_graph::onnx::AttributeProto;
use quantbench_graph::testing::{Builder, float, int, ints};

use super::*;
use crate::autodiff::Isa;
use crate::autodiff::ops::tests::{check, weighted_sum};
use crate::testing::{Values, runtime};

/// A graph on images of some dimensions; `build` gives the name of its output.
fn graph(dims: &[i64], build: impl FnOnce(&mut Builder) -> String) -> Graph {
    let mut builder = Builder::new(11);
    let output = build(&mut builder);
    let bytes = builder.finish(dims, &output);
    Graph::from_bytes(&bytes, &output).unwrap().fold_constants().unwrap()
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        s: Some(value.as_bytes().to_vec()),
        r#type: Some(3),
        ..AttributeProto::default()
    }
}

/// Whether a graph gives what ONNX Runtime gives, and gradients what its values change by.
fn holds(dims: &[i64], build: impl FnOnce(&mut Builder) -> String) {
    let Some(runtime) = runtime() else { return };
    let graph = graph(dims, build);
    let name = graph.output().to_string();
    let sizes: Vec<usize> = dims.iter().map(|d| *d as usize).collect();
    let images = Values::random(&sizes, 5, 3);
    let want = Engine::new(runtime, 1).logits(&graph, &images, 5).unwrap();
    let batch = images.batch(0, 5).unwrap();
    for isa in Isa::available() {
        let found = logits(&graph, &batch, isa);
        assert_eq!(found.data.len(), want.data.len(), "{name}");
        let off = difference(&found, &want);
        assert!(off < 1e-3, "{name} on {}: {off}", isa.name());
    }
    let network = Network::new(&graph, &[]).unwrap();
    let [n, c, rest @ ..] = batch.dims.as_slice() else { panic!("no image") };
    let (h, w) = if let [h, w] = *rest { (h, w) } else { (1, rest[0]) };
    let mut tensors = vec![Tensor::new(vec![*n, *c, h, w], batch.data.clone())];
    let names: Vec<&String> = network.parameters().keys().collect();
    for parameter in network.parameters().values() {
        let mut tensor = parameter.clone();
        if tensor.dims.len() == 4 {
            tensor.dims.push(1);
        }
        tensors.push(tensor);
    }
    check(&name, &tensors, &|tape, vars| {
        let inputs = BTreeMap::from([(network.input().to_string(), vars[0])]);
        let named = names.iter().zip(&vars[1..]);
        let parameters = named.map(|(name, var)| ((*name).clone(), *var)).collect();
        let run = network.run(tape, inputs, &parameters, false, &mut Unchanged).unwrap();
        weighted_sum(tape, run.values[network.output()])
    });
}

#[test]
fn functions_between_layers() {
    let plain =
        ["Abs", "Erf", "Exp", "HardSwish", "Identity", "Neg", "Relu", "Sigmoid", "Softplus"];
    for op in plain.into_iter().chain(["Elu", "HardSigmoid", "LeakyRelu", "Tanh"]) {
        holds(&[20, 3, 3], |b| {
            b.weight("three", &Tensor::new(vec![], vec![3.7]));
            b.node("Mul", &["input", "three"], "wide", vec![]);
            let attributes = match op {
                "Elu" | "LeakyRelu" => vec![float("alpha", 0.3)],
                _ => vec![],
            };
            b.node(op, &["wide"], op, attributes);
            op.to_string()
        });
    }
    holds(&[5, 3, 3], |b| {
        b.node("Exp", &["input"], "positive", vec![]);
        b.node("Sqrt", &["positive"], "root", vec![]);
        "root".to_string()
    });
}

#[test]
fn functions_that_exporters_spell_out() {
    holds(&[18, 4, 3], |b| {
        for (name, value) in [("root", std::f32::consts::SQRT_2), ("one", 1.0), ("half", 0.5)] {
            b.weight(name, &Tensor::new(vec![], vec![value]));
        }
        b.node("Div", &["input", "root"], "scaled", vec![]);
        b.node("Erf", &["scaled"], "erf", vec![]);
        b.node("Add", &["erf", "one"], "share", vec![]);
        b.node("Mul", &["input", "share"], "twice", vec![]);
        b.node("Mul", &["half", "twice"], "gelu", vec![]);
        "gelu".to_string()
    });
    holds(&[18, 4, 3], |b| {
        for (name, value) in [("three", 0.3), ("six", 0.6), ("zero", 0.0)] {
            b.weight(name, &Tensor::new(vec![1], vec![value]));
        }
        b.node("Add", &["input", "three"], "moved", vec![]);
        b.node("Max", &["moved", "zero"], "above", vec![]);
        b.node("Min", &["six", "above"], "between", vec![]);
        b.node("Mul", &["input", "between"], "product", vec![]);
        b.node("Div", &["product", "six"], "swish", vec![]);
        "swish".to_string()
    });
}

#[test]
fn constants_of_every_kind() {
    holds(&[18, 4, 3], |b| {
        let (mean, std) = (b.random(&[1, 18, 1, 1], 0.3, 0.0), b.random(&[18, 1, 1], 0.1, 1.0));
        let place = b.random(&[1, 18, 4, 3], 1.0, 0.0);
        b.weight("mean", &mean).weight("std", &std).weight("place", &place);
        let (columns, two) = (b.random(&[3], 1.0, 0.0), Tensor::new(vec![], vec![2.0]));
        b.weight("columns", &columns).weight("two", &two);
        b.node("Sub", &["input", "mean"], "centred", vec![]);
        b.node("Div", &["centred", "std"], "unit", vec![]);
        b.node("Add", &["place", "unit"], "placed", vec![]);
        b.node("Mul", &["placed", "columns"], "weighted", vec![]);
        b.node("Sub", &["mean", "weighted"], "turned", vec![]);
        b.node("Exp", &["turned"], "positive", vec![]);
        b.node("Div", &["two", "positive"], "inverse", vec![]);
        b.node("Max", &["inverse", "mean"], "constants", vec![]);
        "constants".to_string()
    });
}

#[test]
fn squeeze_and_excitation_and_gates_over_pixels() {
    holds(&[20, 5, 4], |b| {
        let (down, up) = (b.random(&[3, 20, 1, 1], 0.3, 0.0), b.random(&[20, 3, 1, 1], 0.5, 0.0));
        b.weight("down", &down).weight("up", &up);
        b.node("GlobalAveragePool", &["input"], "squeezed", vec![]);
        b.node("Conv", &["squeezed", "down"], "less", vec![]);
        b.node("Relu", &["less"], "positive", vec![]);
        b.node("Conv", &["positive", "up"], "more", vec![]);
        b.node("HardSigmoid", &["more"], "gate", vec![float("alpha", 1.0 / 6.0)]);
        b.node("Mul", &["gate", "input"], "excited", vec![]);
        b.node("ReduceMean", &["excited"], "means", vec![ints("axes", &[1])]);
        b.node("Sigmoid", &["means"], "mask", vec![]);
        b.node("Mul", &["excited", "mask"], "masked", vec![]);
        "masked".to_string()
    });
}

#[test]
fn arithmetic_with_two_values() {
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"] {
        holds(&[17, 4, 3], |b| {
            b.node("Exp", &["input"], "positive", vec![]);
            b.node(op, &["input", "positive"], "first", vec![]);
            b.node("GlobalMaxPool", &["positive"], "largest", vec![]);
            b.node(op, &["first", "largest"], op, vec![]);
            op.to_string()
        });
    }
}

#[test]
fn channels_that_are_joined_split_and_shuffled() {
    holds(&[12, 3, 2], |b| {
        let w = b.random(&[7, 12, 1, 1], 0.4, 0.0);
        b.weight("w", &w);
        b.node("Conv", &["input", "w"], "other", vec![]);
        b.node("Concat", &["input", "other", "input"], "dense", vec![int("axis", 1)]);
        b.ints("sizes", &[20, 11]);
        b.node("Split", &["dense", "sizes"], "left", vec![int("axis", 1)]).output("right");
        b.node("Relu", &["right"], "positive", vec![]);
        b.node("Concat", &["positive", "left"], "swapped", vec![int("axis", -3)]);
        b.ints("some", &[3, 30, -2, 3]);
        b.node("Gather", &["swapped", "some"], "gathered", vec![int("axis", 1)]);
        b.ints("groups", &[0, 2, 2, 3, 2]).ints("back", &[0, 4, 3, 2]);
        b.node("Reshape", &["gathered", "groups"], "grouped", vec![]);
        b.node("Transpose", &["grouped"], "turned", vec![ints("perm", &[0, 2, 1, 3, 4])]);
        b.node("Reshape", &["turned", "back"], "shuffled", vec![]);
        "shuffled".to_string()
    });
}

#[test]
fn parts_and_surroundings() {
    holds(&[18, 6, 5], |b| {
        b.ints("starts", &[3, -1, 1]).ints("ends", &[17, -100, 5]);
        b.ints("axes", &[1, 2, 3]).ints("steps", &[1, -2, 3]);
        b.node("Slice", &["input", "starts", "ends", "axes", "steps"], "part", vec![]);
        "part".to_string()
    });
    for mode in ["constant", "edge", "reflect"] {
        holds(&[18, 3, 4], |b| {
            b.ints("pads", &[0, 0, 2, 1, 0, 0, 1, -1]);
            b.weight("fill", &Tensor::new(vec![], vec![0.7]));
            let inputs = if mode == "constant" {
                &["input", "pads", "fill"][..]
            } else {
                &["input", "pads"]
            };
            b.node("Pad", inputs, mode, vec![text("mode", mode)]);
            mode.to_string()
        });
    }
    holds(&[5, 3, 4], |b| {
        b.ints("pads", &[0, 3, 0, 0, 0, 20, 0, 0]);
        b.node("Pad", &["input", "pads"], "more_channels", vec![]);
        "more_channels".to_string()
    });
}

#[test]
fn pools_of_every_kind() {
    let window = |more: Vec<AttributeProto>| {
        let mut all = vec![ints("kernel_shape", &[3, 2]), ints("strides", &[2, 2])];
        all.extend(more);
        all
    };
    let pads = || ints("pads", &[1, 1, 1, 0]);
    let cases = [
        ("AveragePool", window(vec![pads()])),
        ("AveragePool", window(vec![pads(), int("count_include_pad", 1)])),
        ("AveragePool", window(vec![pads(), int("ceil_mode", 1)])),
        ("AveragePool", window(vec![text("auto_pad", "SAME_UPPER")])),
        ("MaxPool", window(vec![pads(), int("ceil_mode", 1)])),
        ("MaxPool", window(vec![text("auto_pad", "SAME_LOWER")])),
        ("GlobalMaxPool", vec![]),
        ("ReduceMean", vec![ints("axes", &[2, 3])]),
        ("ReduceMean", vec![ints("axes", &[-1, -2]), int("keepdims", 0)]),
        ("ReduceMean", vec![ints("axes", &[3]), int("keepdims", 0)]),
        ("ReduceMean", vec![ints("axes", &[1, 3])]),
    ];
    for (op, attributes) in cases {
        holds(&[18, 6, 7], |b| {
            b.node(op, &["input"], op, attributes);
            op.to_string()
        });
    }
}

#[test]
fn layers_on_vectors_and_their_ends() {
    for op in ["Softmax", "LogSoftmax"] {
        holds(&[3, 2, 2], |b| {
            let (w, bias) = (b.random(&[12, 18], 0.4, 0.0), b.random(&[18], 0.2, 0.0));
            b.weight("w", &w).weight("bias", &bias);
            b.node("Flatten", &["input"], "vector", vec![]);
            b.node("MatMul", &["vector", "w"], "product", vec![]);
            b.node("Add", &["bias", "product"], "sum", vec![]);
            for (name, shift) in [("gamma", 1.0), ("beta", 0.0), ("mean", 0.1)] {
                let tensor = b.random(&[18], 0.1, shift);
                b.weight(name, &tensor);
            }
            b.weight("variance", &Tensor::new(vec![18], vec![0.8; 18]));
            let inputs = ["sum", "gamma", "beta", "mean", "variance"];
            b.node("BatchNormalization", &inputs, "normal", vec![]);
            let slope = Tensor::new(vec![1], vec![0.2]);
            b.weight("slope", &slope);
            b.node("PRelu", &["normal", "slope"], "bent", vec![]);
            b.node(op, &["bent"], op, vec![]);
            op.to_string()
        });
    }
}

#[test]
fn slopes_that_are_learned_and_reshapes_of_maps() {
    holds(&[18, 2, 6], |b| {
        let slopes = b.random(&[18, 1, 1], 0.3, 0.0);
        b.weight("slopes", &slopes);
        b.node("PRelu", &["input", "slopes"], "bent", vec![]);
        b.ints("shape", &[0, 9, 4, -1]);
        b.node("Reshape", &["bent", "shape"], "other", vec![]);
        b.node("Transpose", &["other"], "turned", vec![ints("perm", &[0, 3, 1, 2])]);
        b.node("Dropout", &["turned"], "all", vec![]);
        b.ints("axis", &[1]);
        b.node("Unsqueeze", &["all", "axis"], "longer", vec![]);
        b.node("Squeeze", &["longer", "axis"], "shorter", vec![]);
        "shorter".to_string()
    });
}

#[test]
fn one_dimension() {
    holds(&[6, 9], |b| {
        let (w, bias) = (b.random(&[20, 3, 3], 0.4, 0.0), b.random(&[20], 0.2, 0.0));
        b.weight("w", &w).weight("bias", &bias);
        let window =
            |group| vec![ints("pads", &[1, 1]), ints("strides", &[2]), int("group", group)];
        b.node("Conv", &["input", "w", "bias"], "conv", window(2));
        for (name, shift) in [("gamma", 1.0), ("beta", 0.0), ("mean", 0.1)] {
            let tensor = b.random(&[20], 0.1, shift);
            b.weight(name, &tensor);
        }
        b.weight("variance", &Tensor::new(vec![20], vec![0.8; 20]));
        let inputs = ["conv", "gamma", "beta", "mean", "variance"];
        b.node("BatchNormalization", &inputs, "normal", vec![]);
        b.node("MaxPool", &["normal"], "largest", vec![ints("kernel_shape", &[2])]);
        b.node("ReduceMean", &["largest"], "means", vec![ints("axes", &[2])]);
        // Attention across channels: each channel a place along one line.
        b.node("Transpose", &["means"], "line", vec![ints("perm", &[0, 2, 1])]);
        let along = b.random(&[1, 1, 3], 0.5, 0.0);
        b.weight("along", &along);
        b.node("Conv", &["line", "along"], "mixed", vec![ints("pads", &[1, 1])]);
        b.node("Transpose", &["mixed"], "back", vec![ints("perm", &[0, 2, 1])]);
        b.node("Sigmoid", &["back"], "gate", vec![]);
        b.node("Mul", &["normal", "gate"], "one_dimension", vec![]);
        "one_dimension".to_string()
    });
}

#[test]
fn what_is_not_supported_says_why() {
    let refused = |words: &str, build: &dyn Fn(&mut Builder)| {
        // Not folded, so that what folding repairs is refused as well.
        let mut builder = Builder::new(12);
        build(&mut builder);
        let graph = Graph::from_bytes(&builder.finish(&[4, 3, 3], "end"), "end").unwrap();
        let error = Network::new(&graph, &[]).unwrap_err().to_string();
        assert!(error.starts_with("end: node \"") && error.contains(words), "{error}");
    };
    refused("its operands are both constant; fold constants first", &|b| {
        b.weight("one", &Tensor::new(vec![1], vec![1.0]));
        b.node("Add", &["one", "one"], "two", vec![]);
        b.node("Mul", &["input", "two"], "end", vec![]);
    });
    refused("only a softmax over channels is supported", &|b| {
        b.node("Softmax", &["input"], "end", vec![int("axis", 2)]);
    });
    refused("its alpha and beta are not 1", &|b| {
        b.weight("w", &Tensor::new(vec![2, 36], vec![0.1; 72]));
        b.node("Flatten", &["input"], "vector", vec![]);
        b.node("Gemm", &["vector", "w"], "end", vec![int("transB", 1), float("alpha", 0.5)]);
    });
    refused("its bias has 1 numbers; expected 2", &|b| {
        b.weight("w", &Tensor::new(vec![2, 36], vec![0.1; 72]));
        b.weight("bias", &Tensor::new(vec![1], vec![0.1]));
        b.node("Flatten", &["input"], "vector", vec![]);
        b.node("Gemm", &["vector", "w", "bias"], "end", vec![int("transB", 1)]);
    });
    refused("(Greater) cannot be trained: its gradient is not implemented", &|b| {
        b.node("Greater", &["input", "input"], "larger", vec![]);
        b.node("Cast", &["larger"], "end", vec![int("to", 1)]);
    });
}
