//! Artefacts may change only together with their method's version.
//!
//! Most widths are weights-only: most activation ranges come from the runtime, whose last bits
//! differ between instruction sets. What is behind them is pinned without it: SQuant's ranges,
//! which follow from the weights, here; where the quantizers sit, here; and the grids that the
//! range estimators give for fixed values, beside their code.

mod common;

use std::collections::BTreeMap;

use common::{Run, engine, spec, tiny};
use quantbench_core::card::ParamValue;
use quantbench_core::hash::sha256_hex;
use quantbench_core::{SitesRule, Spec};
use quantbench_graph::{encode, sites};
use quantbench_methods::ALL;
use serde::Deserialize;

/// One method's entry of `golden.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    version: u32,
    /// Hash of the artefact by widths.
    sha256: BTreeMap<String, String>,
}

#[test]
fn artefacts_change_only_with_the_version() {
    let golden: BTreeMap<String, Golden> =
        serde_yaml::from_str(include_str!("golden.yaml")).unwrap();
    let names: Vec<&str> = ALL.iter().map(|m| m.card().name).collect();
    assert!(golden.keys().eq(names.iter()), "golden.yaml must list exactly the methods {names:?}");
    assert!(golden.values().all(|g| !g.sha256.is_empty()), "golden.yaml lacks a hash");
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let mut wrong = Vec::new();
    for method in ALL {
        let card = method.card();
        let want = &golden[card.name];
        for (widths, hash) in &want.sha256 {
            // What learning and searching do to the last bits depends on the instruction set: both
            // stand still.
            let still = card.params.iter().filter_map(|p| match p.name {
                "passes" => Some((p.name, ParamValue::Int(0))),
                name => name.ends_with("rate").then_some((name, ParamValue::Float(0.0))),
            });
            let still: Vec<_> = still.collect();
            let run = Run::new(engine, &graph, *method, widths).with(*method, &still);
            let artefact = run.go(*method).unwrap();
            let found = sha256_hex(&encode(&artefact));
            match (found == *hash, card.version == want.version) {
                (true, true) => {}
                (false, true) => wrong.push(format!(
                    "{} {widths}: the artefact changed but the card's version did not: raise it \
                     (a new line of golden.yaml: {widths}: {found})",
                    card.name
                )),
                (_, false) => wrong.push(format!(
                    "{}: golden.yaml lacks version {1}: set version: {1} and {widths}: {found}",
                    card.name, card.version
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Value, kind, width and the value whose grid is taken over, by rule, at w4a4.
const SITES: [(SitesRule, &[&str]); 2] = [
    (
        SitesRule::Academic,
        &[
            "input Image 8",
            "stem_relu Hidden 4",
            "a_relu Hidden 4",
            "sum_relu Hidden 4",
            "features LastInput 8",
        ],
    ),
    (
        SitesRule::Deployable,
        &[
            "input Image 8",
            "stem_relu Hidden 4",
            "a_relu Hidden 4",
            "b_bn Hidden 4",
            "sum_relu Hidden 4",
            "c_relu Hidden 4",
            "pooled LastInput 8",
            "features LastInput 8 of pooled",
            "logits Hidden 8",
        ],
    ),
];

#[test]
fn sites_change_only_with_the_version_of_every_method() {
    let graph = tiny();
    for (rule, want) in SITES {
        let found = sites(&graph, &Spec { sites: rule, ..spec("w4a4") }).unwrap();
        let activations = found.activations.iter().map(|site| {
            let of = site.shares.map(|i| format!(" of {}", found.activations[i].value));
            let of = of.unwrap_or_default();
            format!("{} {:?} {}{of}", site.value, site.kind, site.bits.get())
        });
        let activations: Vec<String> = activations.collect();
        assert_eq!(activations, want, "artefacts change with the sites: raise every version");
        let weights: Vec<_> =
            found.weights.iter().map(|w| (w.layer, w.bits.get(), w.free, w.ternary)).collect();
        let kept = |layer| (layer, 8, false, false);
        let free = |layer| (layer, 4, true, false);
        assert_eq!(weights, [kept(0), free(1), free(2), free(3), kept(4)]);
    }
}
