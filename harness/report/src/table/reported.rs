//! Reported beside reproduced.

use std::collections::BTreeMap;

use quantbench_reported::Record;

use super::build::heading;
use super::{Column, Field, Line, Notes, Section, Table};
use crate::format::{NONE, two};
use crate::group::Groups;
use crate::verdict::matching::{Comparison, Outcome};
use crate::verdict::{Own, Verdict};

const COLUMNS: [Column; 9] = [
    Column::words("method"),
    Column::words("widths"),
    Column::number("reported FP32", "%"),
    Column::number("reported", "%"),
    Column::number("reported drop", "points"),
    Column::number("our drop", "points, mean ± over draws (t 95 %)"),
    Column::words("verdict"),
    Column::words("why not, or what else to know"),
    Column::words("source"),
];

/// The table; none where nothing is reported of any method at the widths that ran. What has no
/// number beside it is counted by its reason in the remarks.
pub(super) fn table(groups: &Groups<'_>, comparisons: &[Comparison<'_>]) -> Option<Table> {
    let mut notes = Notes::default();
    let mut sections = Vec::new();
    for subject in 0..groups.subjects.len() {
        let here = comparisons.iter().filter(|c| groups.groups[c.group].subject == subject);
        let lines: Vec<Line> = here.filter_map(|c| line(groups, c, &mut notes)).collect();
        if !lines.is_empty() {
            let model = groups.subjects[subject].model.clone();
            sections.push(Section { model, heading: heading(groups, subject), lines });
        }
    }
    if sections.is_empty() {
        return None;
    }
    Some(Table {
        title: "Reported and reproduced".to_string(),
        caption: format!(
            "Drops against the FP32 network of each source and of ours; {}",
            tally(comparisons)
        ),
        columns: COLUMNS.to_vec(),
        sections,
        notes: notes.into_texts(),
        remarks: unmatched(groups, comparisons),
    })
}

fn line(groups: &Groups<'_>, comparison: &Comparison<'_>, notes: &mut Notes) -> Option<Line> {
    let group = &groups.groups[comparison.group];
    let (records, verdict, remark) = match &comparison.outcome {
        Outcome::Compared { records, verdict, conflict, .. } => {
            let conflict = if *conflict { "the sources contradict each other" } else { NONE };
            (records.clone(), verdict.name(), conflict.to_string())
        }
        Outcome::NotComparable { nearest, reason } => {
            (vec![(*nearest)?], "not comparable", reason.clone())
        }
    };
    let mut verdict = Field::from(verdict);
    if comparison.own.interval.is_none() {
        verdict.marks.push(notes.mark(
            "One draw or seed, or nothing to draw: at most within noise, because it says nothing about others.",
        ));
    }
    let span = |of: &dyn Fn(&Record) -> Option<f64>| Field::from(span(&records, of));
    let mut sources: Vec<&str> = records.iter().map(|r| r.source.as_str()).collect();
    sources.dedup();
    Some(Line {
        fields: vec![
            group.series.clone().into(),
            group.widths().into(),
            span(&|r| r.fp32_top1),
            span(&|r| Some(r.top1)),
            span(&Record::drop_points),
            own(&comparison.own).into(),
            verdict,
            remark.into(),
            sources.join("; ").into(),
        ],
        reference: false,
        new_widths: false,
    })
}

fn span(records: &[&Record], of: &dyn Fn(&Record) -> Option<f64>) -> String {
    let values: Vec<f64> = records.iter().filter_map(|r| of(r)).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => NONE.to_string(),
        _ if two(low) == two(high) => two(low),
        _ => format!("{}–{}", two(low), two(high)),
    }
}

fn own(own: &Own) -> String {
    match own.interval {
        Some(interval) => format!("{} ± {}", two(own.mean), two(interval.half_width())),
        None => two(own.mean),
    }
}

/// How many came to which end.
fn tally(comparisons: &[Comparison<'_>]) -> String {
    let count = |wanted: Option<Verdict>| {
        let end = |c: &&Comparison<'_>| match (&c.outcome, wanted) {
            (Outcome::Compared { verdict, .. }, Some(wanted)) => *verdict == wanted,
            (Outcome::NotComparable { .. }, None) => true,
            _ => false,
        };
        comparisons.iter().filter(end).count()
    };
    let verdicts = [Verdict::Reproduced, Verdict::WithinNoise, Verdict::Short, Verdict::Better];
    let mut parts: Vec<String> =
        verdicts.into_iter().map(|v| format!("{} {}", count(Some(v)), v.name())).collect();
    parts.push(format!("{} not comparable", count(None)));
    format!("of {} results {}", comparisons.len(), parts.join(", "))
}

/// Results without any number beside them, counted by reason.
fn unmatched(groups: &Groups<'_>, comparisons: &[Comparison<'_>]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for comparison in comparisons {
        if let Outcome::NotComparable { nearest: None, reason } = &comparison.outcome {
            let group = &groups.groups[comparison.group];
            reasons.entry(reason).or_default().push(format!("{} {}", group.series, group.widths()));
        }
    }
    let line = |(reason, mut who): (&str, Vec<String>)| {
        let count = who.len();
        who.sort();
        who.dedup();
        format!("{count} not comparable, {reason}: {}", who.join(", "))
    };
    reasons.into_iter().map(line).collect()
}
