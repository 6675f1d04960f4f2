//! Accuracy against time and energy, a panel for each target.

use quantbench_core::CostKind;

use super::chart::{BROKEN, Chart, Dot, Panel, Series};
use super::points::pareto;
use super::{Draft, Sources};
use crate::targets::{MeanCost, Target};

/// Accuracy against time: a figure for each subject.
pub(super) fn times(sources: &Sources<'_>) -> Vec<Draft> {
    all(sources, "time per image [ms, logarithmic]", "time", &|cost| Some(cost.seconds * 1e3))
}

/// Accuracy against energy.
pub(super) fn energies(sources: &Sources<'_>) -> Vec<Draft> {
    all(sources, "energy per image [mJ, logarithmic]", "energy", &|cost| Some(cost.joules? * 1e3))
}

fn all(
    sources: &Sources<'_>,
    x_title: &str,
    what: &str,
    of: &dyn Fn(&MeanCost) -> Option<f64>,
) -> Vec<Draft> {
    let subjects = 0..sources.groups.subjects.len();
    subjects.filter_map(|subject| figure(sources, subject, x_title, what, of)).collect()
}

fn figure(
    sources: &Sources<'_>,
    subject: usize,
    x_title: &str,
    what: &str,
    of: &dyn Fn(&MeanCost) -> Option<f64>,
) -> Option<Draft> {
    let title = sources.groups.subject_name(subject);
    let panels: Vec<Panel> =
        sources.targets.iter().filter_map(|target| panel(sources, subject, target, of)).collect();
    if panels.is_empty() {
        return None;
    }
    let chart = Chart {
        title: &title,
        x_title,
        panels,
        own_x: true,
        ticks: None,
        joined: false,
        fp32_pct: sources.groups.fp32(subject).map(|(pct, _)| pct),
    };
    let mut caption = format!(
        "Simulated accuracy (mean over draws; bars: interval over draws, t 95 %) against {what} per image, a panel with an axis of its own for each target. Line: Pareto front. Beside a marker stand its widths, where there is room. Artefacts that a target cannot run have no marker there."
    );
    if chart.is_broken() {
        caption += BROKEN;
    }
    Some(Draft::of(&title, "", caption, &chart))
}

fn panel(
    sources: &Sources<'_>,
    subject: usize,
    target: &Target<'_>,
    of: &dyn Fn(&MeanCost) -> Option<f64>,
) -> Option<Panel> {
    let mut series: Vec<Series> = Vec::new();
    for entry in &target.entries {
        let group = &sources.groups.groups[entry.group];
        let Some(x) = entry.cost.as_ref().and_then(of).filter(|x| *x > 0.0) else { continue };
        let Some(summary) = group.published().filter(|_| group.subject == subject) else {
            continue;
        };
        let dot = Dot {
            x,
            acc_pct: summary.acc_simulated_pct.mean,
            bar: summary.acc_simulated_pct.interval.map(|i| (i.low, i.high)),
            label: group.widths(),
        };
        match series.iter_mut().find(|s| s.name == group.series) {
            Some(known) => known.dots.push(dot),
            None => series.push(Series {
                name: group.series.clone(),
                style: sources.styles.get(&group.series),
                dots: vec![dot],
            }),
        }
    }
    let dots: Vec<(f64, f64)> =
        series.iter().flat_map(|s| &s.dots).map(|d| (d.x, d.acc_pct)).collect();
    let front = pareto(&dots).into_iter().map(|i| dots[i]).collect();
    let kind = match target.kind {
        CostKind::Modelled => String::new(),
        kind => format!(" ({})", kind.name()),
    };
    (!series.is_empty()).then(|| Panel {
        title: format!("{}{kind}", target.profile),
        series,
        front,
    })
}
