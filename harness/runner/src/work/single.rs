//! One model without a survey: `quantbench quantize` and `quantbench eval`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::row::{Accuracy, LayerBits, MethodCost};
use quantbench_core::{Params, Sizes, Spec};
use quantbench_datasets::{DataRoots, DatasetManifest, Images, Part, Preprocess, load};
use quantbench_engine::{Optimisation, Runtime, count_integer_layers};
use quantbench_graph::{
    Artefact, ExportOptions, allocation, bit_operations, decode, export, mean_weight_bits, sizes,
};
use quantbench_methods::find;

use crate::work::assess::{How, assess};
use crate::work::error::WorkError;
use crate::work::make::{Making, Progress, make};
use crate::work::note::Note;

/// What to quantize, and how.
#[derive(Debug, Clone)]
pub struct QuantizeRequest<'a> {
    /// Bytes of the FP32 model.
    pub model: &'a [u8],
    /// Its file or name for messages.
    pub origin: &'a str,
    /// Where calibration images come from.
    pub dataset: &'a DatasetManifest,
    /// From raw pixels to what the model reads.
    pub preprocess: &'a Preprocess,
    /// Method.
    pub method: &'a str,
    /// Parameters that differ from the defaults.
    pub params: Params,
    /// Widths and rules.
    pub spec: Spec,
    /// Calibration images granted, if the method asks for some.
    pub images: usize,
    /// Which draw of them.
    pub draw: u64,
    /// Seed of the method's own randomness.
    pub seed: u64,
    /// Keep low-bit weights in 8-bit containers.
    pub portable: bool,
    /// Threads of the runtime.
    pub threads: usize,
}

/// A quantized model with its accounts.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The ONNX file, with a note on data and preprocessing.
    pub onnx: Vec<u8>,
    /// The artefact behind it.
    pub artefact: Artefact,
    /// Cost of the method.
    pub cost: MethodCost,
    /// Calibration images that the method read.
    pub images_read: u64,
    /// Images that the method made itself.
    pub synthetic_images: u64,
    /// Sizes.
    pub sizes: Sizes,
    /// Bit operations per image of the artefact and of the FP32 model.
    pub bit_operations: (u64, u64),
    /// Width of every layer.
    pub allocation: Vec<LayerBits>,
    /// Parameter-weighted mean weight width.
    pub mean_weight_bits: f64,
}

/// Quantizes one model with one method.
pub fn quantize_one(
    request: &QuantizeRequest<'_>,
    roots: &DataRoots,
    progress: &mut Progress<'_>,
    cancelled: &AtomicBool,
) -> Result<Quantized, WorkError> {
    let params = find(request.method)?.card().resolve(&request.params).map_err(WorkError::Unfit)?;
    let runtime = Runtime::load()?;
    let making = Making {
        model: request.model,
        origin: request.origin,
        dataset: request.dataset,
        preprocess: request.preprocess,
        method: request.method,
        params: &params,
        spec: &request.spec,
        images: request.images,
        draw: request.draw,
        seed: request.seed,
        threads: request.threads,
        sharing: None,
    };
    let made = make(&making, runtime, roots, progress, cancelled, None)?;
    let artefact = decode(&made.bytes, request.origin)?;
    let mut onnx = export(&artefact, ExportOptions { portable: request.portable })?;
    let sizes = sizes(&artefact, request.model.len() as u64, onnx.len() as u64);
    let note =
        Note { dataset: request.dataset.name.clone(), preprocess: request.preprocess.clone() };
    note.append(&mut onnx).map_err(|error| WorkError::Unfit(format!("preprocessing: {error}")))?;
    let allocation = allocation(&artefact);
    Ok(Quantized {
        onnx,
        cost: made.cost,
        images_read: made.images_read,
        synthetic_images: made.synthetic_images,
        sizes,
        bit_operations: bit_operations(&artefact),
        mean_weight_bits: mean_weight_bits(&allocation),
        allocation,
        artefact,
    })
}

/// What to evaluate, and how.
#[derive(Debug, Clone)]
pub struct EvaluateRequest<'a> {
    /// Bytes of the ONNX file.
    pub model: &'a [u8],
    /// Its file or name for messages.
    pub origin: &'a str,
    /// Data set whose test split is used.
    pub dataset: &'a DatasetManifest,
    /// From raw pixels to what the model reads.
    pub preprocess: &'a Preprocess,
    /// Only the first so many test images in canonical order.
    pub images: Option<usize>,
    /// What the runtime may do to the graph.
    pub optimisation: Optimisation,
    /// Images per forward pass.
    pub batch: usize,
    /// Threads of the runtime.
    pub threads: usize,
}

/// An accuracy with what it rests on.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// Top-1.
    pub accuracy: Accuracy,
    /// Class of each image in canonical order.
    pub predictions: Vec<u16>,
    /// Wall seconds, loading of the model included, of the data not.
    pub seconds: f64,
    /// Integer layers and all layers, where integer kernels were allowed.
    pub integer_layers: Option<(u64, u64)>,
    /// Version of the runtime.
    pub runtime: String,
}

/// Evaluates one ONNX file.
pub fn evaluate_file(
    request: &EvaluateRequest<'_>,
    roots: &DataRoots,
    progress: &mut Progress<'_>,
) -> Result<Evaluated, WorkError> {
    let runtime = Runtime::load()?;
    let split = Arc::new(load(request.dataset, Part::Test, roots)?);
    let chosen = match request.images {
        Some(0) => return Err(WorkError::Unfit("0 test images; expected at least 1".to_string())),
        Some(n) if n > split.len() => {
            return Err(WorkError::Unfit(format!(
                "{n} test images; data set {} has {}",
                request.dataset.name,
                split.len()
            )));
        }
        Some(n) => split.first(n),
        None => (0..split.len()).collect(),
    };
    let images = Images::new(split, chosen, request.preprocess)?;
    let how =
        How { optimisation: request.optimisation, threads: request.threads, batch: request.batch };
    let done = assess(runtime, request.model, request.origin, &images, how, progress)?;
    let integer_layers = matches!(request.optimisation, Optimisation::All | Optimisation::Precise)
        .then(|| count_integer_layers(runtime, request.model, request.threads))
        .transpose()?;
    Ok(Evaluated {
        accuracy: done.accuracy,
        predictions: done.predictions,
        seconds: done.seconds,
        integer_layers,
        runtime: runtime.version().to_string(),
    })
}
