//! Accuracy against bits: a panel for each family and kind of activations, a line per method.

use quantbench_core::{Family, Widths};

use super::chart::{BROKEN, Chart, Dot, Panel, Series};
use super::{Draft, Sources};
use crate::group::Group;

/// One figure for each subject with at least two weight widths.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    (0..sources.groups.subjects.len()).filter_map(|s| figure(sources, s)).collect()
}

fn figure(sources: &Sources<'_>, subject: usize) -> Option<Draft> {
    let groups = sources.groups;
    let title = groups.subject_name(subject);
    let mut kinds: Vec<(Family, Activations)> = Vec::new();
    let shown: Vec<&Group<'_>> =
        groups.main(subject).filter(|g| !g.is_fp32() && g.published().is_some()).collect();
    for group in &shown {
        let kind = kind(group)?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort();
    let panel = |(family, activations): &(Family, Activations)| {
        let here = shown.iter().filter(|g| kind(g) == Some((*family, *activations)));
        let mut series: Vec<Series> = Vec::new();
        for group in here {
            let Some(summary) = group.published() else { continue };
            let dot = Dot {
                x: summary.weights_mean_bits,
                acc_pct: summary.acc_simulated_pct.mean,
                bar: summary.acc_simulated_pct.interval.map(|i| (i.low, i.high)),
                label: String::new(),
            };
            match series.iter_mut().find(|s| s.name == group.series) {
                Some(one) => one.dots.push(dot),
                None => series.push(Series {
                    name: group.series.clone(),
                    style: sources.styles.get(&group.series),
                    dots: vec![dot],
                }),
            }
        }
        for one in &mut series {
            one.dots.sort_by(|a, b| a.x.total_cmp(&b.x));
        }
        Panel {
            title: format!("{}, {}", family.title(), activations.words()),
            series,
            front: Vec::new(),
        }
    };
    let panels: Vec<Panel> = kinds.iter().map(panel).collect();
    let widths = shown.iter().filter_map(|g| g.spec().map(|s| (s.bits.weights, s.bits.ternary)));
    let several = widths.collect::<std::collections::BTreeSet<_>>().len() > 1;
    let fp32_pct = groups.fp32(subject).map(|(pct, _)| pct);
    let ticks = Some([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0].to_vec());
    let x_title = "mean weight bits (logarithmic)";
    let chart =
        Chart { title: &title, x_title, panels, own_x: false, ticks, joined: true, fp32_pct };
    let mut caption = "Simulated accuracy (mean over draws; bars: interval over draws, t 95 %) against the parameter-weighted mean of the weight widths reached. One panel for each family and kind of activations; a line joins the widths of one method under the same rules.".to_string();
    if chart.is_broken() {
        caption += BROKEN;
    }
    several.then(|| Draft::of(&title, "", caption, &chart))
}

/// The kind of activations that widths may be compared under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Activations {
    /// As wide as the weights asked for.
    AsWeights,
    /// A width of their own.
    Fixed(u8),
}

impl Activations {
    fn of(widths: Widths) -> Self {
        let (weights, activations) = (widths.weights.get(), widths.activations.get());
        // Binary and ternary weights with activations of their width are one more point of it.
        if weights == activations { Self::AsWeights } else { Self::Fixed(activations) }
    }

    fn words(self) -> String {
        match self {
            Self::AsWeights => "A = W".to_string(),
            Self::Fixed(32) => "A FP32".to_string(),
            Self::Fixed(bits) => format!("A{bits}"),
        }
    }
}

fn kind(group: &Group<'_>) -> Option<(Family, Activations)> {
    Some((group.family()?, Activations::of(group.spec()?.bits)))
}
