//! Where the quantizers sit: explicit lists for small networks, counts for real ones.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use common::{folded, real_model, spec, tiny};
use quantbench_core::{FirstLast, ImageRule, SitesRule, Spec};
use quantbench_graph::testing::{Builder, float, int, ints};
use quantbench_graph::{Graph, SiteError, SiteKind, Sites, sites};

const ACADEMIC: SitesRule = SitesRule::Academic;
const DEPLOYABLE: SitesRule = SitesRule::Deployable;

fn placed(graph: &Graph, label: &str, rule: SitesRule) -> Sites {
    sites(graph, &spec(label, rule, FirstLast::EightBit)).unwrap()
}

/// Value and width of each site.
fn listed(sites: &Sites) -> Vec<(&str, u8)> {
    sites.activations.iter().map(|s| (s.value.as_str(), s.bits.get())).collect()
}

fn kind_of(sites: &Sites, value: &str) -> SiteKind {
    sites.activations.iter().find(|s| s.value == value).unwrap().kind
}

/// The value whose grid a site takes over.
fn shared<'s>(sites: &'s Sites, value: &str) -> Option<&'s str> {
    let site = sites.activations.iter().find(|s| s.value == value).unwrap();
    site.shares.map(|i| sites.activations[i].value.as_str())
}

#[test]
fn academic_sites_are_layer_inputs_and_residual_sums() {
    let found = placed(&tiny(), "w4a4", ACADEMIC);
    let want = [("input", 8), ("stem_relu", 4), ("a_relu", 4), ("sum_relu", 4), ("features", 8)];
    assert_eq!(listed(&found), want);
    assert_eq!(kind_of(&found, "input"), SiteKind::Image);
    assert_eq!(kind_of(&found, "sum_relu"), SiteKind::Hidden);
    assert_eq!(kind_of(&found, "features"), SiteKind::LastInput);
    assert!(found.activations.iter().all(|s| s.shares.is_none()));
}

#[test]
fn deployable_sites_surround_every_add_and_pool_and_reach_the_logits() {
    let found = placed(&tiny(), "w4a4", DEPLOYABLE);
    let want = [
        ("input", 8),
        ("stem_relu", 4),
        ("a_relu", 4),
        ("b_bn", 4),
        ("sum_relu", 4),
        ("c_relu", 4),
        ("pooled", 8),
        ("features", 8),
        ("logits", 8),
    ];
    assert_eq!(listed(&found), want);
    assert_eq!(shared(&found, "features"), Some("pooled"));
    assert_eq!(kind_of(&found, "pooled"), SiteKind::LastInput);
    assert_eq!(found.activations.iter().filter(|s| s.shares.is_some()).count(), 1);
}

#[test]
fn the_rules_for_image_and_last_layer_set_widths_or_take_sites_away() {
    let graph = tiny();
    let with = |label: &str, image, first_last| {
        let spec = Spec { image, ..spec(label, ACADEMIC, first_last) };
        let found = sites(&graph, &spec).unwrap();
        let listed = listed(&found);
        let width = |value| listed.iter().find(|(v, _)| *v == value).map(|(_, b)| *b);
        (width("input"), width("stem_relu"), width("features"))
    };
    assert_eq!(with("w4a4", ImageRule::Fp32, FirstLast::Fp32), (None, Some(4), None));
    assert_eq!(with("w4a4", ImageRule::Same, FirstLast::Same), (Some(4), Some(4), Some(4)));
    assert_eq!(with("w4a4", ImageRule::EightBit, FirstLast::EightBit), (Some(8), Some(4), Some(8)));
    assert_eq!(with("w4a32", ImageRule::EightBit, FirstLast::EightBit), (None, None, None));
}

#[test]
fn weights_of_first_and_last_layer_follow_their_rule() {
    let graph = tiny();
    let of = |label: &str, first_last| {
        let found = sites(&graph, &spec(label, ACADEMIC, first_last)).unwrap();
        found.weights.iter().map(|w| (w.layer, w.bits.get(), w.free, w.ternary)).collect::<Vec<_>>()
    };
    let kept = |b, t| {
        let inner = (1..4).map(move |l| (l, b, true, t));
        let mut all = vec![(0, 8, false, false)];
        all.extend(inner);
        all.push((4, 8, false, false));
        all
    };
    assert_eq!(of("w4a4", FirstLast::EightBit), kept(4, false));
    assert_eq!(of("w2ta8", FirstLast::EightBit), kept(2, true));
    assert_eq!(
        of("w2ta8", FirstLast::Same),
        (0..5).map(|l| (l, 2, true, true)).collect::<Vec<_>>()
    );
    assert_eq!(
        of("w4a4", FirstLast::Fp32),
        (1..4).map(|l| (l, 4, true, false)).collect::<Vec<_>>()
    );
    assert_eq!(of("w32a8", FirstLast::EightBit), []);
}

