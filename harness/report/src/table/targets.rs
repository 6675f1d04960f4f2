//! Tables of costs: one for each target, and one that shows what the choice of target changes.

use quantbench_core::CostKind;

use super::build::heading;
use super::{Column, Field, Line, Notes, Section, Table};
use crate::figures::points::pareto;
use crate::format::{NONE, grouped, short, two};
use crate::group::{Group, Groups};
use crate::stats::tau_b;
use crate::targets::{Entry, MeanCost, Target};

/// Drop against FP32 in points up to which an artefact is called nearly as accurate.
const NEARLY_POINTS: f64 = 1.0;

const COLUMNS: [Column; 11] = [
    Column::words("method"),
    Column::words("widths"),
    Column::number("acc_simulated", "%"),
    Column::number("drop", "points"),
    Column::number("time", "ms per image"),
    Column::number("energy", "mJ per image"),
    Column::number("speed-up", "×"),
    Column::number("ceiling", "×"),
    Column::words("over"),
    Column::number("layers that wait for memory", "of all"),
    Column::words("on the front of"),
];

/// A table for each target.
pub(crate) fn of_targets(groups: &Groups<'_>, targets: &[Target<'_>]) -> Vec<Table> {
    targets.iter().map(|target| table(groups, target)).collect()
}

fn table(groups: &Groups<'_>, target: &Target<'_>) -> Table {
    let mut notes = Notes::default();
    let mut sections = Vec::new();
    for subject in 0..groups.subjects.len() {
        let entries = on(groups, target, subject);
        let fronts = Fronts::of(&entries);
        let mut before = None;
        let mut lines = Vec::new();
        for (i, (group, entry)) in entries.iter().enumerate() {
            lines.push(Line {
                fields: fields(group, entry, &fronts.names(i), &mut notes),
                reference: group.is_fp32(),
                new_widths: before.replace(group.widths()).is_some_and(|w| w != group.widths()),
            });
        }
        if !lines.is_empty() {
            let model = groups.subjects[subject].model.clone();
            sections.push(Section { model, heading: heading(groups, subject), lines });
        }
    }
    let caption = match target.kind {
        CostKind::Measured => "Measured on this machine, medians with 95 % intervals",
        CostKind::Emulated => "Instructions counted in an emulator, times predicted from them",
        CostKind::Modelled => "By a model of the target: nothing ran",
    };
    Table {
        title: target.title(),
        caption: format!(
            "{caption}; means over draws; the ceiling is what peak and bandwidth of the target allow for \
             the speed-up"
        ),
        columns: COLUMNS.to_vec(),
        sections,
        notes: notes.into_texts(),
        remarks: Vec::new(),
    }
}

