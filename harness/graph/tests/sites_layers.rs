//! Where the quantizers sit if a spec has rules for single layers.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use common::{spec, tiny};
use quantbench_core::{FirstLast, SitesRule, Spec};
use quantbench_graph::testing::Builder;
use quantbench_graph::{Graph, Sites, sites};

const ACADEMIC: SitesRule = SitesRule::Academic;
const DEPLOYABLE: SitesRule = SitesRule::Deployable;

/// Value and width of each site.
fn listed(sites: &Sites) -> Vec<(&str, u8)> {
    sites.activations.iter().map(|s| (s.value.as_str(), s.bits.get())).collect()
}

#[test]
fn an_excluded_layer_asks_for_no_quantizer() {
    let with = |names: &[&str], rule| {
        let exclude = names.iter().map(ToString::to_string).collect();
        sites(&tiny(), &Spec { exclude, ..spec("w4a4", rule, FirstLast::EightBit) })
    };
    // The second conv of the block alone reads its input; the third reads a residual sum.
    let found = with(&["Conv_b_out", "Conv_c_out"], ACADEMIC).unwrap();
    assert_eq!(listed(&found), [("input", 8), ("stem_relu", 4), ("features", 8)]);
    let layers: Vec<usize> = found.weights.iter().map(|w| w.layer).collect();
    assert_eq!(layers, [0, 1, 4]);
    // Where other operators need the sum to be quantized, it stays.
    let found = with(&["Conv_c*"], DEPLOYABLE).unwrap();
    assert!(listed(&found).contains(&("sum_relu", 4)));
    // The image and the features belong to the first and the last layer.
    let found = with(&["Conv_stem_out", "Gemm_logits"], ACADEMIC).unwrap();
    assert_eq!(listed(&found), [("stem_relu", 4), ("a_relu", 4), ("sum_relu", 4)]);
    let text = with(&["Conv_d_out"], ACADEMIC).unwrap_err().to_string();
    assert!(text.contains("exclude: there is no layer \"Conv_d_out\"; did you mean"), "{text}");
    let text = with(&["*"], ACADEMIC).unwrap_err().to_string();
    assert!(text.contains("leaves no layer to quantize"), "{text}");
}

#[test]
fn a_layer_with_its_own_widths_gets_them_whatever_the_rules() {
    let with = |own: &[(&str, &str)]| {
        let own = own.iter().map(|(l, b)| ((*l).to_string(), b.parse().unwrap())).collect();
        sites(&tiny(), &Spec { layer_bits: own, ..spec("w4a4", ACADEMIC, FirstLast::EightBit) })
            .unwrap()
    };
    let found = with(&[("Conv_stem_out", "w3a5"), ("Conv_b_out", "w8a6"), ("Conv_c_out", "w32a2")]);
    let want = [("input", 5), ("stem_relu", 4), ("a_relu", 6), ("sum_relu", 2), ("features", 8)];
    assert_eq!(listed(&found), want);
    let weights: Vec<_> = found.weights.iter().map(|w| (w.layer, w.bits.get(), w.free)).collect();
    assert_eq!(weights, [(0, 3, false), (1, 4, true), (2, 8, false), (4, 8, false)]);
    // FP32 activations are the widest of all.
    assert!(!listed(&with(&[("Conv_b_out", "w4a32")])).iter().any(|(v, _)| *v == "a_relu"));
}

#[test]
fn an_input_that_several_layers_read_is_as_wide_as_the_widest_asks() {
    let mut b = Builder::new(4);
    let w = b.random(&[3, 3, 1, 1], 0.5, 0.0);
    for (name, input, output) in [
        ("w0", "input", "one"),
        ("w1", "one", "two"),
        ("w2", "one", "three"),
        ("w3", "sum", "logits"),
    ] {
        b.weight(name, &w);
        if output == "logits" {
            b.node("Add", &["two", "three"], "sum", vec![]);
        }
        b.node("Conv", &[input, name], output, vec![]);
    }
    let bytes = b.finish(&[3, 4, 4], "logits");
    let graph = Graph::from_bytes(&bytes, "fork").unwrap().fold().unwrap();
    let bits = |own: &[(&str, &str)], exclude: &[&str]| {
        let layer_bits = own.iter().map(|(l, b)| ((*l).to_string(), b.parse().unwrap())).collect();
        let exclude = exclude.iter().map(ToString::to_string).collect();
        let spec = Spec { layer_bits, exclude, ..spec("w4a4", ACADEMIC, FirstLast::EightBit) };
        let found = sites(&graph, &spec).unwrap();
        found.activations.iter().find(|s| s.value == "one").map(|s| s.bits.get())
    };
    assert_eq!(bits(&[("Conv_two", "w4a6")], &[]), Some(6));
    assert_eq!(bits(&[("Conv_two", "w4a2")], &[]), Some(4));
    assert_eq!(bits(&[("Conv_two", "w4a2")], &["Conv_three"]), Some(2));
    assert_eq!(bits(&[], &["Conv_three"]), Some(4));
    assert_eq!(bits(&[], &["Conv_three", "Conv_two"]), None);
}

#[test]
fn excluding_one_of_two_layers_that_share_weights_is_refused() {
    let mut b = Builder::new(4);
    let w = b.random(&[3, 3, 1, 1], 0.5, 0.0);
    b.weight("w", &w).node("Conv", &["input", "w"], "one", vec![]);
    b.node("Conv", &["one", "w"], "logits", vec![]);
    let bytes = b.finish(&[3, 4, 4], "logits");
    let graph = Graph::from_bytes(&bytes, "twins").unwrap().fold().unwrap();
    let exclude = ["Conv_one".to_string()].into();
    let asked = Spec { exclude, ..spec("w4a4", ACADEMIC, FirstLast::Same) };
    let text = sites(&graph, &asked).unwrap_err().to_string();
    assert!(text.contains("\"Conv_one\" is excluded but shares the weights \"w\""), "{text}");
}