#[test]
fn an_fp32_last_layer_leaves_the_logits_alone() {
    let found = sites(&tiny(), &spec("w8a8", DEPLOYABLE, FirstLast::Fp32)).unwrap();
    let values: Vec<_> = found.activations.iter().map(|s| s.value.as_str()).collect();
    assert_eq!(values.last(), Some(&"c_relu"));
}

/// A stem with Relu, then what a test adds; `r` is the stem's output of 4 x 8 x 8.
fn after_stem(add: impl FnOnce(&mut Builder), output: &str) -> Graph {
    let mut b = Builder::new(3);
    let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
    b.node("Relu", &[&stem], "r", vec![]);
    add(&mut b);
    folded(&b.finish(&[3, 8, 8], output), "test")
}

fn fc(b: &mut Builder, features: &str, inputs: usize) {
    let w = b.random(&[4, inputs], 0.4, 0.0);
    b.weight("fc.w", &w);
    b.node("Flatten", &[features], "flat", vec![]);
    b.node("Gemm", &["flat", "fc.w"], "logits", vec![int("transB", 1)]);
}

#[test]
fn a_shortcut_of_slice_and_pad_keeps_the_grid_of_its_source() {
    let graph = after_stem(
        |b| {
            let conv = b.conv_bn("r", "c", (4, 8), 2, 1);
            b.ints("zero", &[0, 0]).ints("end", &[8, 8]).ints("axes", &[2, 3]).ints("two", &[2, 2]);
            b.node("Slice", &["r", "zero", "end", "axes", "two"], "cut", vec![]);
            b.ints("pads", &[0, 2, 0, 0, 0, 2, 0, 0]);
            b.node("Pad", &["cut", "pads"], "padded", vec![]);
            b.node("Add", &[&conv, "padded"], "sum", vec![]);
            b.node("Clip", &["sum"], "clipped", vec![]);
            fc(b, "clipped", 128);
        },
        "logits",
    );
    let academic = placed(&graph, "w4a4", ACADEMIC);
    // The sum after its Clip feeds the FC alone, through Flatten: it has the FC's width, and the
    // flattened copy needs no second quantizer.
    assert_eq!(listed(&academic), [("input", 8), ("r", 4), ("clipped", 8)]);
    let deployable = placed(&graph, "w4a4", DEPLOYABLE);
    let want = [
        ("input", 8),
        ("r", 4),
        ("c_bn", 4),
        ("padded", 4),
        ("clipped", 8),
        ("flat", 8),
        ("logits", 8),
    ];
    assert_eq!(listed(&deployable), want);
    assert_eq!(shared(&deployable, "padded"), Some("r"));
    assert_eq!(shared(&deployable, "flat"), Some("clipped"));
}

#[test]
fn padding_with_another_value_is_no_copy() {
    let graph = after_stem(
        |b| {
            b.ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1]);
            let one = quantbench_core::Tensor::new(vec![], vec![1.0]);
            b.weight("one", &one);
            b.node("Pad", &["r", "pads", "one"], "padded", vec![]);
            b.node("Add", &["r", "r"], "twice", vec![]);
            b.node("GlobalAveragePool", &["twice"], "unused", vec![]);
            let conv = b.conv_bn("padded", "c", (4, 4), 1, 1);
            b.conv_bn("r", "d", (4, 4), 1, 1);
            fc(b, &conv, 400);
        },
        "logits",
    );
    let found = placed(&graph, "w8a8", DEPLOYABLE);
    assert_eq!(shared(&found, "padded"), None);
}

