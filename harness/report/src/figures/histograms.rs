//! Histograms of weights and activations over the levels of each method's grid.

use quantbench_core::Histograms;
use quantbench_core::histogram::{Binned, LayerHistograms, Seen, ShownGrid};

use super::canvas::{Anchor, CHARACTER, Canvas, cut, ink, tick_text};
use super::layout::Rect;
use super::scale::nice_ticks;
use super::style::{BAR, GRID, INK, SOFT, Style};
use super::{Draft, Sources, by_widths};
use crate::group::Group;

const TITLE: f64 = 15.0;
const TEXT: f64 = 11.0;
const LINE: f64 = 13.0;
/// Width and height of a histogram.
const PLOT: (f64, f64) = (300.0, 96.0);
/// More levels than this are drawn as a band.
const MOST_LEVELS: usize = 33;
const NAME: usize = 30;

/// One method's layers.
struct Shown<'a> {
    name: String,
    style: Style,
    layers: &'a [LayerHistograms],
}

/// One figure for each subject and pair of widths with stored histograms.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for subject in 0..sources.groups.subjects.len() {
        let title = sources.groups.subject_name(subject);
        for (widths, here) in by_widths(sources.groups.main(subject)) {
            let shown: Vec<Shown<'_>> = here
                .iter()
                .filter(|g| g.published().is_some())
                .filter_map(|group| {
                    let stored = stored(sources.histograms, group)?;
                    let (name, style) = (group.series.clone(), sources.styles.get(&group.series));
                    Some(Shown { name, style, layers: &stored.layers })
                })
                .collect();
            let layers = select(&shown);
            if layers.is_empty() {
                continue;
            }
            drafts.push(Draft {
                extra: widths.clone(),
                caption: "FP32 weights (batch norm folded) and FP32 inputs of the first layer, of the last, and of the one between of which some method clips the largest share. Heights are logarithmic. Below are the levels of each method (for weights those of the channel with the median scale), a band where they are too many to tell apart, and at the right the share of values that are clipped.".to_string(),
                markers: shown.len(),
                canvas: draw(&format!("{title}: {widths}"), &shown, &layers),
                title: title.clone(),
            });
        }
    }
    drafts
}

/// The histograms of the first of a group's artefacts that has some.
fn stored<'a>(all: &'a [Histograms], group: &Group<'_>) -> Option<&'a Histograms> {
    group.done.iter().find_map(|row| {
        all.iter().find(|h| !h.artefact.is_empty() && h.artefact == row.ids.artefact)
    })
}

