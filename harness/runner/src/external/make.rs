//! From a command to the file that it leaves: folder, confinement, run, report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use quantbench_core::hash::sha256_hex;
use quantbench_core::row::MethodCost;
use quantbench_core::{LabelledSource, Needs};
use quantbench_datasets::{Images, Part, load};
use quantbench_graph::Graph;

use crate::external::confine::Allowed;
use crate::external::folder::{Calibration, Input, Job, SCHEMA, fill};
use crate::external::process::{Order as Run, program, run};
use crate::external::report::Report;
use crate::external::{Foreign, Launch};
use crate::store::ArtefactFacts;
use crate::work::WorkError;
use crate::work::make::Progress;
use crate::work::order::Order;

/// Largest file that is taken from a command, in bytes.
const LARGEST: u64 = 4 << 30;

/// An artefact from outside.
pub(crate) struct Outside {
    /// The ONNX file.
    pub(crate) onnx: Vec<u8>,
    /// What is known about it; nothing of the cost of a file that was made elsewhere.
    pub(crate) facts: ArtefactFacts,
    /// Hash of the training split; empty if no images were granted.
    pub(crate) train: String,
}

/// Obtains an artefact: runs the command, or reads the file.
pub(crate) fn obtain(
    foreign: &Foreign,
    order: &Order,
    model: &[u8],
    graph: &Graph,
    progress: &mut Progress<'_>,
) -> Result<Outside, WorkError> {
    match foreign {
        Foreign::Command(launch) => command(launch, order, model, graph, progress),
        Foreign::File(path) => file(path, order),
    }
}

fn command(
    launch: &Launch,
    order: &Order,
    model: &[u8],
    graph: &Graph,
    progress: &mut Progress<'_>,
) -> Result<Outside, WorkError> {
    // Told before any images are read: most often an environment was not set up.
    let program = program(launch).map_err(WorkError::Unfit)?;
    progress(0, 1, "preparing the command");
    let images = granted(order)?;
    let labelled = order.cell.needs == Needs::Labelled;
    let folder =
        tempfile::Builder::new().prefix("quantbench-external-").tempdir().map_err(|error| {
            WorkError::Unfit(format!("cannot make a folder for the command: {error}"))
        })?;
    let spec = order.cell.spec.as_ref();
    let job = Job {
        schema: SCHEMA,
        method: &launch.name,
        spec: spec.map(Into::into).ok_or_else(|| {
            WorkError::Unfit(format!("method {} needs widths, the order has none", launch.name))
        })?,
        params: &order.cell.params,
        seed: order.cell.seed,
        threads: order.threads,
        input: Input { name: graph.input(), dims: graph.image_dims() },
        output: graph.output(),
        calibration: images.as_ref().map(|images| Calibration {
            images: images.indices().len(),
            file: "calibration.npy",
            labels: labelled.then_some("labels.npy"),
        }),
    };
    let source = images.as_ref().map(|images| images as &dyn LabelledSource);
    fill(folder.path(), model, &job, source)?;
    let guarded: Vec<PathBuf> =
        order.dirs.iter().chain([&order.cache, &order.store]).cloned().collect();
    let allowed =
        Allowed::of(launch, &program, folder.path(), &guarded).map_err(WorkError::Unfit)?;
    let log = order.store.join("logs").join(format!("{}.tool.log", order.ids.cell));
    let run_order =
        Run { launch, folder: folder.path(), log: &log, threads: order.threads, allowed: &allowed };
    progress(0, 1, "running the command");
    let (start, before) = (Instant::now(), quantbench_measure::children());
    let means = run(&run_order)?;
    let (cpu_s, peak_mib) = quantbench_measure::children().since(&before);
    let cost = MethodCost { wall_s: start.elapsed().as_secs_f64(), cpu_s, peak_mib };
    if std::fs::metadata(&log).is_ok_and(|m| m.len() == 0) {
        // An empty log says nothing that the row does not.
        let _ = std::fs::remove_file(&log);
    }
    let report =
        Report::parse(&left(folder.path(), "report.json")?).map_err(WorkError::WrongFile)?;
    let onnx = left(folder.path(), "artefact.onnx")?;
    let read = images.as_ref().map_or(0, |images| images.indices().len() as u64);
    let mut notes = vec![format!("made by {}", report.tool)];
    notes.extend(report.notes.iter().cloned());
    let facts = ArtefactFacts {
        images_read: read,
        labels_read: if labelled { read } else { 0 },
        synthetic_images: report.synthetic_images,
        best_epoch: None,
        notes,
        cost,
        reported: report.cost(),
        confinement: Some(means.to_string()),
        ..facts(&onnx, order)
    };
    let train = images.map_or(String::new(), |images| images.split().hash.clone());
    Ok(Outside { onnx, facts, train })
}

/// The images of the cell's draw, if its card asks for any.
fn granted(order: &Order) -> Result<Option<Images>, WorkError> {
    if order.cell.needs == Needs::Nothing {
        return Ok(None);
    }
    let split = Arc::new(load(&order.dataset, Part::Train, &order.roots())?);
    let indices = split.draw(order.cell.draw.unwrap_or(0), order.cell.calibration_images)?;
    Ok(Some(Images::new(split, indices, &order.model.preprocess)?))
}

/// A file that the command has to leave; links are not followed out of the folder.
fn left(folder: &Path, name: &str) -> Result<Vec<u8>, WorkError> {
    let path = folder.join(name);
    let wrong = |reason: String| WorkError::WrongFile(format!("{name}: {reason}"));
    let found = std::fs::symlink_metadata(&path)
        .map_err(|_| wrong("the command left no such file in its folder".to_string()))?;
    if !found.is_file() {
        return Err(wrong("it is no regular file".to_string()));
    }
    if found.len() > LARGEST {
        return Err(wrong(format!(
            "{} bytes are too many; expected at most {LARGEST}",
            found.len()
        )));
    }
    std::fs::read(&path).map_err(|error| wrong(error.to_string()))
}

/// A file that another tool made, if it is still the one of the plan.
fn file(path: &Path, order: &Order) -> Result<Outside, WorkError> {
    let onnx = std::fs::read(path)
        .map_err(|error| WorkError::Unfit(format!("cannot read {}: {error}", path.display())))?;
    let facts = facts(&onnx, order);
    let planned = order.cell.maker.as_ref().map_or("", |maker| maker.identity());
    if facts.sha256 != planned {
        return Err(WorkError::WrongFile(format!(
            "{}: it has SHA-256 {}, the plan was made for {planned}; plan and run again",
            path.display(),
            facts.sha256
        )));
    }
    Ok(Outside { onnx, facts, train: String::new() })
}

/// What is known about a file from its bytes and the order alone.
fn facts(onnx: &[u8], order: &Order) -> ArtefactFacts {
    ArtefactFacts {
        sha256: sha256_hex(onnx),
        images_read: 0,
        labels_read: 0,
        synthetic_images: 0,
        best_epoch: None,
        notes: Vec::new(),
        evidence: quantbench_core::Evidence::default(),
        cost: MethodCost::default(),
        shared_cpu_s: 0.0,
        reported: None,
        confinement: None,
        threads: order.threads,
        jobs: order.jobs,
        machine: quantbench_measure::machine(),
    }
}