#[test]
fn a_max_pool_between_relu_and_conv() {
    let pool = |b: &mut Builder| {
        let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        b.node("MaxPool", &["r"], "pool", window);
    };
    let alone = after_stem(
        |b| {
            pool(b);
            let conv = b.conv_bn("pool", "c", (4, 4), 1, 1);
            fc(b, &conv, 64);
        },
        "logits",
    );
    assert_eq!(listed(&placed(&alone, "w4a4", ACADEMIC)), [("input", 8), ("pool", 4), ("flat", 8)]);
    let both = placed(&alone, "w4a4", DEPLOYABLE);
    assert_eq!(shared(&both, "pool"), Some("r"));

    // A second reader of the Relu: its output is quantized, and the pool's needs nothing more.
    let forked = after_stem(
        |b| {
            pool(b);
            let conv = b.conv_bn("pool", "c", (4, 4), 1, 1);
            let other = b.conv_bn("r", "d", (4, 4), 2, 1);
            b.node("Concat", &[&conv, &other], "joined", vec![int("axis", 1)]);
            fc(b, "joined", 128);
        },
        "logits",
    );
    assert_eq!(listed(&placed(&forked, "w4a4", ACADEMIC)), [("input", 8), ("r", 4), ("flat", 8)]);
    let want = [
        ("input", 8),
        ("r", 4),
        ("pool", 4),
        ("c_bn", 4),
        ("d_bn", 4),
        ("joined", 8),
        ("flat", 8),
        ("logits", 8),
    ];
    assert_eq!(listed(&placed(&forked, "w4a4", DEPLOYABLE)), want);
}

#[test]
fn every_part_of_a_split_keeps_the_grid_of_its_source() {
    let graph = after_stem(
        |b| {
            b.node("Split", &["r"], "left", vec![int("axis", 1)]).output("right");
            let conv = b.conv_bn("left", "c", (2, 4), 1, 1);
            b.node("Concat", &[&conv, "right"], "joined", vec![int("axis", 1)]);
            fc(b, "joined", 384);
        },
        "logits",
    );
    let academic = placed(&graph, "w4a4", ACADEMIC);
    assert_eq!(listed(&academic), [("input", 8), ("left", 4), ("flat", 8)]);
    let deployable = placed(&graph, "w4a4", DEPLOYABLE);
    let want = [
        ("input", 8),
        ("r", 4),
        ("left", 4),
        ("right", 4),
        ("c_bn", 4),
        ("joined", 8),
        ("flat", 8),
        ("logits", 8),
    ];
    assert_eq!(listed(&deployable), want);
    assert_eq!((shared(&deployable, "left"), shared(&deployable, "right")), (Some("r"), Some("r")));
}

#[test]
fn a_split_feeds_the_last_layer_if_all_its_read_parts_do() {
    // The left half goes to the FC; what becomes of the right half is up to the test.
    let split = |output: &str, right: &dyn Fn(&mut Builder)| {
        let add = |b: &mut Builder| {
            b.node("Split", &["r"], "left", vec![int("axis", 1)]).output("right");
            fc(b, "left", 128);
            right(b);
        };
        placed(&after_stem(add, output), "w4a4", DEPLOYABLE)
    };
    let alone = split("logits", &|_| {});
    assert_eq!(kind_of(&alone, "r"), SiteKind::LastInput);
    assert_eq!(shared(&alone, "flat"), Some("r"));
    let both = split("sum", &|b| {
        let conv = b.conv_bn("right", "c", (2, 4), 1, 1);
        b.node("GlobalAveragePool", &[&conv], "pooled", vec![]);
        b.node("Flatten", &["pooled"], "other", vec![]);
        b.node("Add", &["logits", "other"], "sum", vec![]);
    });
    assert_eq!(kind_of(&both, "r"), SiteKind::Hidden);
    assert_eq!(shared(&both, "right"), Some("r"));
}

#[test]
fn a_layer_reads_the_width_of_its_site_or_of_what_it_is_a_copy_of() {
    let graph = tiny();
    let widths = |graph: &Graph, spec: &Spec| -> Vec<u8> {
        let found = sites(graph, spec).unwrap();
        graph.layers().iter().map(|l| found.input_bits(graph, l).get()).collect()
    };
    for rule in [ACADEMIC, DEPLOYABLE] {
        let of = |label, first_last| widths(&graph, &spec(label, rule, first_last));
        assert_eq!(of("w4a4", FirstLast::EightBit), [8, 4, 4, 4, 8]);
        assert_eq!(of("w4a4", FirstLast::Fp32), [8, 4, 4, 4, 32]);
        assert_eq!(of("w4a32", FirstLast::EightBit), [32; 5]);
        let image = Spec { image: ImageRule::Same, ..spec("w4a4", rule, FirstLast::Same) };
        assert_eq!(widths(&graph, &image), [4; 5]);
    }
    // The pool's output is no site of its own under the academic rule.
    let pooled = after_stem(
        |b| {
            let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            b.node("MaxPool", &["r"], "pool", window);
            let conv = b.conv_bn("pool", "c", (4, 4), 1, 1);
            let other = b.conv_bn("r", "d", (4, 4), 2, 1);
            b.node("Concat", &[&conv, &other], "joined", vec![int("axis", 1)]);
            fc(b, "joined", 128);
        },
        "logits",
    );
    assert_eq!(widths(&pooled, &spec("w4a4", ACADEMIC, FirstLast::EightBit)), [8, 4, 4, 8]);
}

