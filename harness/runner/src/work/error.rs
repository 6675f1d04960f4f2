//! Why a cell has no result.

use quantbench_datasets::DataError;
use quantbench_engine::{EngineError, RuntimeError};
use quantbench_graph::sites::SiteError;
use quantbench_graph::{ExportError, GraphError, PackedError};
use quantbench_methods::{MethodError, UnknownMethod};
use thiserror::Error;

use crate::config::model::ModelError;
use crate::external::folder::FolderError;
use crate::external::process::ProcessError;
use crate::store::StoreError;

/// What stopped the work on a cell; the text becomes the row's reason.
#[derive(Debug, Error)]
pub enum WorkError {
    /// The FP32 model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The runtime library.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The graph of the model.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No quantizer can be placed.
    #[error(transparent)]
    Sites(#[from] SiteError),
    /// The method.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// A method that this program does not have.
    #[error(transparent)]
    UnknownMethod(#[from] UnknownMethod),
    /// A parameter, a width or an option that does not fit.
    #[error("{0}")]
    Unfit(String),
    /// A stored artefact.
    #[error(transparent)]
    Packed(#[from] PackedError),
    /// The exported file.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The evaluation.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The run folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of an external command.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// An external command.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// What came from outside is not what was asked.
    #[error("wrong file: {0}")]
    WrongFile(String),
    /// The runtime or the processor is not the one that the plan was made for.
    #[error(
        "the plan was made for ONNX Runtime {planned_runtime} on {planned_isa}, the worker has \
         {runtime} on {isa}; plan and run again"
    )]
    Elsewhere {
        /// Version of the runtime in the plan.
        planned_runtime: String,
        /// Instruction set in the plan.
        planned_isa: String,
        /// Version of the runtime here.
        runtime: String,
        /// Instruction set here.
        isa: String,
    },
    /// A data set that is not the one that the plan was made for.
    #[error(
        "data set {dataset}: the plan was made for a {part} split with hash {planned}, the files \
         have {found}; plan and run again"
    )]
    OtherData {
        /// Name of the data set.
        dataset: String,
        /// Which split.
        part: quantbench_datasets::Part,
        /// Hash in the plan.
        planned: String,
        /// Hash of the files.
        found: String,
    },
}

impl WorkError {
    /// Whether something is missing here, in contrast to being wrong: exit code 3.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Model(error) => error.is_missing(),
            Self::Data(error) => error.is_missing(),
            Self::Runtime(_) => true,
            _ => false,
        }
    }
}
