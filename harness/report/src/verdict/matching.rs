//! Which reported numbers a group may be compared with, and why not with others.

use quantbench_core::{Family, Needs, ParamValue};
use quantbench_reported::{Checkpoint, Data, Record, Reported, Rule, Training};

use super::{Own, Range, Verdict, judge, one_run};
use crate::format::two;
use crate::group::{Group, Groups, Subject};
use crate::stats::Interval;
use crate::summary::Summary;

/// FP32 accuracies that differ by more points are those of different checkpoints.
const SAME_CHECKPOINT_POINTS: f64 = 0.5;

/// Sources whose drops differ by more points contradict each other.
const CONFLICT_POINTS: f64 = 0.3;

/// A budget of less than this share of the paper's is another budget.
const SAME_BUDGET: f64 = 0.5;

/// One group beside what is reported of it.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    /// Index in [`Groups::groups`].
    pub group: usize,
    /// Our drop.
    pub own: Own,
    /// What came of it.
    pub outcome: Outcome<'a>,
}

/// What a comparison came to.
#[derive(Debug, Clone)]
pub enum Outcome<'a> {
    /// Numbers that may be compared.
    Compared {
        /// The sources.
        records: Vec<&'a Record>,
        /// Their drops.
        range: Range,
        /// Whether they contradict each other.
        conflict: bool,
        /// The verdict.
        verdict: Verdict,
    },
    /// None that may.
    NotComparable {
        /// The reported number that comes nearest, if there is one at these widths.
        nearest: Option<&'a Record>,
        /// Why not.
        reason: String,
    },
}

/// Compares each quantized group that has numbers with what is reported.
pub fn comparisons<'a>(groups: &Groups<'_>, reported: &'a Reported) -> Vec<Comparison<'a>> {
    let shown = groups.groups.iter().enumerate().filter(|(_, g)| !g.is_fp32() && !g.aside);
    shown
        .filter_map(|(i, group)| {
            let summary = group.published()?;
            let subject = &groups.subjects[group.subject];
            Some(Comparison {
                group: i,
                own: own(summary),
                outcome: outcome(group, summary, subject, reported),
            })
        })
        .collect()
}

fn own(summary: &Summary) -> Own {
    let fp32 = summary.acc_fp32_pct;
    let interval = summary.acc_simulated_pct.interval;
    Own {
        mean: summary.drop_points,
        interval: interval.map(|i| Interval { low: fp32 - i.high, high: fp32 - i.low }),
    }
}

fn outcome<'a>(
    group: &Group<'_>,
    summary: &Summary,
    subject: &Subject,
    reported: &'a Reported,
) -> Outcome<'a> {
    let cell = &group.asked.cell;
    let none = |nearest, reason: &str| Outcome::NotComparable { nearest, reason: reason.into() };
    let Some(checkpoint) = reported.checkpoint(&subject.model, &subject.model_sha256) else {
        return none(None, "it is not known which architecture of the literature the model has");
    };
    let of_method: Vec<&Record> =
        reported.records.iter().filter(|r| r.method == cell.method).collect();
    if of_method.is_empty() {
        return none(None, "no number of this method is known");
    }
    let dataset = cell.dataset.split('@').next().unwrap_or(&cell.dataset);
    let mut here: Vec<&Record> = of_method;
    here.retain(|r| r.model == checkpoint.model && r.dataset == dataset);
    if here.is_empty() {
        return none(None, "no number for this model and data");
    }
    here.retain(|r| same_widths(group, r));
    if here.is_empty() {
        return none(None, "no number at these widths");
    }
    let mut judged: Vec<(&Record, Vec<String>)> =
        here.into_iter().map(|r| (r, obstacles(group, summary, checkpoint, reported, r))).collect();
    let records: Vec<&Record> =
        judged.iter().filter(|(_, no)| no.is_empty()).map(|(r, _)| *r).collect();
    let drops: Vec<f64> = records.iter().filter_map(|r| r.drop_points()).collect();
    if drops.is_empty() {
        judged.sort_by_key(|(record, no)| (record.no_target.is_some(), no.len()));
        let (nearest, reasons) = judged.swap_remove(0);
        return none(Some(nearest), &reasons.join("; "));
    }
    let low = drops.iter().copied().fold(f64::INFINITY, f64::min);
    let high = drops.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sampling = records.iter().map(|r| one_run(r.top1, summary.test_images));
    let range = Range { low, high, sampling: sampling.fold(0.0, f64::max) };
    Outcome::Compared {
        conflict: high - low > CONFLICT_POINTS,
        verdict: judge(&own(summary), &range),
        records,
        range,
    }
}

