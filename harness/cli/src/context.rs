//! What several verbs resolve in the same way: the catalogue, models, data sets, the survey.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use quantbench_core::Row;
use quantbench_core::names::suggestion;
use quantbench_datasets::{DataRoots, DatasetManifest, Preprocess};
use quantbench_graph::{Graph, GraphError};
use quantbench_methods::MethodError;
use quantbench_report::Evaluations;
use quantbench_runner::{Catalog, Filter, Note, Plan, Store, Survey, WorkError, missing};

use crate::args::FilterArgs;
use crate::exit::{Exit, Failure, OrExit};
use crate::out;

/// The built-in catalogue overlaid by a `configs/` folder: the given one, else the nearest above
/// the current directory.
pub fn catalog(configs: Option<&Path>) -> Result<Catalog, Failure> {
    if let Some(folder) = configs
        && !folder.is_dir()
    {
        return Err(anyhow!("--configs {}: there is no such folder", folder.display())).or_usage();
    }
    let nearest = || {
        let here = std::env::current_dir().ok()?;
        here.ancestors().map(|a| a.join("configs")).find(|c| c.join("models").is_dir())
    };
    let folder: Option<PathBuf> = configs.map(Path::to_path_buf).or_else(nearest);
    Catalog::load(folder.as_deref()).or_usage()
}

/// A survey expanded on this machine.
pub fn planned(
    survey: &Path,
    filter: &FilterArgs,
    catalog: &Catalog,
) -> Result<(Survey, Plan), Failure> {
    let survey = Survey::load(survey).or_usage()?;
    let filter = Filter {
        only: filter.only.clone(),
        images: filter.images,
        time_budget: filter.time_budget,
    };
    let plan = quantbench_runner::plan(&survey, catalog, &filter).or_usage()?;
    Ok((survey, plan))
}

/// Where the rows of a survey go by default.
pub fn run_folder(out: Option<&Path>, survey: &str) -> PathBuf {
    out.map_or_else(|| Path::new("results/runs").join(survey), Path::to_path_buf)
}

/// A model with all that is needed to feed it.
pub struct Subject<'c> {
    /// Bytes of the ONNX file.
    pub bytes: Vec<u8>,
    /// Name or path, for messages.
    pub origin: String,
    /// Data set.
    pub dataset: &'c DatasetManifest,
    /// Preprocessing.
    pub preprocess: Preprocess,
}

/// Resolves a name from the catalogue or a path to an ONNX file.
///
/// Data set and preprocessing of a path come from the command line, else from the note that
/// `quantize` leaves in its files.
pub fn subject<'c>(
    model: &str,
    dataset: Option<&str>,
    preprocess_of: Option<&str>,
    catalog: &'c Catalog,
    roots: &DataRoots,
) -> Result<Subject<'c>, Failure> {
    let known: Vec<&str> = catalog.models().map(|m| m.name.as_str()).collect();
    if known.contains(&model) {
        let card = catalog.model(model).or_usage()?;
        let bytes = card.bytes(roots).map_err(|error| Failure {
            exit: if error.is_missing() { Exit::Missing } else { Exit::Usage },
            error: error.into(),
        })?;
        let dataset = catalog.dataset(dataset.unwrap_or(&card.dataset)).or_usage()?;
        let preprocess = match preprocess_of {
            Some(other) => catalog.model(other).or_usage()?.preprocess.clone(),
            None => card.preprocess.clone(),
        };
        return Ok(Subject { bytes, origin: model.to_string(), dataset, preprocess });
    }
    let path = Path::new(model);
    if !path.exists() {
        return Err(anyhow!(
            "model {model:?} is neither a known name nor a file{}",
            suggestion(model, &known)
        ))
        .or_usage();
    }
    // Graph::load has the better words for directories and other surprises.
    let bytes = if path.is_file() {
        std::fs::read(path).with_context(|| format!("cannot read {model}")).or_usage()?
    } else {
        Graph::load(path).or_usage()?.to_bytes()
    };
    // The runtime may know an operator that our passes do not: enough for `eval` if the rest is
    // known, and `quantize` says so itself.
    let unsupported = match Graph::from_bytes(&bytes, model) {
        Ok(_) => None,
        Err(error @ GraphError::UnsupportedOp { .. }) => Some(error),
        Err(error) => return Err(error).or_usage(),
    };
    let note = Note::read(&bytes);
    let dataset = dataset.map(str::to_string).or(note.as_ref().map(|n| n.dataset.clone()));
    let dataset = dataset
        .ok_or_else(|| anyhow!("{model}: no data set is known for this file; add --dataset NAME"))
        .or_usage()?;
    let preprocess = match (preprocess_of, note) {
        (Some(card), _) => catalog.model(card).or_usage()?.preprocess.clone(),
        (None, Some(note)) => note.preprocess,
        (None, None) => {
            if let Some(error) = unsupported {
                return Err(error).or_usage();
            }
            return Err(anyhow!(
                "{model}: its preprocessing is not known; name a model card with \
                 --preprocess-of MODEL (known: {})",
                known.join(", ")
            ))
            .or_usage();
        }
    };
    let dataset = catalog.dataset(&dataset).or_usage()?;
    Ok(Subject { bytes, origin: model.to_string(), dataset, preprocess })
}

/// Gives an error of the worker's code path its exit code.
pub fn work_failure(error: WorkError) -> Failure {
    let exit = match &error {
        error if error.is_missing() => Exit::Missing,
        WorkError::Method(MethodError::Cancelled) => Exit::SomeFailed,
        _ => Exit::Usage,
    };
    Failure { exit, error: error.into() }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a reader of a run folder should know about its completeness, one sentence each: cells of
/// the survey without a row, rows of partial evaluations.
pub fn gaps(store: &Store, rows: &[Row]) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut out = Vec::new();
    if let Some(asked) = store.asked() {
        let without = missing(&asked, rows);
        let named = without.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        let more = if without.len() > SHOWN { ", …" } else { "" };
        if !without.is_empty() {
            out.push(format!(
                "{} of the {} cells of the survey have no result on the whole test set yet ({named}{more}).",
                without.len(),
                asked.len()
            ));
        }
    }
    let partial = rows.iter().filter(|r| r.cell.test_images.is_some()).count();
    if partial > 0 {
        out.push(format!(
            "{partial} rows are of partial evaluations, on the first test images only: they are \
             never to be published."
        ));
    }
    out
}

/// Committed rows of a survey, which count as done.
pub fn published(survey: &str) -> PathBuf {
    Path::new("results/published").join(survey).join("rows")
}

/// The predictions of some run folders; the first that has one gives it.
pub struct Kept<'s>(pub &'s [Store]);

impl Evaluations for Kept<'_> {
    fn classes(&self, eval: &str) -> Option<Vec<u16>> {
        self.0.iter().find_map(|store| store.predictions(eval))
    }

    fn labels(&self, test_data: &str) -> Option<Vec<u16>> {
        self.0.iter().find_map(|store| store.labels(test_data))
    }
}

/// The rows of a run folder; files that are none are named and left out.
pub fn rows_of(store: &Store) -> Result<Vec<Row>, Failure> {
    let (rows, bad) = store.rows().or_usage()?;
    for bad in bad {
        let reason = bad.reason;
        out::say(&format!("warning: {} is left out: {reason}", bad.file.display()));
    }
    Ok(rows)
}
