//! What an exported file holds: nodes, types, operator set, and that the rest is untouched.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::collections::BTreeMap;

use common::{quantized, spec, tiny};
use prost::Message;
use quantbench_core::{Bits, FirstLast, Granularity, Grid, Levels, SitesRule};
use quantbench_graph::onnx::ModelProto;
use quantbench_graph::onnx::data_type::{FLOAT, INT2, INT4, INT8, INT32};
use quantbench_graph::{Artefact, ExportOptions, Graph, export};

fn exported(label: &str, rule: SitesRule, portable: bool) -> (Artefact, Graph) {
    let artefact = quantized(&tiny(), &spec(label, rule, FirstLast::EightBit));
    let bytes = export(&artefact, ExportOptions { portable }).unwrap();
    (artefact, Graph::from_bytes(&bytes, "exported").unwrap())
}

fn count(graph: &Graph, op: &str) -> usize {
    graph.nodes().iter().filter(|n| n.op_type.as_deref() == Some(op)).count()
}

/// Numbers of initializers by type.
fn types(graph: &Graph) -> BTreeMap<i32, usize> {
    let mut types = BTreeMap::new();
    for tensor in &graph.proto().initializer {
        *types.entry(tensor.data_type.unwrap()).or_default() += 1;
    }
    types
}

#[test]
fn nothing_quantized_leaves_as_it_came() {
    let graph = tiny();
    let artefact = Artefact::new(graph.clone(), BTreeMap::new(), BTreeMap::new(), Vec::new());
    assert_eq!(export(&artefact, ExportOptions::default()).unwrap(), graph.to_bytes());
}

#[test]
fn every_site_becomes_a_pair_and_every_weight_a_dequantize() {
    for rule in [SitesRule::Academic, SitesRule::Deployable] {
        let (artefact, graph) = exported("w8a8", rule, false);
        let biases = artefact.graph.layers().iter().filter(|l| l.bias.is_some()).count();
        assert!(biases > 0);
        assert_eq!(count(&graph, "QuantizeLinear"), artefact.activations.len());
        assert_eq!(
            count(&graph, "DequantizeLinear"),
            artefact.activations.len() + artefact.weights.len() + biases
        );
        assert_eq!(count(&graph, "Clip"), count(&artefact.graph, "Clip"));
        assert_eq!(graph.opset(), 21);
        assert_eq!(types(&graph)[&INT32], biases);
        // Codes and zero points.
        assert_eq!(types(&graph)[&INT8], 2 * artefact.weights.len());
    }
}

#[test]
fn layers_are_the_old_nodes_and_the_output_keeps_its_name() {
    let (artefact, graph) = exported("w8a8", SitesRule::Deployable, false);
    assert_eq!(graph.output(), artefact.graph.output());
    assert_eq!(graph.input(), artefact.graph.input());
    let last = graph.producer(graph.output()).unwrap();
    assert_eq!(graph.nodes()[last].op_type.as_deref(), Some("DequantizeLinear"));
    let added = ["QuantizeLinear", "DequantizeLinear"];
    let kept: Vec<_> =
        graph.nodes().iter().filter(|n| !added.contains(&n.op_type.as_deref().unwrap())).collect();
    assert_eq!(kept.len(), artefact.graph.nodes().len());
    for (new, old) in kept.iter().zip(artefact.graph.nodes()) {
        assert_eq!(
            (&new.op_type, &new.attribute, &new.name),
            (&old.op_type, &old.attribute, &old.name)
        );
        if matches!(old.op_type.as_deref(), Some("Conv" | "Gemm")) {
            // Weights and biases keep their names.
            assert_eq!(new.input[1..], old.input[1..]);
        }
    }
}

#[test]
fn a_node_between_float_values_is_untouched() {
    // Weights alone: no activation is renamed, so that every old node is there as it was.
    let (artefact, graph) = exported("w4a32", SitesRule::Academic, false);
    assert!(artefact.activations.is_empty());
    for node in artefact.graph.nodes() {
        assert!(graph.nodes().contains(node), "{node:?}");
    }
    assert_eq!(count(&graph, "QuantizeLinear"), 0);
}

