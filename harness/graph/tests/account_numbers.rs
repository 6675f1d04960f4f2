//! Sizes and bit operations against numbers worked out by hand.
//!
//! The tiny network: weights 216 + 576 + 576 + 1152 + 64, biases and output channels
//! 8 + 8 + 8 + 16 + 4 = 44; multiply-accumulates 13,824 + 36,864 + 36,864 + 18,432 + 64.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::collections::BTreeMap;

use common::{quantized, spec, tiny};
use quantbench_core::{FirstLast, SitesRule};
use quantbench_graph::testing::{Builder, int, ints};
use quantbench_graph::{Artefact, allocation, bit_operations, encode, mean_weight_bits, sizes};

const INNER: u64 = 576 + 576 + 1152;
const OUTER: u64 = 216 + 64;
const CHANNELS: u64 = 44;

fn artefact(label: &str, rule: SitesRule) -> Artefact {
    quantized(&tiny(), &spec(label, rule, FirstLast::EightBit))
}

#[test]
fn sizes_of_an_unquantized_model_are_its_parameters() {
    let float = Artefact::new(tiny(), BTreeMap::new(), BTreeMap::new(), Vec::new());
    let sizes = sizes(&float, 100, 90);
    assert_eq!(sizes.theoretical_bits, 32 * (INNER + OUTER + CHANNELS));
    assert_eq!(
        (sizes.weight_bits, sizes.weight_bits_fp32),
        (32 * (INNER + OUTER), 32 * (INNER + OUTER))
    );
    assert_eq!((sizes.fp32_file_bytes, sizes.file_bytes), (100, 90));
}

#[test]
fn theoretical_bits_count_weights_biases_scales_and_zero_points() {
    for (label, inner) in [("w8a8", 8), ("w4a4", 4), ("w2ta4", 2), ("w1a4", 1)] {
        let artefact = artefact(label, SitesRule::Academic);
        let sizes = sizes(&artefact, 0, 0);
        let weights = inner * INNER + 8 * OUTER;
        assert_eq!(sizes.weight_bits, weights, "{label}");
        let zero_points: u64 = artefact.activations.values().map(|g| u64::from(g.bits.get())).sum();
        let activations = 5 * 32 + zero_points;
        // Biases at 32, one scale per output channel, symmetric weights without zero points.
        assert_eq!(sizes.theoretical_bits, weights + 2 * 32 * CHANNELS + activations, "{label}");
        assert_eq!(sizes.packed_bytes, encode(&artefact).len() as u64);
    }
    let ratio = sizes(&artefact("w4a4", SitesRule::Academic), 0, 0).compression_weights_only();
    assert!((ratio - 32.0 * 2584.0 / (4.0 * 2304.0 + 8.0 * 280.0)).abs() < 1e-9);
}

#[test]
fn bit_operations_multiply_the_widths_that_meet_in_a_layer() {
    let (stem, a, c, fc) = (13_824, 36_864, 18_432, 64);
    let fp32 = 1024 * (stem + 2 * a + c + fc);
    let inner = 2 * a + c;
    assert_eq!(
        bit_operations(&artefact("w4a4", SitesRule::Academic)),
        (64 * (stem + fc) + 16 * inner, fp32)
    );
    assert_eq!(
        bit_operations(&artefact("w2a32", SitesRule::Academic)),
        (8 * 32 * (stem + fc) + 64 * inner, fp32)
    );
    // Nothing but the placement differs: the layers read the same widths.
    assert_eq!(
        bit_operations(&artefact("w4a4", SitesRule::Deployable)),
        bit_operations(&artefact("w4a4", SitesRule::Academic))
    );
}

#[test]
fn a_layer_behind_a_copy_reads_the_width_of_the_source() {
    let mut b = Builder::new(3);
    let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
    b.node("Relu", &[&stem], "r", vec![]);
    b.node(
        "MaxPool",
        &["r"],
        "pool",
        vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
    );
    let one = b.conv_bn("pool", "c", (4, 4), 1, 1);
    let two = b.conv_bn("r", "d", (4, 4), 2, 1);
    b.node("Concat", &[&one, &two], "joined", vec![int("axis", 1)]);
    let graph = common::folded(&b.finish(&[3, 8, 8], "joined"), "test");
    let artefact = quantized(&graph, &spec("w3a5", SitesRule::Academic, FirstLast::Same));
    assert!(!artefact.activations.contains_key("pool"));
    let read: Vec<_> = allocation(&artefact).iter().map(|l| l.activations.get()).collect();
    assert_eq!(read, [8, 5, 5]);
}

#[test]
fn a_product_of_activations_counts() {
    let mut b = Builder::new(3);
    let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
    b.node("Relu", &[&stem], "r", vec![]);
    b.node("Sigmoid", &["r"], "gate", vec![]);
    b.node("MatMul", &["r", "gate"], "product", vec![]);
    let graph = common::folded(&b.finish(&[3, 8, 8], "product"), "test");
    let artefact = quantized(&graph, &spec("w3a5", SitesRule::Academic, FirstLast::Same));
    let (stem, product) = (27 * 4 * 64, 4 * 8 * 8 * 8);
    assert_eq!(bit_operations(&artefact), (3 * 8 * stem + 25 * product, 1024 * (stem + product)));
}

#[test]
fn multiply_accumulates_count_every_dimension_but_the_batch() {
    // The batch is the second dimension while the layer and the product work.
    let mut b = Builder::new(3);
    b.node("Transpose", &["input"], "turned", vec![ints("perm", &[1, 0, 2, 3])]);
    let w = b.random(&[4, 5], 0.3, 0.0);
    b.weight("w", &w).node("MatMul", &["turned", "w"], "layer", vec![]);
    b.node("Transpose", &["layer"], "columns", vec![ints("perm", &[0, 1, 3, 2])]);
    b.node("Sigmoid", &["columns"], "gate", vec![]);
    b.node("MatMul", &["gate", "layer"], "product", vec![]);
    b.node("Transpose", &["product"], "logits", vec![ints("perm", &[1, 0, 2, 3])]);
    let graph = common::folded(&b.finish(&[2, 3, 4], "logits"), "test");
    let (layer, product) = (2 * 3 * 5 * 4, 2 * 5 * 5 * 3);
    assert_eq!(graph.layers()[0].macs, layer);
    assert_eq!(graph.item_elements("layer"), 2 * 3 * 5);
    let float = Artefact::new(graph, BTreeMap::new(), BTreeMap::new(), Vec::new());
    assert_eq!(bit_operations(&float).1, 1024 * (layer + product));
}

#[test]
fn mean_width_is_weighted_by_parameters() {
    let layers = allocation(&artefact("w4a4", SitesRule::Academic));
    let want = (8.0 * OUTER as f64 + 4.0 * INNER as f64) / (OUTER + INNER) as f64;
    assert!((mean_weight_bits(&layers) - want).abs() < 1e-12);
    assert_eq!(layers.iter().map(|l| l.weights.get()).collect::<Vec<_>>(), [8, 4, 4, 4, 8]);
    assert_eq!(mean_weight_bits(&[]), 0.0);
}
