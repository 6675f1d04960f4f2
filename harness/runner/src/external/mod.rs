//! Artefacts from outside: methods in any language, and Q/DQ files that other tools made.
//!
//! An *external* method is a card (`configs/external/NAME.yaml`) with a command. The command gets
//! a fresh folder with `model.onnx`, `job.json` and, where its card asks, `calibration.npy` and
//! `labels.npy`; it has to leave `artefact.onnx` and `report.json` there. An *artefact* is a
//! finished Q/DQ file that a survey names.
//!
//! *Invariant*: a command sees what its card was granted and nothing else: where the kernel has
//! Landlock, it can read its folder, the files on its card and the system's libraries, write to
//! its folder alone, and reach no TCP port. Whatever it does, the outcome is a row.

pub mod card;
pub(crate) mod check;
mod confine;
pub(crate) mod folder;
pub(crate) mod make;
mod params;
pub(crate) mod process;
mod report;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use card::External;

/// Where an artefact from outside comes from, with everything resolved on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// A command makes it.
    Command(Launch),
    /// It is a file.
    File(PathBuf),
}

/// How the command of an external method is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Name of the method.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Files on the card, which the command may read.
    pub files: Vec<PathBuf>,
    /// Folder with installed packages, which it may read too.
    pub environment: Option<PathBuf>,
    /// Further files and folders that it may read.
    pub reads: Vec<PathBuf>,
    /// Seconds after which it is ended.
    pub timeout_s: u64,
    /// How to get what it needs, in words.
    pub setup: Option<String>,
}
