//! Which method should I use? The choices that no other beats, within limits, from stored rows.
//!
//! A choice is a group that finished; it is *dominated* where another within the limits is at
//! least as good in accuracy and in every quantity that the question limits (or, without such a
//! limit, in size), and better in one. This answers with what was measured and nothing else: what
//! never ran is no choice.

use quantbench_core::Needs;
use serde::Serialize;

use crate::findings::Findings;
use crate::format;
use crate::group::Group;
use crate::stats::Interval;
use crate::targets::{Entry, Target};

/// What one is willing to give; none is no limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Name of the model; none compares each model on its own.
    pub model: Option<String>,
    /// Whether unlabelled or labelled images are at hand.
    pub data: Option<Data>,
    /// CPU seconds of the method.
    pub cpu_s: Option<f64>,
    /// Packed size in KiB.
    pub size_kib: Option<f64>,
    /// Bit operations per image in thousand millions.
    pub bit_operations_g: Option<f64>,
    /// Drop against FP32 in points.
    pub drop_points: Option<f64>,
    /// A target that has to run it.
    pub profile: Option<String>,
    /// Milliseconds per image on the target.
    pub time_ms: Option<f64>,
    /// Millijoules per image on the target.
    pub energy_mj: Option<f64>,
}

/// Data at hand, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// None.
    None,
    /// Images without labels.
    Unlabelled,
    /// Images with labels.
    Labelled,
}

/// One quantity of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Data that the method needs.
    Data,
    /// CPU seconds of the method.
    CpuS,
    /// Packed size in KiB.
    SizeKib,
    /// Bit operations per image in thousand millions.
    BitOperationsG,
    /// Drop in points.
    DropPoints,
    /// Whether the target runs it.
    Profile,
    /// Milliseconds per image.
    TimeMs,
    /// Millijoules per image.
    EnergyMj,
}

/// One choice with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Model and data set.
    pub subject: String,
    /// Method.
    pub method: String,
    /// Widths.
    pub widths: String,
    /// Simulated accuracy in percent, mean over draws.
    pub accuracy_pct: f64,
    /// Its interval over draws, lower and upper end.
    pub over_draws_pct: Option<(f64, f64)>,
    /// Drop in points.
    pub drop_points: f64,
    /// Its paired interval over test images.
    pub drop_interval_points: Option<(f64, f64)>,
    /// What the method was granted.
    pub data: String,
    /// CPU seconds of the method, where they were observed.
    pub cpu_s: Option<f64>,
    /// Packed size in KiB.
    pub size_kib: f64,
    /// Bit operations per image in thousand millions.
    pub bit_operations_g: f64,
    /// Milliseconds per image on the target asked for.
    pub time_ms: Option<f64>,
    /// Millijoules per image there.
    pub energy_mj: Option<f64>,
    /// Rows behind it, by the id of their artefact.
    pub rows: Vec<String>,
}

/// What one would gain by giving more of one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The limit to relax.
    pub relax: Quantity,
    /// To what, in words.
    pub to: String,
    /// Points of accuracy gained over the best choice; none where nothing fits.
    pub gain_points: Option<f64>,
    /// The choice that would then be open.
    pub choice: Choice,
}

/// The answer for one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Model and data set.
    pub subject: String,
    /// Choices that no other beats, the most accurate first.
    pub choices: Vec<Choice>,
    /// What the next step would cost, for each limit that keeps something better out.
    pub steps: Vec<Step>,
    /// How many results each limit keeps out.
    pub excluded: Vec<(Quantity, usize)>,
    /// Results outside of the limits; one that several limits keep out counts once.
    pub outside: usize,
    /// Results that were looked at.
    pub seen: usize,
}

/// Answers for every model of the findings, or the one that is asked for.
pub fn recommend(findings: &Findings<'_>, limits: &Limits) -> Vec<Answer> {
    let groups = &findings.groups;
    let subjects = 0..groups.subjects.len();
    subjects
        .filter(|s| limits.model.as_ref().is_none_or(|m| *m == groups.subjects[*s].model))
        .filter_map(|subject| answer(findings, limits, subject))
        .collect()
}