#[test]
fn a_sum_without_relu_is_a_site_where_a_conv_reads_it() {
    let graph = after_stem(
        |b| {
            let one = b.conv_bn("r", "c", (4, 4), 1, 1);
            b.node("Add", &[&one, "r"], "sum", vec![]);
            let two = b.conv_bn("sum", "d", (4, 4), 1, 1);
            fc(b, &two, 256);
        },
        "logits",
    );
    let want = [("input", 8), ("r", 4), ("sum", 4), ("flat", 8)];
    assert_eq!(listed(&placed(&graph, "w4a4", ACADEMIC)), want);
}

#[test]
fn both_operands_of_a_product_of_activations() {
    let graph = after_stem(
        |b| {
            b.node("Transpose", &["r"], "turned", vec![ints("perm", &[0, 1, 3, 2])]);
            b.node("Sigmoid", &["turned"], "gate", vec![]);
            b.node("MatMul", &["r", "gate"], "product", vec![]);
            fc(b, "product", 256);
        },
        "logits",
    );
    let want = [("input", 8), ("r", 4), ("gate", 4), ("flat", 8)];
    assert_eq!(listed(&placed(&graph, "w4a4", ACADEMIC)), want);
}

#[test]
fn preprocessing_inside_the_model_counts_as_image() {
    let mut b = Builder::new(1);
    let scale = quantbench_core::Tensor::new(vec![1], vec![0.5]);
    b.weight("scale", &scale);
    b.node("Mul", &["input", "scale"], "scaled", vec![]);
    let conv = b.conv_bn("scaled", "c", (3, 4), 1, 1);
    b.node("LeakyRelu", &[&conv], "leaky", vec![float("alpha", 0.1)]);
    fc(&mut b, "leaky", 256);
    let graph = folded(&b.finish(&[3, 8, 8], "logits"), "test");
    let found = placed(&graph, "w4a4", ACADEMIC);
    assert_eq!(listed(&found), [("scaled", 8), ("flat", 8)]);
    assert_eq!(kind_of(&found, "scaled"), SiteKind::Image);
}

#[test]
fn a_graph_without_layers_is_refused() {
    let mut b = Builder::new(1);
    b.node("Relu", &["input"], "y", vec![]);
    let graph = folded(&b.finish(&[3, 8, 8], "y"), "empty.onnx");
    let error = sites(&graph, &spec("w8a8", ACADEMIC, FirstLast::EightBit)).unwrap_err();
    assert!(matches!(error, SiteError::NoLayers { .. }));
    assert!(error.to_string().contains("empty.onnx"));
}

#[test]
fn real_models_have_the_sites_that_papers_count() {
    for (name, academic, layers) in [
        ("resnet20-cifar10.onnx", 21, 20),
        ("resnet32-cifar10.onnx", 33, 32),
        ("resnet8-cifar10.onnx", 9, 10),
    ] {
        let Some(bytes) = real_model(name) else { return };
        let graph = folded(&bytes, name);
        let found = placed(&graph, "w4a4", ACADEMIC);
        assert_eq!(found.activations.len(), academic, "{name}");
        assert_eq!(found.weights.len(), layers, "{name}");
        let kinds = |kind| found.activations.iter().filter(|s| s.kind == kind).count();
        assert_eq!((kinds(SiteKind::Image), kinds(SiteKind::LastInput)), (1, 1), "{name}");
        let deployable = placed(&graph, "w8a8", DEPLOYABLE);
        for layer in graph.layers() {
            assert!(
                deployable.activations.iter().any(|s| s.value == layer.input),
                "{}",
                layer.name
            );
        }
        assert_eq!(deployable.activations.last().unwrap().value, graph.output(), "{name}");
    }
}