/// Three significant digits, however small: times reach from nanoseconds to seconds.
fn digits(value: f64) -> String {
    if value >= 0.1 || value <= 0.0 {
        return short(value);
    }
    let decimals = (2.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

/// The entries of one subject with their groups.
fn on<'g, 'r, 't>(
    groups: &'g Groups<'r>,
    target: &'t Target<'t>,
    subject: usize,
) -> Vec<(&'g Group<'r>, &'t Entry<'t>)> {
    let entries = target.entries.iter().map(|entry| (&groups.groups[entry.group], entry));
    entries.filter(|(group, _)| group.subject == subject).collect()
}

fn fields(group: &Group<'_>, entry: &Entry<'_>, fronts: &[&str], notes: &mut Notes) -> Vec<Field> {
    let accuracy = group.published();
    let of = |text: Option<String>| Field::from(text.unwrap_or_else(|| NONE.to_string()));
    let cost = entry.cost.as_ref();
    let over = match (cost, entry.reason) {
        (Some(cost), _) => Field::from(cost.reference.clone()),
        (None, Some(reason)) => Field {
            text: "cannot run".to_string(),
            marks: vec![notes.mark(&format!("Cannot run here: {reason}."))],
        },
        (None, None) => NONE.into(),
    };
    let time = cost.map(|cost| {
        let milliseconds = digits(cost.seconds * 1e3);
        match cost.spread_s {
            Some((low, high)) => {
                format!("{milliseconds} ({}–{})", digits(low * 1e3), digits(high * 1e3))
            }
            None => milliseconds,
        }
    });
    let measured = entry.example.filter(|result| result.spread.is_some());
    let remarks = measured.map_or(&[][..], |result| result.notes.as_slice());
    let marks = remarks.iter().map(|note| notes.mark(&format!("{note}."))).collect();
    vec![
        group.series.clone().into(),
        group.widths().into(),
        of(accuracy.map(|s| two(s.acc_simulated_pct.mean))),
        of(accuracy.filter(|_| !group.is_fp32()).map(|s| two(s.drop_points))),
        Field { marks, ..of(time) },
        of(cost.and_then(|c| Some(digits(c.joules? * 1e3)))),
        of(cost.map(|c| two(c.speed_up))),
        of(cost.and_then(|c| Some(two(c.ceiling?)))),
        over,
        of(cost.and_then(|c| c.memory_bound.map(|(memory, all)| format!("{memory}/{all}")))),
        of((!fronts.is_empty()).then(|| fronts.join(", "))),
    ]
}

/// Which entries no other beats in accuracy and time, energy or size.
struct Fronts(Vec<(&'static str, Vec<usize>)>);

impl Fronts {
    fn of(entries: &[(&Group<'_>, &Entry<'_>)]) -> Self {
        let front = |of: &dyn Fn(&Group<'_>, &MeanCost) -> Option<f64>| -> Vec<usize> {
            let pair = |(i, (group, entry)): (usize, &(&Group<'_>, &Entry<'_>))| {
                let accuracy = group.published()?.acc_simulated_pct.mean;
                Some((i, (of(group, entry.cost.as_ref()?)?, accuracy)))
            };
            let (at, pairs): (Vec<usize>, Vec<(f64, f64)>) =
                entries.iter().enumerate().filter_map(pair).unzip();
            pareto(&pairs).into_iter().map(|i| at[i]).collect()
        };
        Self(vec![
            ("time", front(&|_, cost| Some(cost.seconds))),
            ("energy", front(&|_, cost| cost.joules)),
            ("size", front(&|group, _| group.published().map(|s| s.packed_bytes))),
        ])
    }

    fn names(&self, entry: usize) -> Vec<&'static str> {
        self.0.iter().filter(|(_, front)| front.contains(&entry)).map(|(name, _)| *name).collect()
    }
}

const OVERVIEW: [Column; 8] = [
    Column::words("target"),
    Column::words("cost"),
    Column::number("artefacts that run", "of all"),
    Column::words("fastest within a point of FP32"),
    Column::number("its time", "ms per image"),
    Column::words("least energy within a point of FP32"),
    Column::number("its energy", "mJ per image"),
    Column::number("order by time against order by bit operations", "Kendall's tau-b"),
];

/// What the choice of target changes: which artefact one would take, and how well bit operations
/// foretell it; none without costs.
pub(crate) fn choices(groups: &Groups<'_>, targets: &[Target<'_>]) -> Option<Table> {
    let mut sections = Vec::new();
    for subject in 0..groups.subjects.len() {
        let lines: Vec<Line> = targets
            .iter()
            .filter_map(|target| {
                let entries = on(groups, target, subject);
                (!entries.is_empty()).then(|| Line {
                    fields: choice(target, &entries),
                    reference: false,
                    new_widths: false,
                })
            })
            .collect();
        if !lines.is_empty() {
            let model = groups.subjects[subject].model.clone();
            sections.push(Section { model, heading: heading(groups, subject), lines });
        }
    }
    (!sections.is_empty()).then(|| Table {
        title: "What the target changes".to_string(),
        caption: format!(
            "Nearly as accurate means a drop of at most {NEARLY_POINTS} point; tau is 1 where bit \
             operations order the artefacts as their time here does, 0 where they say nothing"
        ),
        columns: OVERVIEW.to_vec(),
        sections,
        notes: Vec::new(),
        remarks: Vec::new(),
    })
}

fn choice(target: &Target<'_>, entries: &[(&Group<'_>, &Entry<'_>)]) -> Vec<Field> {
    let run: Vec<(&Group<'_>, &MeanCost)> =
        entries.iter().filter_map(|(g, e)| Some((*g, e.cost.as_ref()?))).collect();
    let least = |of: &dyn Fn(&MeanCost) -> Option<f64>| {
        run.iter()
            .filter(|(group, _)| group.published().is_some_and(|s| s.drop_points <= NEARLY_POINTS))
            .filter_map(|(group, cost)| Some((*group, of(cost)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let name = |group: &Group<'_>| format!("{} {}", group.series, group.widths());
    let dash = || Field::from(NONE);
    let fields = |found: Option<(&Group<'_>, f64)>| match found {
        Some((group, value)) => [Field::from(name(group)), Field::from(digits(value * 1e3))],
        None => [dash(), dash()],
    };
    let pairs: Vec<(f64, f64)> = run
        .iter()
        .filter_map(|(group, cost)| Some((cost.seconds, group.published()?.bit_operations)))
        .collect();
    let [fastest, time] = fields(least(&|cost| Some(cost.seconds)));
    let [thriftiest, energy] = fields(least(&|cost| cost.joules));
    vec![
        target.profile.into(),
        format!("{}, {}", target.kind.name(), target.by).into(),
        format!("{} of {}", grouped(run.len() as i64), grouped(entries.len() as i64)).into(),
        fastest,
        time,
        thriftiest,
        energy,
        tau_b(&pairs).map_or_else(dash, |tau| two(tau).into()),
    ]
}
