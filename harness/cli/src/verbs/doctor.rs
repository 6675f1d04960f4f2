//! `doctor`: runtime, data and CPU; what is missing and how to get it.

use std::path::Path;

use quantbench_datasets::{DataRoots, Part};
use quantbench_engine::Runtime;

use crate::context;
use crate::exit::{Exit, Outcome};
use crate::out;

/// Checks one thing after the other and prints a line each.
pub fn run(configs: Option<&Path>) -> Outcome {
    let mut lines = Vec::new();
    let mut missing = false;
    match Runtime::load() {
        Ok(runtime) => lines.push(format!(
            "ok       ONNX Runtime {} at {}",
            runtime.version(),
            runtime.path().display()
        )),
        Err(error) => {
            missing = true;
            lines.push(format!("missing  ONNX Runtime: {error}"));
        }
    }
    let machine = quantbench_measure::machine();
    lines.push(format!(
        "ok       {} with {} cores and {} MiB ({}); instructions: {}",
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.platform,
        machine.isa.join(", ")
    ));
    let catalog = context::catalog(configs)?;
    let roots = DataRoots::from_env();
    for dataset in catalog.datasets() {
        match quantbench_datasets::load(dataset, Part::Test, &roots) {
            Ok(split) => {
                lines.push(format!(
                    "ok       data set {}: {} test images",
                    dataset.name,
                    split.len()
                ));
            }
            Err(error) => lines.push(format!("absent   data set {}: {error}", dataset.name)),
        }
    }
    for model in catalog.models() {
        match model.locate(&roots) {
            Ok(place) => lines.push(format!("ok       model {}: {place}", model.name)),
            Err(error) => lines.push(format!("absent   model {}: {error}", model.name)),
        }
    }
    out::line(&lines.join("\n"))?;
    // Absent data sets are a choice; without the runtime nothing works.
    Ok(if missing { Exit::Missing } else { Exit::Done })
}
