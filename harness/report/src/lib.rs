//! Reports: statistics, tables and figures made from stored rows.
//!
//! Takes what a run [`Stored`] (rows; histograms and costs, if there are some) and gives the files of
//! a report, one after the other, to the caller's [`Folder`].
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

use std::io::{self, Write};

use quantbench_core::{Card, CostRow, Histograms, Paper, Row};

pub use findings::Findings;
pub use paired::Evaluations;
pub use terminal::terminal_table;

/// A file of a report: its name relative to the report's folder (with `/`), and its bytes.
pub type File = (String, Vec<u8>);

/// Where the files of a report go.
pub trait Folder {
    /// Makes a file of what `content` writes, all of it or nothing; its name is relative to the
    /// report's folder (with `/`).
    ///
    /// # Errors
    /// Whatever kept it from being written.
    fn file(&mut self, name: &str, content: &mut Content<'_>) -> io::Result<()>;
}

/// Writes what a file holds.
pub type Content<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// In memory.
impl Folder for Vec<File> {
    fn file(&mut self, name: &str, content: &mut Content<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        content(&mut bytes)?;
        self.push((name.to_string(), bytes));
        Ok(())
    }
}

/// Writes a file that is in memory already.
pub(crate) fn put(folder: &mut dyn Folder, name: &str, bytes: &[u8]) -> Result<(), ReportError> {
    write(folder, name, &mut |out| out.write_all(bytes))
}

/// Writes a file.
pub(crate) fn write(
    folder: &mut dyn Folder,
    name: &str,
    content: &mut Content<'_>,
) -> Result<(), ReportError> {
    folder
        .file(name, content)
        .map_err(|source| ReportError::Write { file: name.to_string(), source })
}

/// One output format: a name and what makes its files.
pub struct Output {
    /// Unique kebab-case name.
    pub name: &'static str,
    /// Makes its files from the findings, one after the other.
    pub write: fn(&Findings<'_>, &mut dyn Folder) -> Result<(), ReportError>,
}

/// Every output format, in alphabetical order.
pub const OUTPUTS: &[Output] = &[
    Output { name: "csv", write: csv::files },
    Output { name: "figures", write: figures::files },
    Output { name: "html", write: html::files },
    Output { name: "latex", write: latex::files },
    Output { name: "markdown", write: markdown::files },
    Output { name: "methods", write: method_pages::files },
    Output { name: "parquet", write: parquet::files },
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
    /// A file could not be written.
    #[error("cannot write {file} of the report")]
    Write {
        /// Name of the file.
        file: String,
        /// Why.
        source: io::Error,
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
    let mut files = Vec::new();
    let warnings = write_to(stored, &mut files)?;
    Ok(Report { files, warnings })
}

/// Makes every output from all that a run stored, file by file, so that no more than one of them is
/// in memory; gives the warnings ([`Report::warnings`]).
///
/// # Errors
/// As [`build`], and [`ReportError::Write`] for the first file that the folder does not take.
pub fn write_to(stored: &Stored<'_>, folder: &mut dyn Folder) -> Result<Vec<String>, ReportError> {
    let mut findings = Findings::with(stored)?;
    findings.warnings.splice(0..0, stored.known.iter().cloned());
    latex::check(&findings)?;
    for output in OUTPUTS {
        (output.write)(&findings, folder)?;
    }
    Ok(findings.warnings)
}

impl Report {
    /// The files: `report.md`, `report.html`, `report`, `rows`, `reported` and `costs` as CSV and
    /// Parquet, `figures/*` as SVG and PNG, `latex/*`, and `methods/*.md`.
    pub fn files(&self) -> Vec<File> {
        self.files.clone()
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
