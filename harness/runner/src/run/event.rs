//! What a run tells while it runs, and at its end.

use std::time::Duration;

use quantbench_core::Row;

use crate::store::BadRow;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run begins.
    Begin {
        /// Cells of this plan or shard.
        total: usize,
        /// Cells that already have a row.
        done: usize,
        /// Expected time for the rest.
        left: Duration,
        /// How many of the rest are guessed because nothing like them was observed yet.
        guessed: usize,
    },
    /// A file in `rows/` is not a row; its cell is done again.
    BadRow(BadRow),
    /// A worker starts on a cell.
    Started {
        /// The cell.
        label: String,
        /// Cells with a row.
        done: usize,
        /// Cells of this plan or shard.
        total: usize,
    },
    /// A worker tells how far it is.
    Progress {
        /// The cell.
        label: String,
        /// Steps done.
        step: usize,
        /// Steps in all.
        steps: usize,
        /// What is being done.
        what: String,
    },
    /// A cell has a result.
    Finished {
        /// The cell.
        label: String,
        /// Its row.
        row: Box<Row>,
        /// Cells with a row.
        done: usize,
        /// Cells of this plan or shard.
        total: usize,
        /// Expected time for the rest.
        left: Duration,
    },
    /// A cell has a row without a result.
    Failed {
        /// The cell.
        label: String,
        /// Why.
        reason: String,
        /// Cells with a row.
        done: usize,
        /// Cells of this plan or shard.
        total: usize,
        /// Expected time for the rest.
        left: Duration,
    },
    /// Another process did a cell meanwhile.
    Skipped {
        /// The cell.
        label: String,
        /// Why it is not done here.
        why: String,
        /// Cells with a row.
        done: usize,
        /// Cells of this plan or shard.
        total: usize,
    },
    /// All cells that are left are held by other processes.
    Waiting {
        /// How many.
        cells: usize,
        /// Who holds one of them.
        by: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cells of this plan or shard.
    pub total: usize,
    /// Cells that already had a result when the run began.
    pub before: usize,
    /// Cells done by this run.
    pub done: usize,
    /// Cells done by other processes meanwhile.
    pub elsewhere: usize,
    /// Cells with a failed row, whoever made it: label and reason.
    pub failed: Vec<(String, String)>,
    /// Cells without a row.
    pub left: usize,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// Whether cells are left because the time budget is used up.
    pub out_of_time: bool,
}
