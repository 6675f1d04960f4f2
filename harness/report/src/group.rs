//! Rows to groups: what a table shows in one line.
//!
//! A group is one method with one set of parameters and one spec on one subject; its rows differ
//! in draw and seed only. A subject is what accuracies may be compared on: the same model file,
//! the same test images, the same preprocessing.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use quantbench_core::row::{FP32, Gate};
use quantbench_core::{Family, Row, Spec};
use rayon::prelude::*;

use crate::format;
use crate::label;
use crate::paired::Paired;
use crate::protocol;
use crate::select::{Marked, is_done};
use crate::summary::Summary;

/// What accuracies may be compared on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Model name.
    pub model: String,
    /// Data set name.
    pub dataset: String,
    /// The first `n` test images only: a partial run, never published.
    pub test_images: Option<usize>,
    /// SHA-256 of the FP32 model file.
    pub model_sha256: String,
    /// Hash of the test split.
    pub test_data: String,
    /// Preprocessing.
    pub preprocessing: String,
}

impl Subject {
    fn of(row: &Row) -> Self {
        Self {
            model: row.cell.model.clone(),
            dataset: row.cell.dataset.clone(),
            test_images: row.cell.test_images,
            model_sha256: row.ids.model_sha256.clone(),
            test_data: row.ids.test_data.clone(),
            preprocessing: row.ids.preprocessing.clone(),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        format::natural(&self.model, &other.model)
            .then_with(|| format::natural(&self.dataset, &other.dataset))
            .then_with(|| self.test_images.cmp(&other.test_images))
            .then_with(|| self.model_sha256.cmp(&other.model_sha256))
            .then_with(|| self.test_data.cmp(&other.test_data))
            .then_with(|| self.preprocessing.cmp(&other.preprocessing))
    }
}

/// Why a group's numbers are not shown as results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The FP32 model missed its card's accuracy on this subject.
    GateFailed,
}

/// The rows of one line of a table.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Index of its subject in [`Groups::subjects`].
    pub subject: usize,
    /// A row that stands for what all of them were asked.
    pub asked: &'a Row,
    /// The method, with those parameters that tell it from other groups of the same method.
    pub label: String,
    /// The label without the number of calibration images: what figures call a method.
    pub series: String,
    /// Whether it differs from another group in nothing but the number of calibration images,
    /// and the other has the number that most groups have: it then stands in the table and
    /// figure of calibration sizes alone.
    pub aside: bool,
    /// Rows with a result.
    pub done: Vec<&'a Row>,
    /// Rows without one.
    pub failed: Vec<&'a Row>,
    /// Why the numbers are not shown; none if they are.
    pub withheld: Option<Withheld>,
    /// The numbers; none if no row is done.
    pub summary: Option<Summary>,
    /// What the test images say, one by one.
    pub paired: Paired,
}

impl Group<'_> {
    /// Whether this is the unquantized model.
    pub fn is_fp32(&self) -> bool {
        self.asked.cell.method == FP32
    }

    /// The family; none for the unquantized model.
    pub fn family(&self) -> Option<Family> {
        self.asked.cell.family
    }

    /// What was asked; none for the unquantized model.
    pub fn spec(&self) -> Option<&Spec> {
        self.asked.cell.spec.as_ref()
    }

    /// The numbers, where they may be shown as results.
    pub fn published(&self) -> Option<&Summary> {
        self.summary.as_ref().filter(|_| self.withheld.is_none())
    }

    /// Whether its results leave the image in FP32 although a width was asked.
    pub fn image_left_in_fp32(&self) -> bool {
        self.done.iter().any(|row| protocol::image_left_in_fp32(row))
    }

    /// Simulated accuracy of each row in percent, by draw and seed; none where withheld.
    pub fn accuracies_pct(&self) -> Vec<f64> {
        let results = self.done.iter().filter_map(|row| row.result.as_ref());
        results.filter(|_| self.withheld.is_none()).map(|r| r.acc_simulated.percent()).collect()
    }

    /// Asked widths, `FP32` for the unquantized model.
    pub fn widths(&self) -> String {
        self.spec().map_or_else(|| "FP32".to_string(), |spec| format::widths(spec.bits))
    }
}