/// A candidate with what keeps it out.
struct Candidate {
    choice: Choice,
    data: Data,
    against: Vec<Quantity>,
}

fn answer(findings: &Findings<'_>, limits: &Limits, subject: usize) -> Option<Answer> {
    let candidates = candidates(findings, limits, subject);
    if candidates.is_empty() {
        return None;
    }
    let within: Vec<&Choice> =
        candidates.iter().filter(|c| c.against.is_empty()).map(|c| &c.choice).collect();
    let beaten = |c: &Choice| within.iter().any(|other| dominates(other, c, limits));
    let mut choices: Vec<Choice> =
        within.iter().filter(|c| !beaten(c)).map(|c| (*c).clone()).collect();
    choices.sort_by(|a, b| b.accuracy_pct.total_cmp(&a.accuracy_pct));
    let mut excluded: Vec<(Quantity, usize)> = Vec::new();
    for quantity in candidates.iter().flat_map(|c| &c.against) {
        match excluded.iter_mut().find(|(q, _)| q == quantity) {
            Some((_, count)) => *count += 1,
            None => excluded.push((*quantity, 1)),
        }
    }
    Some(Answer {
        subject: findings.groups.subject_name(subject),
        steps: steps(&candidates, choices.first(), &excluded),
        choices,
        excluded,
        outside: candidates.iter().filter(|c| !c.against.is_empty()).count(),
        seen: candidates.len(),
    })
}

fn candidates(findings: &Findings<'_>, limits: &Limits, subject: usize) -> Vec<Candidate> {
    let target: Option<&Target<'_>> = limits
        .profile
        .as_ref()
        .and_then(|name| findings.targets.iter().find(|t| t.profile == *name));
    let groups = findings.groups.groups.iter().enumerate();
    groups
        .filter(|(_, g)| g.subject == subject && !g.is_fp32())
        .filter_map(|(i, group)| {
            let entry = target.and_then(|t| t.entries.iter().find(|e| e.group == i));
            let choice = choice(findings, group, entry)?;
            let data = needs(group);
            let against = against(limits, &choice, data);
            Some(Candidate { choice, data, against })
        })
        .collect()
}

fn choice(findings: &Findings<'_>, group: &Group<'_>, entry: Option<&Entry<'_>>) -> Option<Choice> {
    let s = group.published()?;
    let ends = |i: Interval| (i.low, i.high);
    let cost = entry.and_then(|e| e.cost.as_ref());
    let cell = &group.asked.cell;
    let mut rows: Vec<String> = group.done.iter().map(|r| r.ids.artefact.clone()).collect();
    rows.sort();
    Some(Choice {
        subject: findings.groups.subject_name(group.subject),
        method: group.label.clone(),
        widths: group.widths(),
        accuracy_pct: s.acc_simulated_pct.mean,
        over_draws_pct: s.acc_simulated_pct.interval.map(ends),
        drop_points: s.drop_points,
        drop_interval_points: group.paired.drop_points.map(ends),
        data: format::data(cell.needs, cell.calibration_images),
        cpu_s: s.cost.map(|c| c.cpu_s),
        size_kib: s.packed_bytes / 1024.0,
        bit_operations_g: s.bit_operations / 1e9,
        time_ms: cost.map(|c| c.seconds * 1e3),
        energy_mj: cost.and_then(|c| c.joules).map(|j| j * 1e3),
        rows,
    })
}

fn needs(group: &Group<'_>) -> Data {
    match group.asked.cell.needs {
        Needs::Nothing => Data::None,
        Needs::UnlabelledIfAsked if group.asked.cell.calibration_images == 0 => Data::None,
        Needs::Unlabelled | Needs::UnlabelledIfAsked => Data::Unlabelled,
        Needs::Labelled | Needs::WithValidation => Data::Labelled,
    }
}

