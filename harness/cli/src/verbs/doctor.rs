//! `doctor`: runtime, data and CPU; what is missing and how to get it.

use std::path::Path;
use std::process::Command;

use quantbench_datasets::{DataError, DataRoots, DatasetManifest, Part};
use quantbench_engine::{Runtime, byte_products, cap};

use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Checks one thing after the other and prints a line each.
///
/// Absent data sets and models are a choice; without the runtime nothing works, and damaged data
/// must not go unnoticed.
pub fn run(configs: Option<&Path>) -> Outcome {
    let (mut missing, mut damaged) = (false, false);
    match Runtime::load() {
        Ok(runtime) => {
            out::line(&format!(
                "ok       ONNX Runtime {} at {}",
                runtime.version(),
                runtime.path().display()
            ))?;
            match byte_products(runtime) {
                Ok(found) => out::line(&format!(
                    "ok       8-bit kernels of {}: byte products are {found}",
                    quantbench_measure::isa_class()
                ))?,
                Err(error) => out::line(&format!("missing  8-bit kernels: {error}"))?,
            }
            if !cap::asked().or_usage()? {
                out::line(&match held() {
                    Ok(found) => format!(
                        "ok       8-bit kernels held to AVX2 (--isa avx2): byte products are {found}"
                    ),
                    Err(reason) => format!("absent   holding the runtime to AVX2: {reason}"),
                })?;
            }
        }
        Err(error) => {
            missing = true;
            out::line(&format!("missing  ONNX Runtime: {error}"))?;
        }
    }
    let machine = quantbench_measure::machine();
    out::line(&format!(
        "ok       {} with {} cores and {} MiB ({}); instructions: {}",
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.platform,
        machine.isa.join(", ")
    ))?;
    let catalog = context::catalog(configs)?;
    let roots = DataRoots::from_env();
    for dataset in catalog.datasets() {
        match images(dataset, &roots) {
            Ok((train, test)) => out::line(&format!(
                "ok       data set {}: {train} training and {test} test images",
                dataset.name
            ))?,
            Err(error) if error.is_missing() => out::line(&format!("absent   {error}"))?,
            Err(error) => {
                damaged = true;
                out::line(&format!("damaged  {error}"))?;
            }
        }
    }
    for model in catalog.models() {
        match model.bytes(&roots).and_then(|_| model.locate(&roots)) {
            Ok(place) => out::line(&format!("ok       model {}: {place}", model.name))?,
            Err(error) if error.is_missing() => out::line(&format!("absent   {error}"))?,
            Err(error) => {
                damaged = true;
                out::line(&format!("damaged  {error}"))?;
            }
        }
    }
    for external in catalog.externals() {
        match external.state() {
            Ok(()) => out::line(&format!(
                "ok       external method {}: {}",
                external.card.name, external.tool
            ))?,
            Err(reason) => out::line(&format!("absent   {reason}"))?,
        }
    }
    Ok(match (missing, damaged) {
        (true, _) => Exit::Missing,
        (_, true) => Exit::SomeFailed,
        _ => Exit::Done,
    })
}

/// What the probe finds in a process that is held to AVX2, or why there is none.
fn held() -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .arg("probe")
        .env(cap::ISA_VARIABLE, cap::AVX2)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_string());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().find_map(|line| line.strip_prefix("error: "));
    Err(error.map_or_else(|| format!("the probe ended with {}", output.status), str::to_string))
}

/// Numbers of training and test images, after checking both splits.
fn images(dataset: &DatasetManifest, roots: &DataRoots) -> Result<(usize, usize), DataError> {
    let count = |part| quantbench_datasets::load(dataset, part, roots).map(|split| split.len());
    Ok((count(Part::Train)?, count(Part::Test)?))
}
