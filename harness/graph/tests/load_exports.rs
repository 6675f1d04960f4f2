//! What this room writes, it reads: exported files of every width load again.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use common::{quantized, spec, tiny};
use quantbench_core::{FirstLast, SitesRule};
use quantbench_graph::{ExportOptions, Graph, export};

#[test]
fn every_export_loads_with_the_shapes_of_its_source() {
    let graph = tiny();
    for (label, rule, portable) in [
        ("w8a8", SitesRule::Deployable, false),
        ("w4a4", SitesRule::Academic, false),
        ("w2a2", SitesRule::Academic, true),
        ("w2a2", SitesRule::Academic, false),
        ("w2ta8", SitesRule::Deployable, false),
        ("w1a1", SitesRule::Academic, false),
        ("w3a5", SitesRule::Academic, false),
    ] {
        let artefact = quantized(&graph, &spec(label, rule, FirstLast::Same));
        let options = ExportOptions { portable };
        let bytes = export(&artefact, options).unwrap();
        let loaded = Graph::from_bytes(&bytes, label).unwrap();
        assert_eq!(loaded.shape("logits"), graph.shape("logits"), "{label}");
        assert_eq!(loaded.to_bytes(), bytes, "{label}");
    }
}
