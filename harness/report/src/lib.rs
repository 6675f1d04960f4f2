//! Reports: statistics, tables and figures made from stored rows.
//!
//! Takes what a run [`Stored`] (rows; histograms and costs, if there are some) and gives the files of a report in memory; the caller writes them.
//! [`build`] groups the rows ([`group`]), summarizes each group ([`summary`]) with two named
//! intervals ([`stats`]), lays the numbers out as tables ([`table`]) and hands all of it, as
//! [`Findings`], to each entry of [`OUTPUTS`].
//!
//! *Invariant*: a report is made from what a run stored, rows above all, and from nothing else.
//! This crate reads no model, no data, no file and no clock, and knows no runtime, so that the same
//! rows give the same bytes anywhere.

pub mod compare;
pub mod figures;
pub mod findings;
pub mod format;
pub mod group;
pub mod index;
pub mod paired;
pub mod provenance;
pub mod ranks;
pub mod recommend;
pub mod schema;
pub mod select;
pub mod stats;
pub mod summary;
pub mod table;
pub mod targets;
pub mod verdict;

mod columns;
mod csv;
mod html;
mod label;
mod latex;
mod markdown;
mod method_pages;
mod parquet;
mod protocol;
mod terminal;

use quantbench_core::{Card, CostRow, Histograms, Paper, Row};

pub use findings::Findings;
pub use paired::Evaluations;
pub use terminal::terminal_table;

/// A file of a report: its name relative to the report's folder (with `/`), and its bytes.
pub type File = (String, Vec<u8>);

/// One output format: a name and what makes its files.
pub struct Output {
    /// Unique kebab-case name.
    pub name: &'static str,
    /// Makes its files from the findings.
    pub files: fn(&Findings<'_>) -> Result<Vec<File>, ReportError>,
}

/// Every output format, in alphabetical order.
pub const OUTPUTS: &[Output] = &[
    Output { name: "csv", files: csv::files },
    Output { name: "figures", files: figures::files },
    Output { name: "html", files: html::files },
    Output { name: "latex", files: latex::files },
    Output { name: "markdown", files: markdown::files },
    Output { name: "methods", files: method_pages::files },
    Output { name: "parquet", files: parquet::files },
];

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// No row at all.
    #[error(
        "there are no rows to report; expected at least one finished cell: run a survey first with `quantbench run CONFIG`, then report its run folder"
    )]
    NoRows,
    /// Rows, but none that this version reads.
    #[error(
        "none of the {rows} rows has schema {expected}, the one that this report reads; run their survey again with `quantbench run CONFIG`, or report with the version of quantbench that wrote them"
    )]
    OtherSchema {
        /// Rows given.
        rows: usize,
        /// The schema that this version reads.
        expected: u32,
    },
    /// The figure could not be drawn.
    #[error("cannot draw the figure of {subject}: {reason}")]
    Figure {
        /// Model and data set.
        subject: String,
        /// What the drawing library said.
        reason: String,
    },
    /// A Parquet file could not be written.
    #[error("cannot write {file}: {reason}")]
    Parquet {
        /// Name of the file.
        file: &'static str,
        /// What the library said.
        reason: String,
    },
    /// The survey asks for a table or figure that there is not.
    #[error("the report's {0}")]
    Paper(String),
    /// The reported numbers that are compiled in cannot be read: a bug.
    #[error("the reported numbers cannot be read")]
    Reported(#[from] quantbench_reported::ReportedError),
    /// The page could not be rendered.
    #[error("cannot render the HTML page from its template")]
    Page(#[from] minijinja::Error),
}

/// A report in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    files: Vec<File>,
    warnings: Vec<String>,
}

/// Makes every output from the rows.
///
/// The outcome depends on the rows alone and not on their order.
///
/// # Errors
/// [`ReportError`]: no row, no row of this schema, or a drawing or rendering that failed.
pub fn build(rows: &[Row]) -> Result<Report, ReportError> {
    build_with(&Stored { rows, ..Stored::default() })
}

/// What a run stored: all that a report is made from.
#[derive(Clone, Copy, Default)]
pub struct Stored<'a> {
    /// Rows.
    pub rows: &'a [Row],
    /// Histograms of weights and activations.
    pub histograms: &'a [Histograms],
    /// Costs of artefacts on targets.
    pub costs: &'a [CostRow],
    /// Predicted classes and labels, looked up as they are needed.
    pub evaluations: Option<&'a dyn Evaluations>,
    /// Cards of the methods that this program knows, for citations.
    pub cards: &'a [&'a Card],
    /// Tables and figures that the survey asks for.
    pub paper: Option<&'a Paper>,
    /// What the caller knows and none of these can tell, such as cells that have no row.
    pub known: &'a [String],
}

/// Makes every output from all that a run stored.
///
/// # Errors
/// As [`build`].
pub fn build_with(stored: &Stored<'_>) -> Result<Report, ReportError> {
    let mut findings = Findings::with(stored)?;
    findings.warnings.splice(0..0, stored.known.iter().cloned());
    let mut files = Vec::new();
    for output in OUTPUTS {
        files.extend((output.files)(&findings)?);
    }
    Ok(Report { files, warnings: findings.warnings.clone() })
}

impl Report {
    /// The files: `report.md`, `report.html`, `report`, `rows`, `reported` and `costs` as CSV and
    /// Parquet, `figures/*` as SVG and PNG, `latex/*`, and `methods/*.md`.
    pub fn files(&self) -> Vec<File> {
        self.files.clone()
    }

    /// The files, without a copy.
    pub fn into_files(self) -> Vec<File> {
        self.files
    }

    /// What the reader must know before trusting the numbers: rows left out, machines mixed.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

// The fixtures name this crate as tests outside of it do.
#[cfg(test)]
extern crate self as quantbench_report;

#[cfg(test)]
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;
