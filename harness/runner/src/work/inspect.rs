//! Where a quantized network loses: layer by layer, and what would win it back.
//!
//! A diagnosis for people, no result: it looks at training images that the method was not given,
//! never at the test split, which must not decide about a spec.

mod remedy;
mod signal;
mod single;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::row::Accuracy;
use quantbench_core::{Bits, Spec};
use quantbench_datasets::{DataError, DataRoots, Images, Part, load};
use quantbench_engine::{Engine, Optimisation, Runtime};
use quantbench_graph::{Artefact, Graph, SiteError, allocation, decode, sites};
use quantbench_methods::find;
use serde::Serialize;

use crate::work::assess::{How, assess, export_for};
use crate::work::error::WorkError;
use crate::work::make::{Making, Progress, make};
use crate::work::single::QuantizeRequest;
use remedy::Remedies;
use signal::Signals;
use single::Parts;

pub use remedy::Remedy;
pub use signal::Signal;

/// What to look at, beyond what is quantized and how.
#[derive(Debug, Clone, Copy)]
pub struct InspectOptions {
    /// Training images outside the method's draw to measure accuracies on.
    pub images: usize,
    /// Share of the drop that a remedy is to win back, above 0 to 1.
    pub recover: f64,
}

/// One layer of a quantized network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerFinding {
    /// Name of the layer's node.
    pub layer: String,
    /// Width of its weights.
    pub weight_bits: Bits,
    /// Width of its input.
    pub activation_bits: Bits,
    /// Number of weights.
    pub parameters: u64,
    /// Signal-to-noise ratio of its weights in dB; none if they stay in FP32.
    pub weight_sqnr_db: Option<f64>,
    /// What reaches it and what it makes of it; none where the method renamed the values.
    pub signal: Option<Signal>,
    /// The network with this layer alone quantized, its weights and its input.
    pub alone: Accuracy,
    /// What that loses against FP32, in points.
    pub drop_alone: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspected {
    /// Training images that accuracies were measured on.
    pub images: usize,
    /// Images that signals were measured on: the first of them.
    pub signal_images: usize,
    /// The FP32 model.
    pub fp32: Accuracy,
    /// The quantized model, simulated.
    pub quantized: Accuracy,
    /// Every layer, the most harmful first: by what it loses alone, then by the signal-to-noise
    /// ratio of its output.
    pub layers: Vec<LayerFinding>,
    /// Specs that win most of the drop back; none if there is nothing to win.
    pub remedies: Vec<Remedy>,
    /// What the method and the diagnosis have to say.
    pub notes: Vec<String>,
}

/// Quantizes a model, then measures it layer by layer.
///
/// # Errors
/// As `quantize_one`; also fewer training images than the draw and the diagnosis need, or options
/// that do not fit.
pub fn inspect(
    request: &QuantizeRequest<'_>,
    options: InspectOptions,
    roots: &DataRoots,
    progress: &mut Progress<'_>,
    cancelled: &AtomicBool,
) -> Result<Inspected, WorkError> {
    if options.images == 0 || !(options.recover > 0.0 && options.recover <= 1.0) {
        let text = "expected at least 1 image and a share to recover above 0 and up to 1";
        return Err(WorkError::Unfit(text.to_string()));
    }
    let bench = Bench::new(request, options, roots, cancelled, progress)?;
    let artefact = bench.make(&request.spec, progress)?;
    let parts = Parts::new(&bench.folded, &artefact);
    let mut notes = artefact.notes.clone();
    notes.extend(parts.note());
    let fp32 = bench.accuracy(&parts.float(), progress)?;
    let quantized = bench.accuracy(&artefact, progress)?;
    let signals = bench.signals(&parts, &artefact)?;
    let mut layers = Vec::new();
    let all = parts.layers.len();
    for (i, (layer, bits)) in parts.layers.iter().zip(allocation(&artefact)).enumerate() {
        progress(i, all, "one layer at a time");
        bench.go_on()?;
        let alone = bench.accuracy(&parts.alone(layer)?, &mut |_, _, _| {})?;
        layers.push(LayerFinding {
            layer: layer.name.clone(),
            weight_bits: bits.weights,
            activation_bits: bits.activations,
            parameters: bits.parameters,
            weight_sqnr_db: parts.weight_sqnr_db(layer)?,
            signal: signals[i].clone(),
            alone,
            drop_alone: fp32.percent() - alone.percent(),
        });
    }
    let output = |f: &LayerFinding| f.signal.as_ref().map_or(f64::INFINITY, |s| s.output_sqnr_db);
    layers.sort_by(|a, b| {
        b.drop_alone.total_cmp(&a.drop_alone).then(output(a).total_cmp(&output(b)))
    });
    let remedies = Remedies { parts: &parts, fp32, quantized, layers: &layers };
    let spec = bench.written_out(&request.spec)?;
    let (remedies, note) = remedies.find(&bench, &spec, options.recover, progress)?;
    notes.extend(note);
    let signal_images = bench.signal_images();
    let images = options.images;
    Ok(Inspected { images, signal_images, fp32, quantized, layers, remedies, notes })
}

