//! Everything that the outputs show, derived once from the rows.

use std::cmp::Ordering;

use quantbench_core::row::SCHEMA;
use quantbench_core::{Card, Paper, Row};
use quantbench_reported::Reported;

use crate::figures::Figure;
use crate::format;
use crate::group::{Groups, Withheld};
use crate::paired::compare;
use crate::provenance::Provenance;
use crate::ranks::{Ranking, rankings};
use crate::select::{Marked, select};
use crate::table::{Tables, tables};
use crate::targets::{Target, targets};
use crate::verdict::matching::{Comparison, comparisons};
use crate::{ReportError, Stored};

/// A cell without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Model, method, widths, draw and seed.
    pub cell: String,
    /// Data set.
    pub dataset: String,
    /// Why.
    pub reason: String,
}

/// Everything that the outputs show.
#[derive(Debug)]
pub struct Findings<'a> {
    /// Every row given, with the reason why it does not count if so.
    pub rows: Vec<Marked<'a>>,
    /// Groups of the rows that count.
    pub groups: Groups<'a>,
    /// What artefacts cost on targets.
    pub targets: Vec<Target<'a>>,
    /// Reported beside reproduced.
    pub comparisons: Vec<Comparison<'static>>,
    /// Methods ranked over models, at each question.
    pub rankings: Vec<Ranking>,
    /// Tables of the groups.
    pub tables: Tables,
    /// Figures, in the order of their kinds.
    pub figures: Vec<Figure>,
    /// Cells without a result.
    pub failures: Vec<Failure>,
    /// Subjects whose FP32 model missed its card's accuracy.
    pub withheld: Vec<String>,
    /// Cards of the methods that are known.
    pub cards: &'a [&'a Card],
    /// Tables and figures that the survey asks for.
    pub paper: Option<&'a Paper>,
    /// Where the rows come from.
    pub provenance: Provenance,
    /// What the reader must know before trusting the numbers.
    pub warnings: Vec<String>,
}

impl<'a> Findings<'a> {
    /// Derives everything from the rows.
    ///
    /// # Errors
    /// As [`Findings::with`].
    pub fn of(rows: &'a [Row]) -> Result<Self, ReportError> {
        Self::with(&Stored { rows, ..Stored::default() })
    }

    /// Derives everything from all that a run stored.
    ///
    /// # Errors
    /// [`ReportError::NoRows`], [`ReportError::OtherSchema`] or a figure that cannot be drawn.
    pub fn with(stored: &Stored<'a>) -> Result<Self, ReportError> {
        let mut findings = Self::without_figures(stored)?;
        let Self { groups, targets, comparisons, rankings, .. } = &findings;
        findings.figures = Figure::all(groups, targets, comparisons, rankings, stored.histograms)?;
        Ok(findings)
    }

    /// Derives everything but figures, which take most of the time.
    ///
    /// # Errors
    /// As [`Findings::with`], but for drawing.
    pub fn without_figures(stored: &Stored<'a>) -> Result<Self, ReportError> {
        let (marked, mut warnings) = usable(stored.rows)?;
        let mut groups = Groups::of(&marked);
        compare(&mut groups, stored.evaluations);
        let targets = targets(&groups, stored.costs);
        let comparisons = comparisons(&groups, Reported::builtin()?);
        let rankings = rankings(&groups);
        let tables = tables(&groups, &targets, &comparisons);
        let provenance = Provenance::of(&marked);
        let failures = failures(&groups);
        let withheld = withheld(&groups);
        warnings.extend(provenance.warnings());
        if !failures.is_empty() {
            warnings.push(format!(
                "{} failed; see the failures for their reasons.",
                if failures.len() == 1 {
                    "1 cell".to_string()
                } else {
                    format!("{} cells", failures.len())
                }
            ));
        }
        for subject in &withheld {
            warnings.push(format!(
                "The FP32 gate failed for {subject}: its quantized results are withheld."
            ));
        }
        Ok(Self {
            rows: marked,
            groups,
            targets,
            comparisons,
            rankings,
            tables,
            figures: Vec::new(),
            failures,
            withheld,
            cards: stored.cards,
            paper: stored.paper,
            provenance,
            warnings,
        })
    }
}

/// Marks the rows, or says why there is nothing to report.
pub(crate) fn usable(rows: &[Row]) -> Result<(Vec<Marked<'_>>, Vec<String>), ReportError> {
    if rows.is_empty() {
        return Err(ReportError::NoRows);
    }
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| stable(a, b));
    let (marked, warnings) = select(&sorted);
    if marked.iter().all(|m| m.left_out.is_some()) {
        return Err(ReportError::OtherSchema { rows: rows.len(), expected: SCHEMA });
    }
    Ok((marked, warnings))
}

/// An order of rows that does not depend on the order in which they were read.
pub(crate) fn stable(a: &Row, b: &Row) -> Ordering {
    fn rest(row: &Row) -> (&str, &str, u32) {
        (&row.ids.eval, &row.observed.finished, row.schema)
    }
    format::natural(&a.cell.model, &b.cell.model)
        .then_with(|| a.cell.dataset.cmp(&b.cell.dataset))
        .then_with(|| a.cell.family.cmp(&b.cell.family))
        .then_with(|| a.cell.method.cmp(&b.cell.method))
        .then_with(|| a.cell.spec.cmp(&b.cell.spec))
        .then_with(|| a.cell.draw.cmp(&b.cell.draw))
        .then_with(|| a.cell.seed.cmp(&b.cell.seed))
        .then_with(|| rest(a).cmp(&rest(b)))
}

fn failures(groups: &Groups<'_>) -> Vec<Failure> {
    groups
        .groups
        .iter()
        .flat_map(|g| &g.failed)
        .map(|row| Failure {
            cell: format::cell(&row.cell),
            dataset: row.cell.dataset.clone(),
            reason: format::reason(row),
        })
        .collect()
}

fn withheld(groups: &Groups<'_>) -> Vec<String> {
    (0..groups.subjects.len())
        .filter(|&s| groups.on(s).any(|g| g.withheld == Some(Withheld::GateFailed)))
        .map(|s| match groups.fp32(s) {
            Some((pct, _)) => {
                format!("{} (FP32 reached {} %)", groups.subject_name(s), format::two(pct))
            }
            None => groups.subject_name(s),
        })
        .collect()
}
