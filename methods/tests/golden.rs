//! Artefacts may change only together with their method's version.
//!
//! Widths are weights-only: activations come from the runtime, whose last bits differ between
//! instruction sets.

mod common;

use std::collections::BTreeMap;

use common::{Run, engine, tiny};
use quantbench_core::hash::sha256_hex;
use quantbench_graph::encode;
use quantbench_methods::ALL;
use serde::Deserialize;

/// One method's entry of `golden.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    version: u32,
    widths: String,
    sha256: String,
}

#[test]
fn artefacts_change_only_with_the_version() {
    let golden: BTreeMap<String, Golden> =
        serde_yaml::from_str(include_str!("golden.yaml")).unwrap();
    let names: Vec<&str> = ALL.iter().map(|m| m.card().name).collect();
    assert!(golden.keys().eq(names.iter()), "golden.yaml must list exactly the methods {names:?}");
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let mut wrong = Vec::new();
    for method in ALL {
        let card = method.card();
        let want = &golden[card.name];
        let artefact = Run::new(engine, &graph, *method, &want.widths).go(*method).unwrap();
        let found = sha256_hex(&encode(&artefact));
        let same = found == want.sha256;
        match (same, card.version == want.version) {
            (true, true) => {}
            (false, true) => wrong.push(format!(
                "{}: the artefact changed but the card's version did not: raise it",
                card.name
            )),
            (_, false) => wrong.push(format!(
                "{}: golden.yaml lacks version {1}: set version: {1} and sha256: {found}",
                card.name, card.version
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
