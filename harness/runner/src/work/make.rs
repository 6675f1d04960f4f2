//! A method's part of a cell: from FP32 model and granted images to a packed artefact.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::row::{BestEpoch, MethodCost};
use quantbench_core::{Evidence, Needs, Params, Spec};
use quantbench_datasets::{DataRoots, DatasetManifest, Images, Part, Preprocess, Split, load};
use quantbench_engine::{Engine, Runtime};
use quantbench_graph::{Graph, encode, sites};
use quantbench_methods::{Context, Job, Vault, find};

use crate::work::error::WorkError;
use crate::work::keeping::{Keeping, Look};
use crate::work::shared::{Ground, Ledger, Shared, Sharing};

/// Everything that a method's run depends on.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// Bytes of the FP32 model.
    pub model: &'a [u8],
    /// Its name for messages.
    pub origin: &'a str,
    /// Where calibration images come from.
    pub dataset: &'a DatasetManifest,
    /// From raw pixels to what the model reads.
    pub preprocess: &'a Preprocess,
    /// Method.
    pub method: &'a str,
    /// Its parameters, complete.
    pub params: &'a Params,
    /// Widths and rules.
    pub spec: &'a Spec,
    /// Calibration images granted, if the method asks for some.
    pub images: usize,
    /// Which draw of them.
    pub draw: u64,
    /// Seed of the method's own randomness.
    pub seed: u64,
    /// Threads of the runtime.
    pub threads: usize,
    /// What is shared with the other cells of a run; none for a single model.
    pub sharing: Option<Sharing<'a>>,
}

/// A packed artefact with what its making cost and read.
#[derive(Debug, Clone)]
pub struct Made {
    /// The packed file.
    pub bytes: Vec<u8>,
    /// Cost from FP32 graph and raw images in memory to artefact in memory.
    pub cost: MethodCost,
    /// CPU seconds of it that were spent by another cell, which gathered what this one used.
    pub shared_cpu_s: f64,
    /// Calibration images read, each once per pass.
    pub images_read: u64,
    /// What the method recorded on its way.
    pub evidence: Evidence,
    /// Images that the method made itself.
    pub synthetic_images: u64,
    /// Labels read.
    pub labels_read: u64,
    /// Hash of the training split; empty if no images were granted.
    pub train: String,
    /// The best of several epochs that were looked at.
    pub best: Option<BestEpoch>,
}

/// Hears how far a step is: done, all, what.
pub type Progress<'p> = dyn FnMut(usize, usize, &str) + 'p;

/// Runs a method; with a `look`, one that keeps checkpoints goes on from the last.
pub fn make(
    making: &Making<'_>,
    runtime: &'static Runtime,
    roots: &DataRoots,
    progress: &mut Progress<'_>,
    cancelled: &AtomicBool,
    look: Option<Look<'_>>,
) -> Result<Made, WorkError> {
    let method = find(making.method)?;
    method.card().fits_spec(making.spec).map_err(WorkError::Unfit)?;
    let granted = method.needs(making.spec, making.params) != Needs::Nothing;
    let (vault, train) = if granted {
        progress(0, 1, "reading calibration images");
        let split = Arc::new(load(making.dataset, Part::Train, roots)?);
        let hash = split.hash.clone();
        (Vault::with_calibration(Arc::new(calibration(making, split)?)), hash)
    } else {
        (Vault::empty(), String::new())
    };
    let graph = Graph::from_bytes(making.model, making.origin)?;
    let engine = Engine::new(runtime, making.threads);
    let name = method.card().name;

    let ledger = RefCell::new(Ledger::start());
    let unfolded = graph.fold_constants()?;
    let folded = unfolded.fold_norms()?;
    let layers = folded.layers();
    let sites = sites(&folded, making.spec)?;
    let job = Job {
        graph: &folded,
        unfolded: &unfolded,
        layers: &layers,
        sites: &sites,
        spec: making.spec,
        params: making.params,
    };
    let shared = making.sharing.filter(|_| granted).map(|sharing| {
        Shared::new(sharing, Ground { making, train: &train, graph: &folded }, &ledger)
    });
    let mut cx = Context::new(&engine, name, making.seed, progress, cancelled);
    if let Some(shared) = &shared {
        cx = cx.with_statistics(shared);
    }
    let mut keeping = look.map(|look| Keeping::new(look, &vault, &ledger));
    if let Some(keeping) = &mut keeping {
        cx = cx.with_keeper(keeping);
    }
    let mut artefact = method.run(&job, &vault, &mut cx)?;
    // What folding had to guard against concerns every method alike.
    artefact.notes.splice(0..0, folded.notes().iter().cloned());
    let (evidence, synthetic_images) = (std::mem::take(&mut cx.evidence), cx.synthetic_images);
    drop(cx);
    let read = keeping.as_ref().map_or((vault.images_read(), vault.labels_read()), Keeping::read);
    let best = keeping.as_ref().and_then(Keeping::best);
    drop(shared);
    let (cost, shared_cpu_s) = ledger.into_inner().close();

    Ok(Made {
        bytes: encode(&artefact),
        cost,
        shared_cpu_s,
        evidence,
        synthetic_images,
        images_read: read.0,
        labels_read: read.1,
        train,
        best,
    })
}

fn calibration(making: &Making<'_>, split: Arc<Split>) -> Result<Images, WorkError> {
    let indices = split.draw(making.draw, making.images)?;
    Ok(Images::new(split, indices, making.preprocess)?)
}
