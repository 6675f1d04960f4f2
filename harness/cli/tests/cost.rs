//! `cost`: one model on simulated targets.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{assert_error, quantbench, run, runtime_is_here, stderr, stdout, workspace, write};
use serde_json::Value;

const MODEL: &str = "resnet-shapes10";

fn cost(folder: &Path, args: &[&str]) -> Value {
    let output = run(quantbench(folder).args(["cost", "--json"]).args(args));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|v| v["profile"].as_str().unwrap()).collect()
}

#[test]
fn every_target_with_a_model_gives_cycles_time_energy_and_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let found = cost(folder.path(), &[MODEL]);
    let costs = found["cost_modelled"].as_array().unwrap();
    assert!(costs.len() >= 11 && found["unfit"].as_array().unwrap().is_empty());
    for cost in costs {
        let total = &cost["total"];
        for key in ["cycles", "seconds", "utilisation", "macs", "bit_operations"] {
            assert!(total[key].as_f64().unwrap() > 0.0, "{}: {key}", cost["profile"]);
        }
        let energy: f64 =
            total["energy"].as_object().unwrap().values().map(|v| v.as_f64().unwrap()).sum();
        assert!(energy > 0.0 && !total["traffic"].as_array().unwrap().is_empty());
        assert_eq!(cost["layers"].as_array().unwrap().len(), 10);
        assert_eq!(total["macs"].as_u64(), Some(12_501_632));
    }
    let output =
        run(quantbench(folder.path()).args(["cost", MODEL, "--profile", "bismo", "--layers"]));
    let text = stdout(&output);
    assert!(
        output.status.success() && text.starts_with("resnet-shapes10: 10 layers at w8a8"),
        "{text}"
    );
    assert!(text.contains("bismo (bitserial)") && text.contains("stem.conv"), "{text}");
}

#[test]
fn targets_that_lack_a_width_are_left_out_unless_named() {
    let folder = tempfile::tempdir().unwrap();
    let found = cost(folder.path(), &[MODEL, "--weights", "3", "--activations", "4"]);
    assert!(names(&found["unfit"]).contains(&"systolic-ws-64"));
    assert_eq!(
        names(&found["cost_modelled"]),
        ["bismo", "bitfusion", "eyeriss", "loom", "stripes"]
    );
    for (args, texts) in [
        (
            &["--weights", "3", "--profile", "systolic-ws-64"][..],
            &[
                "systolic-ws-64.yaml: executes.weight_bits: layer \"stem.conv\" has weights of 3 bits",
            ][..],
        ),
        (
            &["--weights", "32", "--activations", "32"],
            &["no simulated target runs this model", "32 bits"],
        ),
        (
            &["--profile", "bitfusoin"],
            &["unknown profile \"bitfusoin\"; did you mean \"bitfusion\"?"],
        ),
        (
            &["--profile", "x86-avx2"],
            &["x86-avx2.yaml: cost: there is no such section", "measured"],
        ),
        (&["--profile", "none.yaml"], &["cannot read none.yaml"]),
    ] {
        let output = run(quantbench(folder.path()).args(["cost", MODEL]).args(args));
        assert_error(&output, 2, texts);
    }
    let output = run(quantbench(folder.path()).args(["cost", "resnet-shape10"]));
    assert_error(&output, 2, &["did you mean \"resnet-shapes10\"?"]);
    let output = run(quantbench(folder.path()).args(["cost", MODEL, "--weights", "33"]));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_profile_of_ones_own_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = workspace().join("configs/hardware/systolic-os-16.yaml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let own = text.replace("rows: 16", "rows: 8").replace("name: systolic-os-16", "name: mine");
    write(folder.path(), "mine.yaml", own);
    let found =
        cost(folder.path(), &[MODEL, "--profile", "mine.yaml", "--profile", "systolic-os-16"]);
    assert_eq!(names(&found["cost_modelled"]), ["mine", "systolic-os-16"]);
    let cycles: Vec<u64> =
        (0..2).map(|i| found["cost_modelled"][i]["total"]["cycles"].as_u64().unwrap()).collect();
    assert!(cycles[0] > cycles[1] * 3 / 2, "{cycles:?}");
    write(folder.path(), "bad.yaml", text.replace("rows: 16", "rows: 0"));
    let output = run(quantbench(folder.path()).args(["cost", MODEL, "--profile", "bad.yaml"]));
    assert_error(&output, 2, &["bad.yaml: cost.array.rows: 0 does not fit", "line"]);
}

#[test]
fn a_quantized_file_has_the_widths_of_its_layers() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run(quantbench(folder.path()).args([
        "quantize",
        "--model",
        MODEL,
        "--method",
        "minmax",
        "--bits",
        "w4a4",
        "--layer-bits",
        "block2.down.conv=w2a4",
        "--calibration-images",
        "32",
        "-o",
        "q.onnx",
    ]));
    assert!(output.status.success(), "{}", stderr(&output));
    let stated = stdout(&output);
    let found = cost(folder.path(), &["--artefact", "q.onnx", MODEL, "--profile", "bitfusion"]);
    let layers = found["workload"].as_array().unwrap();
    let widths: std::collections::BTreeSet<u64> =
        layers.iter().map(|l| l["weight_bits"].as_u64().unwrap()).collect();
    assert_eq!(widths.into_iter().collect::<Vec<_>>(), [2, 4, 8]);
    let bops = found["cost_modelled"][0]["total"]["bit_operations"].as_f64().unwrap() / 1e9;
    assert!(stated.contains(&format!("{bops:.3} G per image")), "{bops} {stated}");
    // The file itself is a model with quantizers.
    let same = cost(folder.path(), &["q.onnx", "--profile", "bitfusion"]);
    assert_eq!(same["cost_modelled"], found["cost_modelled"]);
    let output = run(quantbench(folder.path()).args(["cost", "q.onnx", "--weights", "8"]));
    assert_error(&output, 2, &["q.onnx: the file has quantizers", "leave --weights"]);
    let output =
        run(quantbench(folder.path()).args(["cost", "--artefact", "q.onnx", "--weights", "8"]));
    assert_eq!(output.status.code(), Some(2));
    let output = run(quantbench(folder.path()).args(["cost", "--artefact", "missing.onnx"]));
    assert_error(&output, 2, &["cannot read missing.onnx"]);
}