/// Names of the layers shown: the first, the most clipped of the others, the last.
fn select(shown: &[Shown<'_>]) -> Vec<String> {
    let Some(layers) = shown.first().map(|s| s.layers) else { return Vec::new() };
    let clipped = |name: &str| {
        let same = shown.iter().flat_map(|s| s.layers).filter(|l| l.layer == name);
        let grids = same.flat_map(|l| [&l.weights.grid, &l.input.grid]).flatten();
        grids.filter_map(|g| g.clipped).fold(0.0, f64::max)
    };
    let last = layers.len().saturating_sub(1);
    let inner = layers.get(1..last).unwrap_or(&[]);
    let worst = inner.iter().max_by(|a, b| clipped(&a.layer).total_cmp(&clipped(&b.layer)));
    let mut names: Vec<String> = layers
        .first()
        .into_iter()
        .chain(worst)
        .chain(layers.last())
        .map(|l| l.layer.clone())
        .collect();
    names.dedup();
    names
}

fn draw(title: &str, shown: &[Shown<'_>], layers: &[String]) -> Canvas {
    let names = shown.iter().map(|s| s.name.chars().count().min(NAME)).max().unwrap_or(0);
    let left = 20.0 + names as f64 * TEXT * CHARACTER;
    let gap = 74.0;
    let lines = shown.len() as f64 * LINE;
    let step = PLOT.1 + lines + 64.0;
    let width = left + 2.0 * PLOT.0 + gap + 62.0;
    let mut canvas = Canvas::new(width, 44.0 + step * layers.len() as f64 + 8.0);
    let c = &mut canvas;
    c.text(&cut(title, 90), (16.0, 22.0), ink(INK, TITLE, Anchor::Left, true));
    for (row, layer) in layers.iter().enumerate() {
        let top = 66.0 + row as f64 * step;
        for (column, what) in ["weights", "input"].into_iter().enumerate() {
            let x = left + column as f64 * (PLOT.0 + gap);
            let frame = Rect { x, y: top, w: PLOT.0, h: PLOT.1 };
            let of = |s: &Shown<'_>| {
                let own = s.layers.iter().find(|l| l.layer == *layer)?;
                Some(if column == 0 { own.weights.clone() } else { own.input.clone() })
            };
            let seen: Vec<(Seen, &Shown<'_>)> =
                shown.iter().filter_map(|s| Some((of(s)?, s))).collect();
            let name = cut(layer, 34);
            c.text(&format!("{name}: {what}"), (x, top - 13.0), ink(INK, 12.0, Anchor::Left, true));
            panel(c, &seen, frame);
            if column == 0 {
                for (i, s) in shown.iter().enumerate() {
                    let y = top + PLOT.1 + (i as f64 + 0.7) * LINE;
                    let style = ink(INK, TEXT, Anchor::Right, false);
                    c.text(&cut(&s.name, NAME), (x - 8.0, y), style);
                }
            }
        }
    }
    canvas
}

fn panel(c: &mut Canvas, seen: &[(Seen, &Shown<'_>)], frame: Rect) {
    let Rect { x, y, w, h } = frame;
    let histogram = seen.iter().find_map(|(s, _)| s.histogram.as_ref());
    let Some((low, high)) = range(histogram, seen) else {
        let style = ink(SOFT, TEXT, Anchor::Centre, false);
        c.text("not seen: no images were granted", (x + w / 2.0, y + h / 2.0), style);
        return;
    };
    let across = |v: f64| x + w * ((v - low) / (high - low)).clamp(0.0, 1.0);
    let bottom = y + h;
    if let Some(binned) = histogram {
        let bins = binned.heights.len().max(1) as f64;
        let (from, to) = (f64::from(binned.low), f64::from(binned.high));
        let edge = |i: usize| across(from + (to - from) * i as f64 / bins);
        let top = |height: u16| match height {
            0 => bottom,
            // One ten-thousandth of the highest bin is still a pixel or two.
            n => bottom - h * (0.02 + 0.98 * f64::from(n).log10() / 4.0),
        };
        let steps = binned.heights.iter().enumerate();
        let stairs = steps.flat_map(|(i, n)| [(edge(i), top(*n)), (edge(i + 1), top(*n))]);
        let last = (edge(binned.heights.len()), bottom);
        c.fill([(edge(0), bottom)].into_iter().chain(stairs).chain([last]).collect(), BAR);
    }
    let below = bottom + seen.len() as f64 * LINE + 6.0;
    for tick in nice_ticks(low, high, 5) {
        c.line(&[(across(tick), bottom), (across(tick), below)], GRID, 1.0);
        let style = ink(SOFT, TEXT, Anchor::Centre, false);
        c.text(&tick_text(tick), (across(tick), below + 9.0), style);
    }
    c.line(&[(x, bottom), (x + w, bottom)], INK, 1.2);
    for (i, (one, shown)) in seen.iter().enumerate() {
        let line = bottom + (i as f64 + 0.7) * LINE;
        levels(c, one.grid.as_ref(), shown.style, line, &across, x + w);
    }
}

/// The levels of one grid as ticks or a band, and what it clips.
fn levels(
    c: &mut Canvas,
    grid: Option<&ShownGrid>,
    style: Style,
    y: f64,
    across: &dyn Fn(f64) -> f64,
    right: f64,
) {
    let note = ink(SOFT, 10.0, Anchor::Left, false);
    let Some(grid) = grid else {
        c.text("FP32", (right + 6.0, y), note);
        return;
    };
    let values = grid.values();
    let (low, high) = (across(f64::from(grid.low)), across(f64::from(grid.high)));
    if values.len() > MOST_LEVELS {
        c.area(Rect { x: low, y: y - 2.5, w: (high - low).max(1.0), h: 5.0 }, style.colour);
    } else {
        // A comb in one stroke.
        let teeth = values.iter().map(|v| across(f64::from(*v)));
        let comb = teeth.flat_map(|x| [(x, y), (x, y - 4.0), (x, y + 4.0), (x, y)]);
        c.line(&comb.collect::<Vec<_>>(), style.colour, 1.3);
    }
    if let Some(clipped) = grid.clipped {
        c.text(&format!("{} %", percent(clipped * 100.0)), (right + 6.0, y), note);
    }
}

fn percent(value: f64) -> String {
    match value {
        0.0 => "0".to_string(),
        v if v < 0.01 => "< 0.01".to_string(),
        v => crate::format::two(v),
    }
}

/// The values shown: those seen, and the ends of the grids where these do not reach far beyond.
fn range(histogram: Option<&Binned>, seen: &[(Seen, &Shown<'_>)]) -> Option<(f64, f64)> {
    let values = histogram.map(|b| (f64::from(b.low), f64::from(b.high)));
    let grids = seen.iter().filter_map(|(s, _)| s.grid.as_ref());
    let ends = grids.map(|g| (f64::from(g.low), f64::from(g.high)));
    let all = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (low, high) = match (values, all) {
        (Some((low, high)), Some(ends)) => {
            let room = (high - low) * 0.35;
            (low.min(ends.0.max(low - room)), high.max(ends.1.min(high + room)))
        }
        (one, other) => one.or(other)?,
    };
    let fits = low.is_finite() && high.is_finite();
    let room = ((high - low) * 0.03).max(1e-9);
    fits.then_some((low - room, high + room))
}