/// All groups of a report in the order of its tables.
#[derive(Debug, Clone)]
pub struct Groups<'a> {
    /// Subjects, models in natural order.
    pub subjects: Vec<Subject>,
    /// Groups by subject, the unquantized model first, then from wide to narrow.
    pub groups: Vec<Group<'a>>,
}

impl<'a> Groups<'a> {
    /// Groups the rows that count.
    pub fn of(marked: &[Marked<'a>]) -> Self {
        let rows: Vec<&Row> =
            marked.iter().filter(|m| m.left_out.is_none()).map(|m| m.row).collect();
        let subjects = subjects(&rows);
        let gate_failed = gate_failed(&rows);
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut index: HashMap<(usize, String), usize> = HashMap::new();
        for row in rows {
            let subject = home(&subjects, row);
            let at = *index.entry((subject, asked(row))).or_insert_with(|| {
                groups.push(Group {
                    subject,
                    asked: row,
                    label: String::new(),
                    series: String::new(),
                    aside: false,
                    done: Vec::new(),
                    failed: Vec::new(),
                    withheld: gate_failed.contains(&gated(row)).then_some(Withheld::GateFailed),
                    summary: None,
                    paired: Paired::default(),
                });
                groups.len() - 1
            });
            let group = &mut groups[at];
            if is_done(row) { group.done.push(row) } else { group.failed.push(row) }
        }
        for group in &mut groups {
            // Rows come in the order of a directory listing; sums must not depend on it.
            group.done.sort_by_key(|row| (row.cell.draw, row.cell.seed));
            group.failed.sort_by_key(|row| (row.cell.draw, row.cell.seed));
        }
        groups.par_iter_mut().for_each(|group| group.summary = Summary::of(&group.done));
        label::set(&mut groups);
        set_aside(&mut groups);
        groups.sort_by(order);
        Self { subjects, groups }
    }

    /// The subject in words: model, data set, number of images where partial.
    pub fn subject_name(&self, index: usize) -> String {
        let subject = &self.subjects[index];
        let mut name = format!("{} on {}", subject.model, subject.dataset);
        if let Some(n) = subject.test_images {
            let _ = write!(name, " (partial: first {n} test images)");
        }
        let twins = self.subjects.iter().filter(|s| {
            (&s.model, &s.dataset, s.test_images)
                == (&subject.model, &subject.dataset, subject.test_images)
        });
        if twins.count() > 1 {
            let short = |hash: &str| hash.chars().take(8).collect::<String>();
            let _ = write!(
                name,
                " [model {}, data {}, {}]",
                short(&subject.model_sha256),
                short(&subject.test_data),
                subject.preprocessing
            );
        }
        name
    }

    /// The groups of one subject.
    pub fn on(&self, subject: usize) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter().filter(move |g| g.subject == subject)
    }

    /// The groups of one subject that stand in the main tables and figures.
    pub fn main(&self, subject: usize) -> impl Iterator<Item = &Group<'a>> {
        self.on(subject).filter(|g| !g.aside)
    }

    /// The number of calibration images of the main tables, where groups stand aside.
    pub fn main_calibration(&self) -> Option<usize> {
        self.groups.iter().any(|g| g.aside).then(|| usual_images(&self.groups)).flatten()
    }

    /// The families that occur, in the survey's order.
    pub fn families(&self) -> Vec<Family> {
        let present: BTreeSet<Family> = self.groups.iter().filter_map(Group::family).collect();
        Family::ALL.into_iter().filter(|f| present.contains(f)).collect()
    }

    /// FP32 accuracy in percent and number of test images of a subject, from any row that has it.
    pub fn fp32(&self, subject: usize) -> Option<(f64, u64)> {
        let summaries = self.on(subject).filter_map(|g| g.summary.as_ref());
        summaries.map(|s| (s.acc_fp32_pct, s.test_images)).next()
    }
}