/// What every measurement of a diagnosis needs.
struct Bench<'a> {
    request: &'a QuantizeRequest<'a>,
    runtime: &'static Runtime,
    roots: &'a DataRoots,
    cancelled: &'a AtomicBool,
    folded: Graph,
    images: Images,
}

/// Images of one pass over signals, and how many in all: differences of values are a matter of
/// some images, accuracies of many.
const SIGNAL_BATCH: usize = 32;
const SIGNAL_IMAGES: usize = 256;

impl<'a> Bench<'a> {
    fn new(
        request: &'a QuantizeRequest<'a>,
        options: InspectOptions,
        roots: &'a DataRoots,
        cancelled: &'a AtomicBool,
        progress: &mut Progress<'_>,
    ) -> Result<Self, WorkError> {
        let runtime = Runtime::load()?;
        let folded = Graph::from_bytes(request.model, request.origin)?.fold()?;
        // What the spec says about single layers is checked before anything is read or run.
        sites(&folded, &request.spec)?;
        progress(0, 1, "reading training images");
        let split = Arc::new(load(request.dataset, Part::Train, roots)?);
        let drawn: BTreeSet<usize> =
            split.draw(request.draw, request.images)?.into_iter().collect();
        let rest: Vec<usize> =
            (0..split.len()).filter(|i| !drawn.contains(i)).take(options.images).collect();
        if rest.len() < options.images {
            let asked = drawn.len() + options.images;
            return Err(DataError::Draw { asked, available: split.len() }.into());
        }
        let images = Images::new(split, rest, request.preprocess)?;
        Ok(Self { request, runtime, roots, cancelled, folded, images })
    }

    /// The spec with patterns of layers written out, so that single layers can be taken from it.
    fn written_out(&self, spec: &Spec) -> Result<Spec, WorkError> {
        let layers = self.folded.layers();
        let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
        let origin = self.folded.origin().to_string();
        Ok(spec.written_out(&names).map_err(|source| SiteError::Rule { origin, source })?)
    }

    /// The method's artefact for a spec.
    fn make(&self, spec: &Spec, progress: &mut Progress<'_>) -> Result<Artefact, WorkError> {
        let request = self.request;
        let card = find(request.method)?.card();
        let params = card.resolve(&request.params).map_err(WorkError::Unfit)?;
        let making = Making {
            model: request.model,
            origin: request.origin,
            dataset: request.dataset,
            preprocess: request.preprocess,
            method: request.method,
            params: &params,
            spec,
            images: request.images,
            draw: request.draw,
            seed: request.seed,
            threads: request.threads,
            sharing: None,
        };
        let made = make(&making, self.runtime, self.roots, progress, self.cancelled, None)?;
        Ok(decode(&made.bytes, request.origin)?)
    }

    /// Simulated accuracy on the images.
    fn accuracy(
        &self,
        artefact: &Artefact,
        progress: &mut Progress<'_>,
    ) -> Result<Accuracy, WorkError> {
        let exported = export_for(self.runtime, artefact)?;
        let threads = self.request.threads;
        let how = How { optimisation: Optimisation::Off, threads, batch: 128 };
        let origin = self.request.origin;
        let done = assess(self.runtime, &exported.onnx, origin, &self.images, how, progress)?;
        Ok(done.accuracy)
    }

    fn signal_images(&self) -> usize {
        SIGNAL_IMAGES.min(self.images.indices().len())
    }

    fn signals(
        &self,
        parts: &Parts<'_>,
        artefact: &Artefact,
    ) -> Result<Vec<Option<Signal>>, WorkError> {
        let engine = Engine::new(self.runtime, self.request.threads);
        let mut signals = Signals::new(parts, artefact, self.runtime, engine)?;
        for start in (0..self.signal_images()).step_by(SIGNAL_BATCH) {
            self.go_on()?;
            let batch = quantbench_core::ImageSource::batch(&self.images, start, SIGNAL_BATCH)
                .map_err(quantbench_methods::MethodError::from)?;
            signals.add(&batch)?;
        }
        Ok(signals.finish())
    }

    /// An error if the diagnosis was cancelled.
    fn go_on(&self) -> Result<(), WorkError> {
        if self.cancelled.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(quantbench_methods::MethodError::Cancelled.into());
        }
        Ok(())
    }
}

/// Ratio of the power of a signal to that of its error in dB; infinite without an error.
fn decibels(signal: f64, error: f64) -> f64 {
    if error == 0.0 { f64::INFINITY } else { 10.0 * (signal / error).log10() }
}
