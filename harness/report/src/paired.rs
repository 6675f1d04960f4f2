//! Groups compared image by image: each with FP32, and with the best of the same widths.

use std::collections::BTreeMap;

use quantbench_core::Row;

use crate::group::{Group, Groups};
use crate::stats::{Discordant, Interval, holm};

/// Level at which a difference is called one.
pub const LEVEL: f64 = 0.05;

/// What a run stored of its evaluations, image by image.
pub trait Evaluations {
    /// The predicted classes of an evaluation, by its id; none if they are not stored.
    fn classes(&self, eval: &str) -> Option<Vec<u16>>;

    /// The labels of a test split in canonical order, by its hash; none if they are not stored.
    fn labels(&self, test_data: &str) -> Option<Vec<u16>>;
}

/// A group against the best of the same subject, widths and sites.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    /// Counts of the best (first) and this group (second), first draw of each.
    pub counts: Discordant,
    /// p-value of McNemar's test, adjusted after Holm for all groups of the same widths.
    pub p: f64,
}

/// What the images say about a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Paired {
    /// 95 % interval of the mean drop over test images, in points.
    pub drop_points: Option<Interval>,
    /// Against the best; none for the best itself and where there is no other.
    pub against_best: Option<Against>,
    /// Whether it is the best of several.
    pub is_best: bool,
    /// Why the images say nothing.
    pub missing: Option<&'static str>,
}

/// Compares every group; without stored predictions or labels it says what is missing.
pub(crate) fn compare(groups: &mut Groups<'_>, evaluations: Option<&dyn Evaluations>) {
    for subject in 0..groups.subjects.len() {
        let all: Vec<usize> = (0..groups.groups.len())
            .filter(|i| groups.groups[*i].subject == subject && !groups.groups[*i].is_fp32())
            .filter(|i| groups.groups[*i].published().is_some())
            .collect();
        let (found, missing) = match Seen::of(groups, subject, evaluations) {
            Ok(seen) => (Some(seen), None),
            Err(missing) => (None, Some(missing)),
        };
        for i in &all {
            let drop_points =
                found.as_ref().and_then(|seen| seen.drop_points(&groups.groups[*i].done));
            let missing = missing.or(drop_points.is_none().then_some(NO_PREDICTIONS));
            groups.groups[*i].paired = Paired { drop_points, missing, ..Paired::default() };
        }
        let Some(seen) = found else { continue };
        let mut rivals: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for i in all.into_iter().filter(|i| !groups.groups[*i].aside) {
            rivals.entry(same_question(&groups.groups[i])).or_default().push(i);
        }
        for rivals in rivals.into_values().filter(|rivals| rivals.len() > 1) {
            against_best(groups, &rivals, &seen);
        }
    }
}

const NO_LABELS: &str = "the labels of the test images are not stored";
const NO_PREDICTIONS: &str = "its predictions are not stored";
const NO_REFERENCE: &str = "the predictions of the FP32 network are not stored";

/// Widths, sites and rules: what methods are compared under.
fn same_question(group: &Group<'_>) -> String {
    format!("{:?}", group.spec())
}

/// The test images of one subject as FP32 sees them.
struct Seen<'e> {
    evaluations: &'e dyn Evaluations,
    labels: Vec<u16>,
    fp32: Vec<u16>,
}

impl<'e> Seen<'e> {
    fn of(
        groups: &Groups<'_>,
        subject: usize,
        evaluations: Option<&'e dyn Evaluations>,
    ) -> Result<Self, &'static str> {
        let evaluations = evaluations.ok_or(NO_PREDICTIONS)?;
        let known = &groups.subjects[subject];
        let mut labels = evaluations.labels(&known.test_data).ok_or(NO_LABELS)?;
        let mut rows = groups.on(subject).filter(|g| g.is_fp32()).flat_map(|g| &g.done);
        let fp32 = rows.find_map(|row| evaluations.classes(&row.ids.eval));
        let fp32 = fp32.ok_or(NO_REFERENCE)?;
        // A partial run sees the first images alone.
        labels.truncate(fp32.len());
        Ok(Self { evaluations, labels, fp32 })
    }

    fn classes(&self, row: &Row) -> Option<Vec<u16>> {
        self.evaluations.classes(&row.ids.eval)
    }

    /// The interval at the mean counts over all draws: draws share their images and do not
    /// multiply them.
    fn drop_points(&self, rows: &[&Row]) -> Option<Interval> {
        let counts: Vec<Discordant> = rows
            .iter()
            .filter_map(|row| Discordant::of(&self.fp32, &self.classes(row)?, &self.labels))
            .collect();
        if counts.len() != rows.len() || counts.is_empty() {
            return None;
        }
        let mean = |of: fn(&Discordant) -> u64| {
            (counts.iter().map(of).sum::<u64>() as f64 / counts.len() as f64).round() as u64
        };
        let images = self.labels.len() as u64;
        let mean = Discordant { first: mean(|c| c.first), second: mean(|c| c.second), images };
        Some(mean.interval().scaled(100.0))
    }
}

fn against_best(groups: &mut Groups<'_>, rivals: &[usize], seen: &Seen<'_>) {
    let accuracy = |i: usize| {
        groups.groups[i].published().map_or(f64::NEG_INFINITY, |s| s.acc_simulated_pct.mean)
    };
    let Some(best) =
        rivals.iter().copied().reduce(|a, b| if accuracy(b) > accuracy(a) { b } else { a })
    else {
        return;
    };
    let first = |i: usize| seen.classes(groups.groups[i].done.first()?);
    let Some(champion) = first(best) else { return };
    let others: Vec<(usize, Discordant)> = rivals
        .iter()
        .filter(|i| **i != best)
        .filter_map(|i| Some((*i, Discordant::of(&champion, &first(*i)?, &seen.labels)?)))
        .collect();
    let p = holm(&others.iter().map(|(_, c)| c.mcnemar_mid_p()).collect::<Vec<_>>());
    groups.groups[best].paired.is_best = !others.is_empty();
    for ((i, counts), p) in others.into_iter().zip(p) {
        groups.groups[i].paired.against_best = Some(Against { counts, p });
    }
}
