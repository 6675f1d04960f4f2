//! Which rows count: those of this layout, each cell once.
//!
//! Nothing is dropped silently: a row that does not count keeps its reason in `rows.csv`, and each
//! reason is a warning of the report.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use quantbench_core::Row;
use quantbench_core::row::{SCHEMA, Status};

use crate::format;

/// Why a row takes no part in tables and figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Its layout is another than [`SCHEMA`].
    Schema,
    /// Another row has the same id.
    Duplicate,
    /// The same cell with the same draw and seed was evaluated again in another environment.
    Superseded,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeftOut::Schema => "other schema",
            LeftOut::Duplicate => "duplicate",
            LeftOut::Superseded => "superseded",
        })
    }
}

/// A row and whether it counts.
#[derive(Debug, Clone, Copy)]
pub struct Marked<'a> {
    /// The row as stored.
    pub row: &'a Row,
    /// Why it does not count; none if it does.
    pub left_out: Option<LeftOut>,
}

/// Whether a row has a result to show.
pub fn is_done(row: &Row) -> bool {
    row.status == Status::Done && row.result.is_some()
}

/// Marks every row, in the order given, and says in words what was left out.
pub fn select<'a>(rows: &[&'a Row]) -> (Vec<Marked<'a>>, Vec<String>) {
    let mut marked: Vec<Marked<'a>> = rows
        .iter()
        .map(|&row| Marked { row, left_out: (row.schema != SCHEMA).then_some(LeftOut::Schema) })
        .collect();
    let mut warnings: Vec<String> = schema_warning(&marked).into_iter().collect();
    warnings.extend(drop_duplicates(&mut marked));
    warnings.extend(drop_superseded(&mut marked));
    (marked, warnings)
}

fn schema_warning(marked: &[Marked<'_>]) -> Option<String> {
    let others: Vec<u32> = marked
        .iter()
        .filter(|m| m.left_out == Some(LeftOut::Schema))
        .map(|m| m.row.schema)
        .collect();
    let versions: std::collections::BTreeSet<u32> = others.iter().copied().collect();
    let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
    (!others.is_empty()).then(|| {
        format!(
            "{} of schema {} left out, because this report reads schema {SCHEMA}: run their survey again.",
            rows_word(others.len()),
            versions.join(", ")
        )
    })
}

/// The id of a row; a cell that failed before it had one is known by what was asked.
///
/// Whether a deployed accuracy was wanted is part of the cell and not of the evaluation's id.
fn id(row: &Row) -> (Cow<'_, str>, bool) {
    let known = if row.ids.eval.is_empty() {
        serde_json::to_string(&row.cell).unwrap_or_else(|_| format!("{:?}", row.cell)).into()
    } else {
        row.ids.eval.as_str().into()
    };
    (known, row.cell.deployed)
}

/// Keeps one row of each id: the first that is done, else the first.
fn drop_duplicates(marked: &mut [Marked<'_>]) -> Vec<String> {
    let mut kept: HashMap<(Cow<'_, str>, bool), usize> = HashMap::new();
    let (mut repeats, mut conflicts, mut example) = (0, Vec::new(), None);
    for i in 0..marked.len() {
        if marked[i].left_out.is_some() {
            continue;
        }
        let Some(&first) = kept.get(&id(marked[i].row)) else {
            kept.insert(id(marked[i].row), i);
            continue;
        };
        repeats += 1;
        let (old, new) = (marked[first].row, marked[i].row);
        example.get_or_insert_with(|| format::cell(&new.cell));
        if is_done(old) && is_done(new) && old.result != new.result {
            conflicts.push(format::cell(&new.cell));
        }
        if is_done(new) && !is_done(old) {
            marked[first].left_out = Some(LeftOut::Duplicate);
            kept.insert(id(new), i);
        } else {
            marked[i].left_out = Some(LeftOut::Duplicate);
        }
    }
    let mut warnings = Vec::new();
    if let Some(example) = example {
        warnings.push(format!(
            "{} with the id of another row, counted once (for example {example}).",
            rows_word(repeats)
        ));
    }
    for cell in conflicts {
        warnings.push(format!(
            "Two rows of {cell} have the same id and different results; the first is shown. \
             A result must be a pure function of its id: report this as a bug."
        ));
    }
    warnings
}

/// Keeps the latest of rows that differ only in where they were evaluated, so that a second
/// runtime or machine is not taken for a second draw.
fn drop_superseded(marked: &mut [Marked<'_>]) -> Option<String> {
    let mut groups: HashMap<String, usize> = HashMap::new();
    let mut kept: HashMap<(usize, Option<u64>, Option<u64>), usize> = HashMap::new();
    let (mut repeats, mut example) = (0, None);
    for i in 0..marked.len() {
        if marked[i].left_out.is_some() {
            continue;
        }
        let new = marked[i].row;
        let next = groups.len();
        let group = *groups.entry(crate::group::key(new)).or_insert(next);
        let key = (group, new.cell.draw, new.cell.seed);
        let Some(&first) = kept.get(&key) else {
            kept.insert(key, i);
            continue;
        };
        repeats += 1;
        let old = marked[first].row;
        example.get_or_insert_with(|| format::cell(&new.cell));
        // RFC 3339 dates of one zone compare as text.
        let deployed = |row: &Row| row.result.as_ref().is_some_and(|r| r.acc_deployed.is_some());
        let rank = |row: &Row| (is_done(row), deployed(row), row.observed.finished.clone());
        if rank(new) > rank(old) {
            marked[first].left_out = Some(LeftOut::Superseded);
            kept.insert(key, i);
        } else {
            marked[i].left_out = Some(LeftOut::Superseded);
        }
    }
    example.map(|example| {
        format!(
            "{} repeated a draw in another environment (runtime, machine or code); the last to finish is shown (for example {example}).",
            rows_word(repeats)
        )
    })
}

fn rows_word(n: usize) -> String {
    if n == 1 { "1 row".to_string() } else { format!("{n} rows") }
}
