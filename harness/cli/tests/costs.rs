//! Costs on targets that are stored beside rows, and what a report makes of them.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{assert_error, quantbench, run, runtime_is_here, stderr, write};

const SURVEY: &str = "\
name: small
dataset: shapes10
models: [resnet-shapes10]
methods: [minmax, squant]
specs: [w8a8, w4a4]
calibration: {images: 32}
profiles: [systolic-ws-64, bitfusion]
";

fn costs(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("costs")).map_or(0, Iterator::count)
}

#[test]
fn a_run_stores_costs_and_a_report_shows_them() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    let output =
        run(quantbench(folder.path()).args(["run", "s.yaml", "--images", "128", "--out", "o"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let dir = folder.path().join("o");
    // Four artefacts on two targets; the FP32 network has no modelled cost.
    assert!(stderr(&output).contains("costs: 8 stored now, 0 were there"), "{}", stderr(&output));
    assert_eq!(costs(&dir), 8);
    let more = ["cost", "--run", "o", "--profile", "bitfusion", "--profile", "mcu-m7"];
    let output = run(quantbench(folder.path()).args(more));
    assert!(stderr(&output).contains("costs: 4 stored now, 4 were there"), "{}", stderr(&output));
    let output = run(quantbench(folder.path()).args(["report", "o"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(dir.join("report/report.md")).unwrap();
    for part in ["## What the target changes", "### systolic-ws-64: cost_modelled", "cannot run"] {
        assert!(text.contains(part), "no {part:?} in the report");
    }
    assert!(dir.join("report/figures/roofline-bitfusion.svg").exists());
    // Without artefacts, as in a published folder, costs are shown and none are made.
    std::fs::remove_dir_all(dir.join("artefacts")).unwrap();
    let output = run(quantbench(folder.path()).args(["cost", "--run", "o"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("4 rows have no artefact in o"), "{}", stderr(&output));
}

#[test]
fn a_damaged_cost_row_is_named_and_left_out() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    let only = ["--images", "64", "--only", "method=squant", "--out", "o"];
    let output = run(quantbench(folder.path()).args(["run", "s.yaml"]).args(only));
    assert!(output.status.success(), "{}", stderr(&output));
    write(&folder.path().join("o/costs"), "0.json", "{\"schema\": 1}");
    let output = run(quantbench(folder.path()).args(["report", "o"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let warning = "0.json is left out, because it is no cost row: missing field `id`";
    assert!(stderr(&output).contains(warning), "{}", stderr(&output));
    let output = run(quantbench(folder.path()).args(["cost", "--run", "nowhere"]));
    assert_error(&output, 2, &["nowhere"]);
}

#[test]
fn two_folders_are_compared_and_a_choice_is_recommended() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    for out in ["a", "b"] {
        let only = ["--images", "64", "--only", "method=minmax", "--out", out];
        let output = run(quantbench(folder.path()).args(["run", "s.yaml"]).args(only));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let check = |more: &[&str]| {
        run(quantbench(folder.path()).args(["compare", "a", "b", "--check"]).args(more))
    };
    let output = check(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    // One cell less in one of them: exit code 4, but nothing beyond noise.
    let rows = folder.path().join("b/rows");
    let quantized = std::fs::read_dir(&rows).unwrap().map(|e| e.unwrap().path());
    let mut quantized = quantized.filter(|p| std::fs::read_to_string(p).unwrap().contains("w4a4"));
    std::fs::remove_file(quantized.next().unwrap()).unwrap();
    assert_eq!(check(&[]).status.code(), Some(4));
    assert_eq!(check(&["--beyond-noise"]).status.code(), Some(0));
    assert_error(&run(quantbench(folder.path()).args(["compare", "a", "c"])), 2, &["c"]);
    let ask = |more: &[&str]| run(quantbench(folder.path()).args(["recommend", "a"]).args(more));
    let output = ask(&["--profile", "bitfusion", "--data", "unlabelled"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("minmax"));
    assert_error(&ask(&["--size-kib", "1"]), 2, &["nothing fits the limits", "--size-kib 2"]);
    assert_error(&ask(&["--profile", "bitfusio"]), 2, &["did you mean \"bitfusion\"?"]);
}

/// A quantized file of the embedded network.
fn quantized(folder: &Path) {
    let words = ["quantize", "--model", "resnet-shapes10", "--method", "minmax", "--bits", "w8a8"];
    let more = ["--calibration-images", "64", "-o", "q.onnx"];
    let output = run(quantbench(folder).args(words).args(more));
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_file_is_timed_beside_its_model_layer_by_layer() {
    if !runtime_is_here() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    quantized(folder.path());
    let words = ["cost", "resnet-shapes10", "--artefact", "q.onnx", "--measure", "--rounds", "20"];
    let output = run(quantbench(folder.path()).args(words).arg("--json"));
    assert!(output.status.success(), "{}", stderr(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["profile"], "x86-native");
    for side in ["artefact", "fp32"] {
        let cost = &found["cost_measured"][side];
        assert!(cost["seconds"].as_f64().unwrap() > 0.0, "{cost}");
        let layers = cost["layers"].as_array().unwrap();
        let timed = layers.iter().filter(|l| l["seconds"].as_f64().is_some_and(|s| s > 0.0));
        assert!(2 * timed.count() > layers.len(), "most layers of {side} have a time: {layers:?}");
    }
    let output = run(quantbench(folder.path()).args(words).arg("--layers"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("95 % of the median") && text.contains("w8a8"), "{text}");
    let output = run(quantbench(folder.path()).args(["cost", "resnet-shapes10", "--measure"]));
    assert_error(&output, 2, &["--measure: expected --run DIR, or MODEL and --artefact FILE"]);
}

#[test]
fn a_run_is_held_to_avx2_by_an_option() {
    if !runtime_is_here() || !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    quantized(folder.path());
    let eval = ["eval", "--model", "q.onnx", "--deployed", "--images", "64", "--isa", "avx2"];
    let output = run(quantbench(folder.path()).args(eval).args(["--precise", "--json"]));
    if stderr(&output).contains("cannot be capped") {
        println!("skipped: {}", stderr(&output));
        return;
    }
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(quantbench(folder.path()).args(["eval", "--model", "q.onnx", "--precise"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--deployed"), "{}", stderr(&output));
    let output = run(quantbench(folder.path()).arg("doctor"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("held to AVX2 (--isa avx2): byte products are saturating"), "{text}");
}
