//! Accuracy against the number of calibration images: a panel for each pair of widths.

use super::chart::{BROKEN, Chart, Dot, Panel, Series, spread};
use super::{Draft, Sources, by_widths};
use crate::group::Group;

/// One figure for each subject on which a method ran with several numbers of images.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    (0..sources.groups.subjects.len()).filter_map(|s| figure(sources, s)).collect()
}

fn figure(sources: &Sources<'_>, subject: usize) -> Option<Draft> {
    let groups = sources.groups;
    let title = groups.subject_name(subject);
    let mut panels = Vec::new();
    let mut sizes: Vec<f64> = Vec::new();
    for (widths, here) in by_widths(groups.on(subject)) {
        let mut series: Vec<Series> = Vec::new();
        for group in here.iter().filter(|g| g.asked.cell.calibration_images > 0) {
            let Some(dot) = dot(group) else { continue };
            match series.iter_mut().find(|s| s.name == group.series) {
                Some(one) => one.dots.push(dot),
                None => series.push(Series {
                    name: group.series.clone(),
                    style: sources.styles.get(&group.series),
                    dots: vec![dot],
                }),
            }
        }
        series.retain(|s| s.dots.len() > 1);
        for one in &mut series {
            one.dots.sort_by(|a, b| a.x.total_cmp(&b.x));
        }
        if !series.is_empty() {
            sizes.extend(series.iter().flat_map(|s| &s.dots).map(|d| d.x));
            panels.push(Panel { title: widths, series, front: Vec::new() });
        }
    }
    if panels.is_empty() {
        return None;
    }
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let chart = Chart {
        title: &title,
        x_title: "calibration images (logarithmic)",
        panels,
        own_x: false,
        ticks: Some(sizes),
        joined: true,
        fp32_pct: groups.fp32(subject).map(|(pct, _)| pct),
    };
    let mut caption = "Simulated accuracy, mean over draws, against the number of calibration images. Bars reach from the worst to the best draw. One panel for each pair of widths asked.".to_string();
    if chart.is_broken() {
        caption += BROKEN;
    }
    Some(Draft::of(&title, "", caption, &chart))
}

fn dot(group: &Group<'_>) -> Option<Dot> {
    let summary = group.published()?;
    Some(Dot {
        x: group.asked.cell.calibration_images as f64,
        acc_pct: summary.acc_simulated_pct.mean,
        bar: spread(&group.accuracies_pct()),
        label: String::new(),
    })
}
