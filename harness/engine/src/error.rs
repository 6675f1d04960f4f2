//! What can be wrong with the runtime library, and with running a model on it.

use std::path::PathBuf;

use quantbench_core::SourceError;
use quantbench_graph::GraphError;
use thiserror::Error;

/// What to do about a library, at the end of each message about one.
const REMEDY: &str = "run scripts/fetch-runtime, or set ORT_DYLIB_PATH to the library file of \
                      ONNX Runtime 1.23 or newer";

/// There is no usable ONNX Runtime library. A caller ends with "something is missing here".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuntimeError {
    /// It cannot be held to a smaller instruction set.
    #[error("ONNX Runtime cannot be capped: {reason}")]
    Cap {
        /// Why, and what to do.
        reason: String,
    },
    /// No library anywhere.
    #[error(
        "no ONNX Runtime library: ORT_DYLIB_PATH is not set and there is no libonnxruntime in \
         {}; {REMEDY}",
        .looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound {
        /// The folders that were looked at.
        looked: Vec<PathBuf>,
    },
    /// A path that does not exist.
    #[error(
        "no ONNX Runtime library: ORT_DYLIB_PATH names {}, which does not exist; {REMEDY}",
        .path.display()
    )]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A folder, or something else that is not a file.
    #[error("{} is not a file, expected the library file of ONNX Runtime; {REMEDY}", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file that the system's loader refuses.
    #[error("{} cannot be loaded as a library: {reason}; {REMEDY}", .path.display())]
    NotALibrary {
        /// The path.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A library, but not ONNX Runtime.
    #[error("{} is a library but not ONNX Runtime ({reason}); {REMEDY}", .path.display())]
    WrongLibrary {
        /// The path.
        path: PathBuf,
        /// How that showed.
        reason: String,
    },
    /// ONNX Runtime, but a version that does not offer the interface that we call.
    #[error("{} is ONNX Runtime {version}, expected 1.{minimum} or newer; {REMEDY}", .path.display())]
    TooOld {
        /// The path.
        path: PathBuf,
        /// Its version.
        version: String,
        /// The oldest minor version that will do.
        minimum: u32,
    },
    /// The library loads but does not start.
    #[error("ONNX Runtime at {} does not start: {reason}; {REMEDY}", .path.display())]
    Start {
        /// The path.
        path: PathBuf,
        /// ONNX Runtime's words.
        reason: String,
    },
}

/// A model that cannot be run, or images that it cannot be run on.
///
/// `origin` is the file or artefact that the model came from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// ONNX Runtime does not accept the model; its message names the node and op where it can.
    #[error(
        "{origin}: ONNX Runtime {version} refuses the model: {reason}; check it with the ONNX \
         checker, or use a newer runtime for newer ops"
    )]
    Refused {
        /// Where the model came from.
        origin: String,
        /// Version of the runtime.
        version: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// A model that does not take exactly one FP32 tensor.
    #[error("{origin}: the model takes {found}; expected one float32 tensor, the batch of images")]
    Input {
        /// Where the model came from.
        origin: String,
        /// What it takes instead.
        found: String,
    },
    /// Images whose dimensions are not those of the model's input.
    #[error(
        "{origin}: the model takes a batch of dimensions {expected}, got {found:?}; check that \
         the data set and its preprocessing are those of the model"
    )]
    InputShape {
        /// Where the model came from.
        origin: String,
        /// Dimensions that it takes, `?` where any size will do.
        expected: String,
        /// Dimensions that it was given.
        found: Vec<usize>,
    },
    /// An output that is not an FP32 tensor.
    #[error("{origin}: value {name:?} is {found}; expected a float32 tensor")]
    Output {
        /// Where the model came from.
        origin: String,
        /// The value.
        name: String,
        /// What it is instead.
        found: String,
    },
    /// First output whose dimensions are not those of logits.
    #[error(
        "{origin}: the first output has dimensions {found:?} for {images} images; expected \
         logits, [{images}, classes], further dimensions 1, with 1 to 65536 classes"
    )]
    Logits {
        /// Where the model came from.
        origin: String,
        /// Dimensions of the output.
        found: Vec<usize>,
        /// Images in the batch.
        images: usize,
    },
    /// A model and a data set with another number of classes.
    #[error(
        "{origin}: the model has logits for {model} classes, the data set has {data} classes; \
         check that the data set is that of the model"
    )]
    Classes {
        /// Where the model came from.
        origin: String,
        /// Logits per image.
        model: usize,
        /// Classes of the data set.
        data: usize,
    },
    /// A logit that is not a number, so that no class can be told.
    #[error(
        "{origin}: the logit of class {class} is not a number for image {image} (position in the \
         evaluated order); look for infinite or NaN weights or scales"
    )]
    NotANumber {
        /// Where the model came from.
        origin: String,
        /// Position of the image.
        image: usize,
        /// First class whose logit is NaN.
        class: usize,
    },
    /// ONNX Runtime failed in the middle of a run.
    #[error("{origin}: ONNX Runtime failed while running the model: {reason}")]
    Run {
        /// Where the model came from.
        origin: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// A batch size of zero.
    #[error("a batch of 0 images was asked for; expected 1 or more")]
    NoBatch,
    /// Nothing to evaluate.
    #[error("{origin}: there are no images to run the model on; expected at least one")]
    NoImages {
        /// Where the model came from.
        origin: String,
    },
    /// As many labels as images are needed.
    #[error("the data set has {labels} labels for {images} images; expected one for each")]
    Labels {
        /// Number of labels.
        labels: usize,
        /// Number of images.
        images: usize,
    },
    /// The optimised model could not be had, so that its layers cannot be counted.
    #[error("{origin}: cannot read back the optimised model: {reason}; check {}", .folder.display())]
    Optimised {
        /// Where the model came from.
        origin: String,
        /// What went wrong.
        reason: String,
        /// The folder for temporary files.
        folder: PathBuf,
    },
    /// The runtime's profile could not be had, so that its operators have no times.
    #[error("{origin}: cannot read back the runtime's profile: {reason}; check {}", .folder.display())]
    Profile {
        /// Where the model came from.
        origin: String,
        /// What went wrong.
        reason: String,
        /// The folder for temporary files.
        folder: PathBuf,
    },
    /// Images could not be delivered.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The graph could not be rewritten, for example because a tapped value does not exist.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// A foreign message as part of ours: one line, no final full stop.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_string()
}