/// The number of calibration images that most groups were granted; of several the largest.
fn usual_images(groups: &[Group<'_>]) -> Option<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for images in groups.iter().map(|g| g.asked.cell.calibration_images).filter(|n| *n > 0) {
        *counts.entry(images).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(images, n)| (n, images)).map(|(images, _)| images)
}

/// Sets the groups aside that differ in the number of calibration images from one with the usual
/// number.
fn set_aside(groups: &mut [Group<'_>]) {
    let usual = usual_images(groups);
    let key = |g: &Group<'_>| (g.subject, g.series.clone(), g.spec().cloned());
    let main: HashSet<_> =
        groups.iter().filter(|g| Some(g.asked.cell.calibration_images) == usual).map(key).collect();
    for group in groups {
        let images = group.asked.cell.calibration_images;
        group.aside = images > 0 && Some(images) != usual && main.contains(&key(group));
    }
}

/// What the rows of a group have in common, subject included, as text.
pub(crate) fn key(row: &Row) -> String {
    format!("{:?} {}", Subject::of(row), asked(row))
}

/// What was asked but for model, data, draw and seed, as text.
fn asked(row: &Row) -> String {
    let c = &row.cell;
    format!("{:?}", (&c.method, c.method_version, &c.params, &c.spec, c.calibration_images))
}

/// The subject of a row; one that failed before its model was hashed joins the first subject of
/// the same names.
fn home(subjects: &[Subject], row: &Row) -> usize {
    let own = Subject::of(row);
    let named = |s: &Subject| {
        (&s.model, &s.dataset, s.test_images) == (&own.model, &own.dataset, own.test_images)
    };
    let exact = subjects.iter().position(|s| *s == own);
    exact.or_else(|| subjects.iter().position(named)).unwrap_or_default()
}

fn subjects(rows: &[&Row]) -> Vec<Subject> {
    let all: HashSet<Subject> = rows.iter().map(|row| Subject::of(row)).collect();
    let named = |s: &Subject| (s.model.clone(), s.dataset.clone(), s.test_images);
    let hashed: HashSet<_> = all.iter().filter(|s| !s.model_sha256.is_empty()).map(named).collect();
    let unique =
        all.iter().filter(|s| !s.model_sha256.is_empty() || !hashed.contains(&named(s))).cloned();
    let mut subjects: Vec<Subject> = unique.collect();
    subjects.sort_by(Subject::order);
    subjects
}

/// What a gate is checked on: model file, test split, preprocessing.
type Gated<'a> = (&'a str, &'a str, &'a str);

fn gated(row: &Row) -> Gated<'_> {
    (&row.ids.model_sha256, &row.ids.test_data, &row.ids.preprocessing)
}

/// What missed its card's accuracy: nothing quantized from it may be published. A partial run,
/// whose gate is not checked, falls with the whole one.
fn gate_failed<'a>(rows: &[&'a Row]) -> HashSet<Gated<'a>> {
    rows.iter()
        .filter(|row| row.result.as_ref().is_some_and(|r| r.gate == Gate::Failed))
        .map(|row| gated(row))
        .collect()
}

fn order(a: &Group<'_>, b: &Group<'_>) -> Ordering {
    let wide = |g: &Group<'_>| {
        g.spec().map(|s| Reverse((s.bits.weights, s.bits.activations, s.bits.ternary)))
    };
    (a.subject, !a.is_fp32(), wide(a), a.family())
        .cmp(&(b.subject, !b.is_fp32(), wide(b), b.family()))
        .then_with(|| format::natural(&a.label, &b.label))
        .then_with(|| a.asked.cell.calibration_images.cmp(&b.asked.cell.calibration_images))
        .then_with(|| key(a.asked).cmp(&key(b.asked)))
}
