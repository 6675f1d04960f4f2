//! What a worker is told: everything about one cell, so that it looks nothing up.

use std::path::PathBuf;

use quantbench_core::row::{Cell, Gate, Machine, Observed, Row, SCHEMA, Status};
use quantbench_datasets::{DataRoots, DatasetManifest};
use serde::{Deserialize, Serialize};

use crate::config::model::ModelCard;
use crate::external::Foreign;
use crate::plan::identity::CellIds;

/// One cell with its surroundings, as one line of JSON on the worker's standard input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Name of the survey.
    pub survey: String,
    /// For messages.
    pub label: String,
    /// What is asked.
    pub cell: Cell,
    /// Its ids.
    pub ids: CellIds,
    /// Where the artefact comes from, if no method of this program makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
    /// The FP32 model.
    pub model: ModelCard,
    /// The data set.
    pub dataset: DatasetManifest,
    /// Folders with data and models.
    pub dirs: Vec<PathBuf>,
    /// Folder for unpacked archives.
    pub cache: PathBuf,
    /// The run folder.
    pub store: PathBuf,
    /// Version of the runtime in the plan.
    pub runtime: String,
    /// Instruction set in the plan.
    pub isa: String,
    /// Images per forward pass of the evaluation.
    pub batch: usize,
    /// Threads of the runtime.
    pub threads: usize,
    /// Cells that run at the same time.
    pub jobs: usize,
    /// State of the FP32 gate; none in the FP32 cell itself, which settles it.
    pub gate: Option<Gate>,
    /// Whether histograms of weights and activations are stored beside the artefact.
    #[serde(default)]
    pub histograms: bool,
    /// Command line of the run.
    pub command: String,
    /// Commit of the program.
    pub commit: String,
}

/// How far a worker is, as lines of JSON on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub all: usize,
    /// What is being done.
    pub what: String,
}

impl Order {
    /// Where data and models are looked for.
    pub fn roots(&self) -> DataRoots {
        DataRoots { dirs: self.dirs.clone(), cache: self.cache.clone() }
    }

    /// A row without a result.
    pub fn failed(&self, reason: &str, observed: Observed) -> Row {
        Row {
            schema: SCHEMA,
            survey: self.survey.clone(),
            cell: self.cell.clone(),
            ids: self.ids.ids.clone(),
            status: Status::Failed,
            reason: Some(reason.to_string()),
            result: None,
            observed,
        }
    }

    /// The observed part as far as it is known before any work.
    pub fn observed(&self, machine: Machine) -> Observed {
        Observed {
            threads: self.threads,
            jobs: self.jobs,
            machine,
            runtime: format!("ONNX Runtime {}", self.runtime),
            quantbench: env!("CARGO_PKG_VERSION").to_string(),
            commit: self.commit.clone(),
            command: self.command.clone(),
            ..Observed::default()
        }
    }
}

/// The time now, RFC 3339 with milliseconds.
pub fn now() -> String {
    humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string()
}