#[test]
fn narrow_weights_have_native_types_and_portable_ones_bytes() {
    let (artefact, four) = exported("w4a4", SitesRule::Academic, false);
    // First and last at 8 bits; codes and zero points each.
    assert_eq!((types(&four)[&INT4], types(&four)[&INT8]), (2 * (artefact.weights.len() - 2), 4));
    assert_eq!(four.opset(), 21);
    for label in ["w2a4", "w2ta4"] {
        let (artefact, two) = exported(label, SitesRule::Academic, false);
        assert_eq!(types(&two)[&INT2], 2 * (artefact.weights.len() - 2), "{label}");
        assert_eq!(two.opset(), 25);
        let (artefact, bytes) = exported(label, SitesRule::Academic, true);
        assert_eq!(types(&bytes)[&INT8], 2 * artefact.weights.len(), "{label}");
        assert_eq!(bytes.opset(), 21);
    }
    for label in ["w3a4", "w1a4", "w6a6"] {
        let (artefact, bytes) = exported(label, SitesRule::Academic, false);
        assert_eq!(types(&bytes)[&INT8], 2 * artefact.weights.len(), "{label}");
    }
}

#[test]
fn stored_codes_are_those_of_the_artefact() {
    for (label, bits) in [("w8a8", 8), ("w4a8", 4), ("w2a8", 2), ("w2ta8", 2), ("w1a8", 8)] {
        let (artefact, graph) = exported(label, SitesRule::Academic, false);
        let layer = &artefact.graph.layers()[1];
        let want = &artefact.weights[&layer.weight];
        let held = graph.initializer(&format!("{}_quantized", layer.weight)).unwrap();
        let raw = held.raw_data.as_ref().unwrap();
        let codes = quantbench_core::packing::unpack(raw, want.codes.len(), bits, true).unwrap();
        assert_eq!(codes, want.codes, "{label}");
        assert!(graph.initializer(&layer.weight).is_none());
    }
}

#[test]
fn fewer_levels_than_the_container_are_clipped_first() {
    let (artefact, graph) = exported("w4a4", SitesRule::Academic, false);
    let narrow: Vec<_> = artefact.activations.iter().filter(|(_, g)| g.bits.get() == 4).collect();
    assert!(!narrow.is_empty());
    assert_eq!(count(&graph, "Clip"), count(&artefact.graph, "Clip") + narrow.len());
    for (value, grid) in narrow {
        let (lo, hi) = grid.ends(0);
        assert_eq!(graph.weight(&format!("{value}_lowest")).unwrap().data, [lo]);
        assert_eq!(graph.weight(&format!("{value}_highest")).unwrap().data, [hi]);
    }
}

/// The tiny network with other kinds of activation grids: signed bytes, signs, three levels.
fn unusual() -> Artefact {
    let mut artefact = quantized(&tiny(), &spec("w8a8", SitesRule::Academic, FirstLast::EightBit));
    let one = |levels, bits| Grid {
        levels,
        bits: Bits::new(bits).unwrap(),
        granularity: Granularity::Tensor,
        scale: vec![0.5],
        zero_point: vec![0],
    };
    let signed = Levels::Affine { qmin: -128, qmax: 127 };
    artefact.activations.insert("input".into(), one(signed, 8));
    artefact.activations.insert("stem_relu".into(), one(Levels::Binary, 1));
    artefact.activations.insert("a_relu".into(), one(Levels::Ternary, 2));
    artefact
}

