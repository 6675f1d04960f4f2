//! Cost of the method against accuracy: a panel for each pair of widths.

use super::chart::{BROKEN, Chart, Dot, Panel, Series};
use super::{Draft, Sources, by_widths};

/// The least CPU time that a logarithmic axis shows: the clock does not resolve less.
const LEAST_S: f64 = 0.001;

/// One figure for each subject with costs of at least two groups.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    (0..sources.groups.subjects.len()).filter_map(|s| figure(sources, s)).collect()
}

fn figure(sources: &Sources<'_>, subject: usize) -> Option<Draft> {
    let groups = sources.groups;
    let title = groups.subject_name(subject);
    let mut panels = Vec::new();
    for (widths, here) in by_widths(groups.main(subject)) {
        let series: Vec<Series> = here
            .iter()
            .filter_map(|group| {
                let summary = group.published()?;
                let dot = Dot {
                    x: summary.cost?.cpu_s.max(LEAST_S),
                    acc_pct: summary.acc_simulated_pct.mean,
                    bar: summary.acc_simulated_pct.interval.map(|i| (i.low, i.high)),
                    label: String::new(),
                };
                let style = sources.styles.get(&group.series);
                Some(Series { name: group.series.clone(), style, dots: vec![dot] })
            })
            .collect();
        if series.len() > 1 {
            panels.push(Panel { title: widths, series, front: Vec::new() });
        }
    }
    if panels.is_empty() {
        return None;
    }
    let chart = Chart {
        title: &title,
        x_title: "CPU time of the method [s, logarithmic]",
        panels,
        own_x: false,
        ticks: None,
        joined: false,
        fp32_pct: groups.fp32(subject).map(|(pct, _)| pct),
    };
    let mut caption = "Simulated accuracy (mean over draws; bars: interval over draws, t 95 %) against the mean CPU time of the method over all threads, from FP32 graph and images in memory to artefact in memory. One panel for each pair of widths asked.".to_string();
    if chart.is_broken() {
        caption += BROKEN;
    }
    Some(Draft::of(&title, "", caption, &chart))
}
