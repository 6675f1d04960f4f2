//! Helpers of the tests: artefacts made by plain min-max with made-up activation ranges.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quantbench_core::grid::{SignedRange, symmetric_scale};
use quantbench_core::{Bits, FirstLast, Grid, Levels, SitesRule, Spec};
use quantbench_graph::{Artefact, Graph, Sites, sites, testing};

/// The folded tiny network.
pub fn tiny() -> Graph {
    folded(&testing::tiny_resnet(7), "tiny")
}

pub fn folded(bytes: &[u8], origin: &str) -> Graph {
    Graph::from_bytes(bytes, origin).unwrap().fold().unwrap()
}

/// The spec of a label with one rule for first and last layers.
pub fn spec(label: &str, rule: SitesRule, first_last: FirstLast) -> Spec {
    Spec { sites: rule, first_last, ..Spec::from_widths(label.parse().unwrap()) }
}

/// A min-max artefact of a graph; activations reach from -1 to 3 (or 0 to 3 after Relu).
pub fn quantized(graph: &Graph, spec: &Spec) -> Artefact {
    let found = sites(graph, spec).unwrap();
    let weights = weights(graph, &found);
    let activations = found.activations.iter().map(|site| {
        let relu = graph.producer(&site.value).map(|n| graph.nodes()[n].op_type.clone());
        let lo = if relu == Some(Some("Relu".to_string())) { 0.0 } else { -1.0 };
        (site.value.clone(), Grid::activation(lo, 3.0, site.bits))
    });
    let artefact = Artefact::new(graph.clone(), weights, activations.collect(), vec!["µ".into()]);
    artefact.check().unwrap();
    artefact
}

fn weights(graph: &Graph, found: &Sites) -> BTreeMap<String, quantbench_core::QuantTensor> {
    let layers = graph.layers();
    let quantize = |site: &quantbench_graph::WeightSite| {
        let layer = &layers[site.layer];
        let tensor = graph.weight(&layer.weight).unwrap();
        let inner: usize = layer.dims[layer.axis + 1..].iter().product();
        let mut highest = vec![0.0f32; layer.channels()];
        for (i, row) in tensor.data.chunks(inner).enumerate() {
            let channel = &mut highest[i % layer.channels()];
            *channel = row.iter().fold(*channel, |m, w| m.max(w.abs()));
        }
        let scales = highest.iter().map(|&m| symmetric_scale(m, site.bits)).collect();
        let grid = if site.ternary {
            Grid::ternary(highest, layer.axis)
        } else {
            let range = SignedRange::default_for(site.bits);
            let grid = Grid::symmetric(scales, layer.axis, site.bits, range);
            let binary = site.bits == Bits::new(1).unwrap();
            Grid { levels: if binary { Levels::Binary } else { grid.levels }, ..grid }
        };
        (layer.weight.clone(), grid.quantize(&tensor).unwrap())
    };
    found.weights.iter().map(quantize).collect()
}

/// A real model, or none with the reason printed.
pub fn real_model(name: &str) -> Option<Vec<u8>> {
    let Some(root) = std::env::var_os("QUANTBENCH_DATA") else {
        eprintln!("skipped: QUANTBENCH_DATA is not set, so {name} is not at hand");
        return None;
    };
    let path = PathBuf::from(root).join("models").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {} cannot be read: {error}", path.display());
            None
        }
    }
}