fn same_widths(group: &Group<'_>, record: &Record) -> bool {
    let Some(spec) = group.spec() else { return false };
    if record.mixed || group.family() == Some(Family::MixedPrecision) {
        return false;
    }
    let (weights, activations) = (spec.bits.weights.get(), spec.bits.activations.get());
    record.weights.bits() == Some(weights) && record.activations.bits() == Some(activations)
}

/// Why a record may not be compared with; nothing if it may.
fn obstacles(
    group: &Group<'_>,
    summary: &Summary,
    checkpoint: &Checkpoint,
    reported: &Reported,
    record: &Record,
) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(why) = &record.no_target {
        out.push(format!("not a target: {why}"));
    }
    if let (Some(theirs), Some(ours)) = (&record.shortcut, &checkpoint.shortcut)
        && theirs != ours
    {
        out.push(format!("shortcuts of type {theirs}, ours are of type {ours}"));
    }
    match (record.training, trains(group)) {
        (Training::Trained, false) => out.push("fine-tuned, ours is calibrated".to_string()),
        (Training::Calibrated, true) => out.push("calibrated, ours is fine-tuned".to_string()),
        _ => out.extend(other_data(group, record)),
    }
    if let Some(spec) = group.spec() {
        if record.ternary != spec.bits.ternary {
            let words = |ternary| if ternary { "three levels" } else { "four levels" };
            let (theirs, ours) = (words(record.ternary), words(spec.bits.ternary));
            out.push(format!("weights have {theirs}, ours {ours}"));
        }
        let ours = spec.first_last.to_string();
        if record.first_last != Rule::Unknown && record.first_last.name() != ours {
            let theirs = record.first_last.name();
            out.push(format!("first and last layer {theirs}, ours {ours}"));
        }
    }
    if let Some(fp32) = record.fp32_top1
        && (fp32 - summary.acc_fp32_pct).abs() > SAME_CHECKPOINT_POINTS
    {
        let ours = two(summary.acc_fp32_pct);
        out.push(format!("another checkpoint (FP32 {} %, ours {ours} %)", two(fp32)));
    }
    out.extend(budget(group, reported));
    out
}

/// Whether the method trains weights on labels: then its card has epochs.
fn trains(group: &Group<'_>) -> bool {
    group.asked.cell.params.contains_key("epochs")
}

/// Where the method was given other data; what is trained on labels and what is not differs in this
/// anyhow, and one reason says it.
fn other_data(group: &Group<'_>, record: &Record) -> Option<String> {
    let cell = &group.asked.cell;
    let ours = match cell.needs {
        Needs::Nothing => Data::Nothing,
        Needs::UnlabelledIfAsked if cell.calibration_images == 0 => Data::Nothing,
        Needs::Unlabelled | Needs::UnlabelledIfAsked => Data::Unlabelled,
        Needs::Labelled | Needs::WithValidation => Data::Labelled,
    };
    let theirs = record.data.filter(|theirs| *theirs != ours)?;
    Some(format!("{}, ours {}", theirs.words(), ours.words()))
}

/// Where less than half of the paper's budget was spent.
fn budget(group: &Group<'_>, reported: &Reported) -> Option<String> {
    let cell = &group.asked.cell;
    let paper = reported.budget(&cell.method)?;
    let Some(ParamValue::Int(ours)) = cell.params.get(&paper.parameter) else { return None };
    ((*ours as f64) < SAME_BUDGET * paper.value as f64)
        .then(|| format!("{} {}, ours {ours}", paper.value, paper.parameter))
}
