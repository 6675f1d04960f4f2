//! Two stored runs, cell by cell: what changed, and whether by more than chance.

use std::collections::BTreeMap;

use quantbench_core::Row;
use quantbench_core::row::ResultPart;
use serde::Serialize;

use crate::ReportError;
use crate::findings::usable;
use crate::format;
use crate::paired::{Evaluations, LEVEL};
use crate::provenance::Provenance;
use crate::select::{Marked, is_done};
use crate::stats::{Discordant, holm, wilson};

/// One run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Its rows.
    pub rows: &'a [Row],
    /// Its predictions.
    pub evaluations: Option<&'a dyn Evaluations>,
}

/// How a difference was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// Nothing to judge: the same predictions.
    Same,
    /// Image by image (McNemar, mid-p), adjusted for all cells (Holm).
    Paired,
    /// By intervals over test images (Wilson) that do or do not overlap, because predictions or
    /// labels are not stored.
    Intervals,
}

/// One cell in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The cell in words.
    pub cell: String,
    /// Simulated accuracy in the first run in percent.
    pub first_pct: f64,
    /// In the second.
    pub second_pct: f64,
    /// Second minus first in points.
    pub change_points: f64,
    /// Images that only the first has right, and only the second; none without predictions.
    pub discordant: Option<(u64, u64)>,
    /// How it was judged.
    pub judged: Judged,
    /// Adjusted p-value, where it was judged image by image.
    pub p: Option<f64>,
    /// Whether the change is beyond noise.
    pub beyond_noise: bool,
    /// Whether the reproducible parts of both rows are the same in every bit.
    pub same_result: bool,
    /// The first key of the result that differs.
    pub differs_in: Option<String>,
    /// Versions of the method.
    pub versions: (u32, u32),
}

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Cells that both have a result of, in the order of tables.
    pub pairs: Vec<Pair>,
    /// Cells that the first run alone has a result of.
    pub only_first: Vec<String>,
    /// Cells that the second run alone has a result of.
    pub only_second: Vec<String>,
    /// Where the runs come from: what, first, second; only what differs.
    pub provenance: Vec<(String, Vec<String>, Vec<String>)>,
}

impl Comparison {
    /// Whether any cell differs in a bit, or is in one run alone.
    pub fn differs(&self) -> bool {
        let alone = !self.only_first.is_empty() || !self.only_second.is_empty();
        alone || self.pairs.iter().any(|pair| !pair.same_result)
    }

    /// Whether any cell changed beyond noise.
    pub fn changed(&self) -> bool {
        self.pairs.iter().any(|pair| pair.beyond_noise)
    }
}

/// Compares two runs.
///
/// # Errors
/// A run without rows that this version reads.
pub fn compare(first: Run<'_>, second: Run<'_>) -> Result<Comparison, ReportError> {
    let (ours, _) = usable(first.rows)?;
    let (theirs, _) = usable(second.rows)?;
    let (a, b) = (done(&ours), done(&theirs));
    let mut pairs = Vec::new();
    for (key, row) in &a {
        if let Some(other) = b.get(key) {
            pairs.extend(pair(row, other, first, second));
        }
    }
    let tested: Vec<usize> = (0..pairs.len()).filter(|i| pairs[*i].p.is_some()).collect();
    let adjusted = holm(&tested.iter().filter_map(|i| pairs[*i].p).collect::<Vec<_>>());
    for (i, p) in tested.into_iter().zip(adjusted) {
        pairs[i].p = Some(p);
        pairs[i].beyond_noise = p < LEVEL;
    }
    let alone = |of: &BTreeMap<String, &Row>, other: &BTreeMap<String, &Row>| {
        let names = of.iter().filter(|(key, _)| !other.contains_key(*key));
        names.map(|(_, row)| format::cell(&row.cell)).collect()
    };
    Ok(Comparison {
        pairs,
        only_first: alone(&a, &b),
        only_second: alone(&b, &a),
        provenance: provenance(&ours, &theirs),
    })
}

/// Rows with a result by what was asked; the method's version may differ.
fn done<'a>(rows: &[Marked<'a>]) -> BTreeMap<String, &'a Row> {
    let rows = rows.iter().filter(|m| m.left_out.is_none() && is_done(m.row)).map(|m| m.row);
    rows.map(|row| {
        let mut cell = row.cell.clone();
        cell.method_version = 0;
        (format!("{} {cell:?}", format::cell(&row.cell)), row)
    })
    .collect()
}

fn pair(a: &Row, b: &Row, first: Run<'_>, second: Run<'_>) -> Option<Pair> {
    let (ours, theirs) = (a.result.as_ref()?, b.result.as_ref()?);
    let (x, y) = (ours.acc_simulated, theirs.acc_simulated);
    let counts = counts(a, b, first, second);
    let (judged, p, beyond_noise) = match counts {
        Some(counts) if counts.first + counts.second == 0 => (Judged::Same, None, false),
        Some(counts) => (Judged::Paired, Some(counts.mcnemar_mid_p()), false),
        None if ours.predictions == theirs.predictions => (Judged::Same, None, false),
        None => {
            let i = wilson(x.correct as f64, x.images as f64);
            let j = wilson(y.correct as f64, y.images as f64);
            (Judged::Intervals, None, i.high < j.low || j.high < i.low)
        }
    };
    Some(Pair {
        cell: format::cell(&a.cell),
        first_pct: x.percent(),
        second_pct: y.percent(),
        change_points: y.percent() - x.percent(),
        discordant: counts.map(|c| (c.first, c.second)),
        judged,
        p,
        beyond_noise,
        same_result: ours == theirs,
        differs_in: differs_in(ours, theirs),
        versions: (a.cell.method_version, b.cell.method_version),
    })
}

/// Image by image, where both runs saw the same images and stored what they said.
fn counts(a: &Row, b: &Row, first: Run<'_>, second: Run<'_>) -> Option<Discordant> {
    let (ours, theirs) = (first.evaluations?, second.evaluations?);
    let test = &a.ids.test_data;
    if *test != b.ids.test_data {
        return None;
    }
    let (x, y) = (ours.classes(&a.ids.eval)?, theirs.classes(&b.ids.eval)?);
    let mut labels = ours.labels(test).or_else(|| theirs.labels(test))?;
    labels.truncate(x.len());
    Discordant::of(&x, &y, &labels)
}

/// The first key whose values differ.
fn differs_in(a: &ResultPart, b: &ResultPart) -> Option<String> {
    let (a, b) = (serde_json::to_value(a).ok()?, serde_json::to_value(b).ok()?);
    let (a, b) = (a.as_object()?, b.as_object()?);
    a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key)).cloned()
}

fn provenance(
    first: &[Marked<'_>],
    second: &[Marked<'_>],
) -> Vec<(String, Vec<String>, Vec<String>)> {
    let facts = |rows: &[Marked<'_>]| {
        let facts = Provenance::of(rows).facts();
        facts
            .into_iter()
            .map(|(name, values)| (name.to_string(), values))
            .collect::<BTreeMap<_, _>>()
    };
    let (a, mut b) = (facts(first), facts(second));
    let both = a.into_iter().map(|(name, ours)| {
        let theirs = b.remove(&name).unwrap_or_default();
        (name, ours, theirs)
    });
    both.filter(|(_, ours, theirs)| ours != theirs).collect()
}