#[test]
fn signs_are_chosen_and_three_levels_are_clipped_bytes() {
    let bytes = export(&unusual(), ExportOptions::default()).unwrap();
    // Read as a message: graphs that are loaded need not know Where.
    let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
    let data = |name: &str| {
        let held = graph.initializer.iter().find(|t| t.name.as_deref() == Some(name)).unwrap();
        (held.data_type.unwrap(), held.raw_data.clone().unwrap())
    };
    let float = |v: f32| (FLOAT, v.to_le_bytes().to_vec());
    assert_eq!(data("input_zero_point"), (INT8, vec![0]));
    assert_eq!((data("a_relu_lowest"), data("a_relu_highest")), (float(-0.5), float(0.5)));
    let sign = graph.node.iter().find(|n| n.op_type.as_deref() == Some("Where")).unwrap();
    // Where takes the second input at true: zero and above.
    assert_eq!(sign.input, ["stem_relu_above", "stem_relu_highest", "stem_relu_lowest"]);
    assert_eq!((data("stem_relu_lowest"), data("stem_relu_highest")), (float(-0.5), float(0.5)));
    let above = graph.node.iter().find(|n| n.output == ["stem_relu_above"]).unwrap();
    assert_eq!(above.op_type.as_deref(), Some("GreaterOrEqual"));
    assert_eq!(above.input, ["stem_relu", "stem_relu_threshold"]);
}

#[test]
fn a_bias_beyond_32_bits_stays_float() {
    let mut artefact =
        quantized(&tiny(), &spec("w8a8", SitesRule::Deployable, FirstLast::EightBit));
    let layer = artefact.graph.layers()[1].clone();
    let name = layer.bias.unwrap();
    let mut bias = artefact.graph.weight(&name).unwrap();
    bias.data[0] = 1.0e9;
    artefact.graph.set_weight(&name, &bias).unwrap();
    let bytes = export(&artefact, ExportOptions::default()).unwrap();
    let graph = Graph::from_bytes(&bytes, "exported").unwrap();
    assert_eq!(graph.weight(&name).unwrap(), bias);
    assert!(graph.initializer(&format!("{name}_quantized")).is_none());
}

#[test]
fn a_bias_is_rounded_at_the_scale_of_the_accumulator() {
    let (artefact, graph) = exported("w8a8", SitesRule::Deployable, false);
    let layer = &artefact.graph.layers()[0];
    let name = layer.bias.as_ref().unwrap();
    let bias = artefact.graph.weight(name).unwrap();
    let raw = graph.initializer(&format!("{name}_quantized")).unwrap().raw_data.clone().unwrap();
    let scales = graph.weight(&format!("{name}_scale")).unwrap();
    let input = artefact.activations[&layer.input].scale[0];
    for (c, code) in raw.chunks_exact(4).enumerate() {
        let code = i32::from_le_bytes(code.try_into().unwrap());
        let scale = input * artefact.weights[&layer.weight].grid.scale[c];
        assert_eq!(scales.data[c], scale);
        assert!((code as f32 * scale - bias.data[c]).abs() <= 0.5001 * scale + 1e-6);
    }
}

#[test]
fn contradictions_are_refused_before_anything_is_written() {
    let good = quantized(&tiny(), &spec("w8a8", SitesRule::Academic, FirstLast::EightBit));
    let refused = |edit: &dyn Fn(&mut Artefact)| {
        let mut bad = good.clone();
        edit(&mut bad);
        export(&bad, ExportOptions::default()).unwrap_err().to_string()
    };
    let weight = good.weights.keys().next().unwrap().clone();
    let value = good.activations.keys().next().unwrap().clone();
    let message = refused(&|a| a.weights.get_mut(&weight).unwrap().grid.scale[0] = f32::NAN);
    assert!(message.contains(&weight) && message.contains("NaN"), "{message}");
    let message = refused(&|a| a.weights.get_mut(&weight).unwrap().codes[0] = 300);
    assert!(message.contains("300"), "{message}");
    let message = refused(&|a| {
        let grid = a.activations.remove(&value).unwrap();
        a.activations.insert(format!("{value}x"), grid);
    });
    assert!(message.contains("did you mean"), "{message}");
    let message = refused(&|a| {
        a.weights.get_mut(&weight).unwrap().codes.pop();
    });
    assert!(message.contains("dimensions"), "{message}");
}
