//! The arrows between the rooms: who may use whom, as ARCHITECTURE.md draws them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

/// Room -> rooms that it may use. An edge that is missing here is forbidden.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("graph", &["core"]),
    ("engine", &["core", "graph"]),
    ("methods", &["core", "graph", "engine"]),
    ("hardware", &["core", "graph"]),
    ("measure", &["core", "engine", "hardware"]),
    ("datasets", &["core"]),
    ("runner", &["core", "graph", "engine", "methods", "hardware", "measure", "datasets"]),
    ("reported", &[]),
    ("report", &["core", "reported"]),
    (
        "cli",
        &[
            "core", "graph", "engine", "methods", "hardware", "measure", "datasets", "runner",
            "report", "reported",
        ],
    ),
];

/// Heavy dependencies, each behind one room.
const BEHIND: &[(&str, &[&str])] = &[
    ("ort", &["engine"]),
    ("plotters", &["report"]),
    ("minijinja", &["report"]),
    ("prost", &["graph", "engine"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
    ("mozjpeg", &["datasets"]),
    ("ureq", &["cli"]),
];

fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    metadata
        .packages
        .iter()
        .map(|p| {
            let room = p.name.strip_prefix("quantbench-").unwrap().to_string();
            let uses = p
                .dependencies
                .iter()
                .filter(|d| d.kind != cargo_metadata::DependencyKind::Development)
                .map(|d| d.name.clone())
                .collect();
            (room, uses)
        })
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let edges = edges();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(room, _)| *room).collect();
    assert_eq!(edges.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for (room, allowed) in ALLOWED {
        for dependency in &edges[*room] {
            if let Some(used) = dependency.strip_prefix("quantbench-") {
                assert!(allowed.contains(&used), "{room} must not use {used}");
            }
        }
    }
}

#[test]
fn heavy_dependencies_stay_behind_one_room() {
    let edges = edges();
    for (crate_name, rooms) in BEHIND {
        for (room, uses) in &edges {
            let allowed = rooms.contains(&room.as_str());
            assert!(allowed || !uses.contains(*crate_name), "{room} must not use {crate_name}");
        }
    }
}

#[test]
fn core_does_no_io_and_reads_no_clock() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/src");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for forbidden in ["std::fs", "std::env", "std::net", "std::time", "std::process"] {
            assert!(!text.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}

#[test]
fn methods_touch_no_file_clock_network_or_environment() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../methods/src");
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may read golden files.
            let code = text.split("#[cfg(test)]").next().unwrap_or("");
            for forbidden in ["std::fs", "std::env", "std::net", "std::time", "quantbench_hardware"]
            {
                assert!(!code.contains(forbidden), "{} uses {forbidden}", path.display());
            }
        }
    }
}

#[test]
fn budgets_are_the_defaults_of_the_cards() {
    for budget in &quantbench_reported::Reported::builtin().unwrap().budgets {
        let card = quantbench_methods::ALL.iter().map(|m| m.card());
        let card = card.into_iter().find(|card| card.name == budget.method);
        let card = card.unwrap_or_else(|| panic!("no method {}", budget.method));
        let params = card.resolve(&quantbench_core::Params::new()).unwrap();
        let found = &params[budget.parameter.as_str()];
        assert_eq!(*found, quantbench_core::ParamValue::Int(budget.value), "{}", budget.method);
    }
}
