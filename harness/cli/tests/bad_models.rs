//! Bad models, data and runtimes at the command line: one clear error, the right exit code.
#![allow(clippy::unwrap_used)]

mod common;

use common::{assert_error, quantbench, run, runtime_is_here, stderr, stdout, write};
use prost::Message;
use quantbench_graph::onnx::ModelProto;

fn default_model() -> ModelProto {
    ModelProto::decode(quantbench_datasets::DEFAULT_MODEL).unwrap()
}

fn eval(folder: &std::path::Path, model: &str) -> std::process::Output {
    run(quantbench(folder).args(["eval", "--dataset", "shapes10", "--images", "64"]).args([
        "--preprocess-of",
        "resnet-shapes10",
        "--model",
        model,
    ]))
}

#[test]
fn files_that_are_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = quantbench_datasets::DEFAULT_MODEL;
    write(folder.path(), "cut.onnx", &bytes[..bytes.len() / 2]);
    write(folder.path(), "empty.onnx", b"");
    write(folder.path(), "text.onnx", b"hello, this is text");
    std::fs::create_dir(folder.path().join("folder.onnx")).unwrap();
    assert_error(&eval(folder.path(), "cut.onnx"), 2, &["cut.onnx", "truncated or damaged"]);
    assert_error(&eval(folder.path(), "empty.onnx"), 2, &["empty.onnx", "the file is empty"]);
    assert_error(&eval(folder.path(), "text.onnx"), 2, &["text.onnx", "not an ONNX model"]);
    assert_error(&eval(folder.path(), "folder.onnx"), 2, &["folder.onnx", "directory"]);
    assert_error(&eval(folder.path(), "resnet-shapes1"), 2, &["did you mean \"resnet-shapes10\""]);
}

#[test]
fn models_that_cannot_be_quantized() {
    let folder = tempfile::tempdir().unwrap();
    let quantize = |model: &ModelProto| {
        write(folder.path(), "m.onnx", model.encode_to_vec());
        let output = run(quantbench(folder.path()).args([
            "quantize",
            "--model",
            "m.onnx",
            "--dataset",
            "shapes10",
            "--method",
            "squant",
            "--bits",
            "w8a8",
            "-o",
            "q.onnx",
        ]));
        assert!(!folder.path().join("q.onnx").exists(), "half-written result");
        output
    };
    // The note that `quantize` leaves tells the preprocessing; a bare file has none.
    let message = stderr(&quantize(&default_model()));
    assert!(message.contains("preprocessing is not known"), "{message}");
    let mut bad = default_model();
    bad.graph.as_mut().unwrap().node[0].op_type = Some("Einsum".into());
    assert_error(&quantize(&bad), 2, &["operator Einsum is not supported"]);
    let mut bad = default_model();
    let tensor = &mut bad.graph.as_mut().unwrap().initializer[0];
    let name = tensor.name.clone().unwrap();
    tensor.raw_data.as_mut().unwrap()[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_error(&quantize(&bad), 2, &["holds NaN at index 0", &name]);
}

#[test]
fn an_all_zero_channel_is_quantized_and_noted() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut model = default_model();
    let conv = model.graph.as_mut().unwrap().initializer.iter_mut().find(|t| t.dims.len() == 4);
    let conv = conv.unwrap();
    let per_channel = conv.dims[1..].iter().product::<i64>() as usize * 4;
    conv.raw_data.as_mut().unwrap()[..per_channel].fill(0);
    std::fs::create_dir_all(folder.path().join("configs/models")).unwrap();
    let bytes = model.encode_to_vec();
    write(folder.path(), "zero.onnx", &bytes);
    let card = format!(
        "name: zero\nsummary: one channel is zero\nfile: zero.onnx\nsha256: {}\ndataset: shapes10\n\
         preprocess: {{name: half, version: 1, divide: 255, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}}\n\
         source: made by a test\nlicence: none stated\n",
        quantbench_core::hash::sha256_hex(&bytes)
    );
    write(folder.path(), "configs/models/zero.yaml", card);
    for method in ["minmax", "mse", "squant", "twn"] {
        let bits = if method == "twn" { "w2ta8" } else { "w4a4" };
        let output = run(quantbench(folder.path()).env("QUANTBENCH_DATA", folder.path()).args([
            "quantize",
            "--model",
            "zero",
            "--method",
            method,
            "--bits",
            bits,
            "--first-last",
            "same",
            "--calibration-images",
            "32",
            "-o",
            "q.onnx",
        ]));
        assert!(output.status.success(), "{method}: {}", stderr(&output));
        assert!(stdout(&output).contains("zero"), "{method}: {}", stdout(&output));
    }
}

#[test]
fn runtimes_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "text.so", b"not a library");
    for (path, words) in [
        ("/nonexistent/libonnxruntime.so", "/nonexistent/libonnxruntime.so"),
        ("text.so", "text.so"),
        (".", "is not a file"),
    ] {
        let output = run(quantbench(folder.path()).env("ORT_DYLIB_PATH", path).args([
            "eval",
            "--model",
            "resnet-shapes10",
            "--images",
            "10",
        ]));
        assert_error(&output, 3, &[words, "ORT_DYLIB_PATH"]);
    }
}

#[test]
fn data_that_is_not_here() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let output = run(quantbench(folder.path()).env("QUANTBENCH_CACHE", &cache).args([
        "eval",
        "--model",
        "resnet20-cifar10",
    ]));
    assert_error(&output, 3, &["resnet20-cifar10.onnx", "QUANTBENCH_DATA"]);
    let output = run(quantbench(folder.path()).env("QUANTBENCH_CACHE", &cache).args([
        "eval",
        "--model",
        "resnet-shapes10",
        "--dataset",
        "cifar10",
    ]));
    assert_error(&output, 3, &["cifar10", "QUANTBENCH_DATA", "cifar-10-binary.tar.gz"]);
}
