//! `quantize` and `eval` on the embedded default, and the embedded default itself.
#![allow(clippy::unwrap_used)]

mod common;

use common::{quantbench, run, runtime_is_here, stderr, stdout};

fn accuracy(folder: &std::path::Path, args: &[&str]) -> f64 {
    let output = run(quantbench(folder).args(["eval", "--json"]).args(args));
    assert!(output.status.success(), "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    value["top1_pct"].as_f64().unwrap()
}

#[test]
fn the_embedded_default_keeps_what_its_card_promises() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fp32 = accuracy(folder.path(), &["--model", "resnet-shapes10"]);
    assert!((93.0..=98.0).contains(&fp32), "{fp32}");
    let quantized = |bits: &str| {
        let output = run(quantbench(folder.path()).args([
            "quantize",
            "--model",
            "resnet-shapes10",
            "--method",
            "minmax",
            "--bits",
            bits,
            "--calibration-images",
            "256",
            "-o",
            "q.onnx",
        ]));
        assert!(output.status.success(), "{}", stderr(&output));
        accuracy(folder.path(), &["--model", "q.onnx"])
    };
    let (w8, w4, w2) = (quantized("w8a8"), quantized("w4a4"), quantized("w2a2"));
    assert!((w8 - fp32).abs() < 0.6, "{w8}");
    assert!(w4 < fp32 - 1.0 && w4 > fp32 - 10.0, "some points are lost at W4A4: {w4}");
    assert!(w2 < 30.0, "three times chance is not reached at W2A2: {w2}");
}

#[test]
fn eight_bits_run_as_integers() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run(quantbench(folder.path()).args([
        "quantize",
        "--model",
        "resnet-shapes10",
        "--method",
        "mse",
        "--bits",
        "w8a8",
        "--calibration-images",
        "64",
        "-o",
        "q.onnx",
    ]));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(quantbench(folder.path()).args(["eval", "--model", "q.onnx", "--deployed"]));
    assert!(stdout(&output).contains("integer kernels: 10 of 10 layers"), "{}", stdout(&output));
}

#[test]
fn real_models_reach_their_cards() {
    let Some(data) = std::env::var_os("QUANTBENCH_DATA") else {
        eprintln!("skipped: QUANTBENCH_DATA is not set, so the CIFAR-10 models are not at hand");
        return;
    };
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (model, top1) in
        [("resnet8-cifar10", 87.19), ("resnet20-cifar10", 91.73), ("resnet32-cifar10", 92.63)]
    {
        let output = run(quantbench(folder.path())
            .env("QUANTBENCH_DATA", &data)
            .args(["eval", "--json", "--model", model]));
        assert!(output.status.success(), "{}", stderr(&output));
        let value: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let found = value["top1_pct"].as_f64().unwrap();
        assert!((found - top1).abs() <= 0.02, "{model}: {found}, its card says {top1}");
    }
}
