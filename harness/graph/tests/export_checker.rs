//! Exported files before the judge: the ONNX project's own checker.
//!
//! Needs a Python with the package `onnx`: `QUANTBENCH_PYTHON`, else `python3`.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::process::Command;

use common::{folded, quantized, real_model, spec};
use prost::Message;
use quantbench_core::{FirstLast, SitesRule};
use quantbench_graph::onnx::ModelProto;
use quantbench_graph::{ExportOptions, Graph, export, testing};

const CHECK: &str = "
import sys, onnx
for path in sys.argv[1:]:
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:
        sys.exit(f'{path}: {error}')
";

/// A Python that has `onnx`, or none with the reason printed.
fn python() -> Option<String> {
    let python = std::env::var("QUANTBENCH_PYTHON").unwrap_or_else(|_| "python3".to_string());
    match Command::new(&python).args(["-c", "import onnx"]).output() {
        Ok(output) if output.status.success() => Some(python),
        Ok(_) => {
            eprintln!(
                "skipped: {python} cannot import onnx; set QUANTBENCH_PYTHON to one that can"
            );
            None
        }
        Err(error) => {
            eprintln!("skipped: {python} does not start: {error}");
            None
        }
    }
}

fn check(python: &str, graph: &Graph) {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for label in ["w8a8", "w4a4", "w2a2", "w2ta8", "w1a1", "w3a5", "w4a32", "w32a8"] {
        for rule in [SitesRule::Academic, SitesRule::Deployable] {
            for first_last in [FirstLast::EightBit, FirstLast::Same, FirstLast::Fp32] {
                for portable in [false, true] {
                    let artefact = quantized(graph, &spec(label, rule, first_last));
                    let name = format!("{label}-{rule}-{first_last}-{portable}.onnx");
                    let path = folder.path().join(name);
                    let bytes = export(&artefact, ExportOptions { portable }).unwrap();
                    std::fs::write(&path, bytes).unwrap();
                    paths.push(path);
                }
            }
        }
    }
    let output = Command::new(python).args(["-c", CHECK]).args(&paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_tiny_network_passes_at_all_widths() {
    if let Some(python) = python() {
        // The checker wants the output's shape, which the tiny network leaves out.
        let mut model = ModelProto::decode(testing::tiny_resnet(7).as_slice()).unwrap();
        model.graph.as_mut().unwrap().output[0] = testing::info("logits", Some(&[4]));
        check(&python, &folded(&model.encode_to_vec(), "tiny"));
    }
}

#[test]
fn a_real_network_passes_at_all_widths() {
    let (Some(python), Some(bytes)) = (python(), real_model("resnet20-cifar10.onnx")) else {
        return;
    };
    check(&python, &folded(&bytes, "resnet20"));
}
