//! From bytes of a model to predictions, in simulation and through integer kernels.

use std::time::Instant;

use quantbench_core::row::Accuracy;
use quantbench_datasets::Images;
use quantbench_engine::{Evaluation, Optimisation, Options, Runtime, Session, evaluate};
use quantbench_graph::{Artefact, ExportOptions, export};

use crate::work::error::WorkError;
use crate::work::make::Progress;

/// How an evaluation runs.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// What the runtime may do to the graph.
    pub optimisation: Optimisation,
    /// Threads of the runtime.
    pub threads: usize,
    /// Images per forward pass.
    pub batch: usize,
}

/// Predictions with the time that they took.
#[derive(Debug, Clone)]
pub struct Assessed {
    /// Class of each image.
    pub predictions: Vec<u16>,
    /// How many are right.
    pub accuracy: Accuracy,
    /// Wall seconds, loading of the model included.
    pub seconds: f64,
}

/// Runs a model over images.
pub fn assess(
    runtime: &Runtime,
    onnx: &[u8],
    origin: &str,
    images: &Images,
    how: How,
    progress: &mut Progress<'_>,
) -> Result<Assessed, WorkError> {
    let start = Instant::now();
    let options = Options { threads: how.threads, optimisation: how.optimisation };
    let mut session = Session::new(runtime, onnx, &options, origin)?;
    let all = quantbench_core::ImageSource::len(images);
    let what = match how.optimisation {
        Optimisation::All | Optimisation::Precise => "evaluating, deployed",
        _ => "evaluating",
    };
    let mut report = |done: usize| progress(done, all, what);
    let Evaluation { predictions, accuracy } =
        evaluate(&mut session, images, how.batch, &mut report)?;
    Ok(Assessed { predictions, accuracy, seconds: start.elapsed().as_secs_f64() })
}

/// An exported artefact.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// What there is to say about it, if the runtime did not take the native types.
    pub note: Option<String>,
}

/// Exports with native low-bit types or, where the runtime refuses those, 8-bit containers.
///
/// Both hold the same values; the note says which one was evaluated.
pub fn export_for(runtime: &Runtime, artefact: &Artefact) -> Result<Exported, WorkError> {
    let native = export(artefact, ExportOptions { portable: false })?;
    let options = Options { threads: 1, optimisation: Optimisation::Off };
    let origin = artefact.graph.origin();
    if Session::new(runtime, &native, &options, origin).is_ok() {
        return Ok(Exported { onnx: native, note: None });
    }
    let portable = export(artefact, ExportOptions { portable: true })?;
    if portable == native {
        // Not a matter of types: the evaluation reports what the runtime says.
        return Ok(Exported { onnx: native, note: None });
    }
    let note = format!(
        "ONNX Runtime {} refuses the native low-bit types; evaluated with 8-bit containers of the \
         same values",
        runtime.version()
    );
    Ok(Exported { onnx: portable, note: Some(note) })
}
