//! Running a plan: one worker process per cell, claims, resume.

pub mod child;
pub mod event;
mod keeper;
mod scheduler;
mod settle;
pub mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use thiserror::Error;

use crate::config::Catalog;
use crate::plan::Plan;
use crate::plan::here::Here;
use crate::store::{BadRow, Store, StoreError};
pub use event::{Event, Summary};

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The run folder.
    pub dir: PathBuf,
    /// Read-only folders of rows that count as done.
    pub published: Vec<PathBuf>,
    /// Cells at the same time.
    pub jobs: usize,
    /// Threads of the runtime in each cell.
    pub threads: usize,
    /// Program and arguments that start a worker.
    pub worker: Vec<OsString>,
    /// Only the quantized cells whose index modulo the second number is the first.
    pub shard: Option<(usize, usize)>,
    /// Go on after a failed cell.
    pub keep_going: bool,
    /// Do cells again that failed in an earlier run.
    pub retry_failed: bool,
    /// Command line, for the rows.
    pub command: String,
    /// Commit of the program, for the rows.
    pub commit: String,
}

/// Why a run could not go on. A failed cell is a row and not such an error.
#[derive(Debug, Error)]
pub enum RunError {
    /// Data, models or the runtime are not here.
    #[error("this machine lacks what the plan needs: {}", .0.join("; "))]
    Missing(Vec<String>),
    /// The run folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something has the name of a cell's row and must not be overwritten.
    #[error("{0}")]
    InTheWay(BadRow),
    /// Not even the row of a failed cell could be written.
    #[error("the run stops, because the outcome of {label} ({outcome}) cannot be kept: {source}")]
    Lost {
        /// The cell.
        label: String,
        /// How it ended.
        outcome: String,
        /// Why it cannot be written.
        source: StoreError,
    },
    /// The program that starts a worker.
    #[error("cannot start a worker ({program}): {source}")]
    Spawn {
        /// Program and arguments.
        program: String,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// A name of the plan that the catalogue does not know: they do not belong together.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
}

/// Runs the cells of a plan that have no row yet.
///
/// Returns when every cell of the plan (or shard) has a row, whoever made it, when `interrupted`
/// is set, or when the plan's time budget is used up. Workers are then gone and claims given back.
pub fn run(
    plan: &Plan,
    catalog: &Catalog,
    options: &RunOptions,
    events: &mut dyn FnMut(Event),
    interrupted: &AtomicBool,
) -> Result<Summary, RunError> {
    run_here(plan, catalog, options, events, interrupted, &Here::look())
}

/// Runs a plan on a machine as described.
pub fn run_here(
    plan: &Plan,
    catalog: &Catalog,
    options: &RunOptions,
    events: &mut dyn FnMut(Event),
    interrupted: &AtomicBool,
    here: &Here,
) -> Result<Summary, RunError> {
    let unknown = plan.cells.iter().any(|cell| cell.ids.is_none());
    if unknown || !plan.missing.is_empty() {
        return Err(RunError::Missing(plan.missing.clone()));
    }
    let mut store = Store::create(&options.dir)?;
    for folder in &options.published {
        store = store.with_published(folder);
    }
    store.put_asked(&plan.survey_cells)?;
    store.put_paper(&plan.paper)?;
    let rows = store.snapshot()?;
    let scheduler = scheduler::Scheduler::new(plan, catalog, options, store, &rows, here);
    scheduler.run(rows, events, interrupted)
}