/// The limits that keep a choice out. What was not observed does not fit a limit on it.
fn against(limits: &Limits, choice: &Choice, data: Data) -> Vec<Quantity> {
    let above = |limit: Option<f64>, value: Option<f64>| {
        limit.is_some_and(|limit| value.is_none_or(|value| value > limit))
    };
    let mut out = Vec::new();
    let mut test = |quantity, fails: bool| {
        if fails {
            out.push(quantity);
        }
    };
    test(Quantity::Data, limits.data.is_some_and(|at_hand| data > at_hand));
    test(Quantity::CpuS, above(limits.cpu_s, choice.cpu_s));
    test(Quantity::SizeKib, above(limits.size_kib, Some(choice.size_kib)));
    let operations = above(limits.bit_operations_g, Some(choice.bit_operations_g));
    test(Quantity::BitOperationsG, operations);
    test(Quantity::DropPoints, above(limits.drop_points, Some(choice.drop_points)));
    let runs = choice.time_ms.is_some();
    test(Quantity::Profile, limits.profile.is_some() && !runs);
    test(Quantity::TimeMs, runs && above(limits.time_ms, choice.time_ms));
    test(Quantity::EnergyMj, runs && above(limits.energy_mj, choice.energy_mj));
    out
}

/// Quantities that count beside accuracy, the less the better.
fn costs(choice: &Choice, limits: &Limits) -> Vec<f64> {
    let mut all = vec![choice.size_kib];
    if limits.cpu_s.is_some() {
        all.push(choice.cpu_s.unwrap_or(f64::INFINITY));
    }
    if limits.bit_operations_g.is_some() {
        all.push(choice.bit_operations_g);
    }
    if limits.profile.is_some() {
        all.push(choice.time_ms.unwrap_or(f64::INFINITY));
        all.extend(choice.energy_mj);
    }
    all
}

/// Whether `a` is at least as good as `b` in everything and better in something.
fn dominates(a: &Choice, b: &Choice, limits: &Limits) -> bool {
    let (x, y) = (costs(a, limits), costs(b, limits));
    let no_worse = a.accuracy_pct >= b.accuracy_pct
        && x.len() == y.len()
        && x.iter().zip(&y).all(|(x, y)| x <= y);
    no_worse && (a.accuracy_pct > b.accuracy_pct || x.iter().zip(&y).any(|(x, y)| x < y))
}

/// For each limit the most accurate result that it alone keeps out, where it beats the best
/// choice.
fn steps(
    candidates: &[Candidate],
    best: Option<&Choice>,
    excluded: &[(Quantity, usize)],
) -> Vec<Step> {
    let floor = best.map_or(f64::NEG_INFINITY, |c| c.accuracy_pct);
    let mut steps: Vec<Step> = excluded
        .iter()
        .filter_map(|(quantity, _)| {
            let alone = candidates.iter().filter(|c| c.against == [*quantity]);
            let next =
                alone.max_by(|a, b| a.choice.accuracy_pct.total_cmp(&b.choice.accuracy_pct))?;
            (next.choice.accuracy_pct > floor).then(|| Step {
                relax: *quantity,
                to: needed(*quantity, next),
                gain_points: best.map(|best| next.choice.accuracy_pct - best.accuracy_pct),
                choice: next.choice.clone(),
            })
        })
        .collect();
    steps.sort_by(|a, b| b.choice.accuracy_pct.total_cmp(&a.choice.accuracy_pct));
    steps
}

/// What a candidate needs of a quantity.
fn needed(quantity: Quantity, candidate: &Candidate) -> String {
    let c = &candidate.choice;
    let number = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "not observed".to_string(), |v| format!("{} {unit}", format::short(v)))
    };
    match quantity {
        Quantity::Data => match candidate.data {
            Data::None => "no data".to_string(),
            Data::Unlabelled | Data::Labelled => format!("{} images", c.data),
        },
        Quantity::CpuS => number(c.cpu_s, "CPU s"),
        Quantity::SizeKib => number(Some(c.size_kib), "KiB"),
        Quantity::BitOperationsG => number(Some(c.bit_operations_g), "G bit operations"),
        Quantity::DropPoints => number(Some(c.drop_points), "points"),
        Quantity::Profile => "another target".to_string(),
        Quantity::TimeMs => number(c.time_ms, "ms"),
        Quantity::EnergyMj => number(c.energy_mj, "mJ"),
    }
}
