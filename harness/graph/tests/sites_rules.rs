//! Where the quantizers sit: explicit lists for the tiny network, counts for real ones.

mod common;

use common::{folded, real_model, spec, tiny};
use quantbench_core::{FirstLast, ImageRule, SitesRule, Spec};
use quantbench_graph::{Graph, Layer, SiteKind, Sites, sites};

fn placed(graph: &Graph, label: &str, rule: SitesRule) -> Sites {
    sites(graph, &spec(label, rule, FirstLast::EightBit)).unwrap()
}

fn values(sites: &Sites) -> Vec<&str> {
    sites.activations.iter().map(|s| s.value.as_str()).collect()
}

fn widths(sites: &Sites) -> Vec<u8> {
    sites.activations.iter().map(|s| s.bits.get()).collect()
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
        let found = placed(&graph, "w4a4", SitesRule::Academic);
        assert_eq!(found.activations.len(), academic, "{name}");
        assert_eq!(found.weights.len(), layers, "{name}");
        let kinds = |kind| found.activations.iter().filter(|s| s.kind == kind).count();
        assert_eq!((kinds(SiteKind::Image), kinds(SiteKind::LastInput)), (1, 1), "{name}");
        let deployable = placed(&graph, "w8a8", SitesRule::Deployable);
        for layer in graph.layers() {
            assert!(values(&deployable).contains(&layer.input.as_str()), "{}", layer.name);
        }
        assert_eq!(values(&deployable).last(), Some(&graph.output()), "{name}");
    }
}
