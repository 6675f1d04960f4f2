//! The Pareto front of a bit allocation, with the point that was taken.

use quantbench_core::evidence::Front;

use super::canvas::{Anchor, CHARACTER, Canvas, cut, ink, tick_text};
use super::layout::Rect;
use super::scale::{LogScale, nice_ticks};
use super::style::{FRONT, GRID, INK, SOFT, Style};
use super::{Draft, Sources};
use crate::format::grouped;

const TITLE: f64 = 15.0;
const TEXT: f64 = 11.5;
/// Most points that a line is drawn through.
const MOST_POINTS: usize = 300;

/// The front of one budget.
struct Curve<'a> {
    widths: String,
    front: &'a Front,
}

/// One figure for each subject and method that recorded a front.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for subject in 0..sources.groups.subjects.len() {
        let mut methods: Vec<(&str, Vec<Curve<'_>>)> = Vec::new();
        for group in sources.groups.main(subject).filter(|g| g.published().is_some()) {
            let result = group.done.first().and_then(|row| row.result.as_ref());
            let Some(front) = result.and_then(|r| r.evidence.front.as_ref()) else { continue };
            if front.points.len() < 2 || front.chosen >= front.points.len() {
                continue;
            }
            let curve = Curve { widths: group.widths(), front };
            match methods.iter_mut().find(|(name, _)| *name == group.series) {
                Some((_, curves)) => curves.push(curve),
                None => methods.push((&group.series, vec![curve])),
            }
        }
        for (method, curves) in methods {
            let title = sources.groups.subject_name(subject);
            let caption = "Allocations that no other beats in both cost and total loss, of the first draw; a panel for each budget asked. The large marker is the allocation taken, the dashed line the budget.".to_string();
            drafts.push(Draft {
                extra: method.to_string(),
                caption,
                markers: curves.len(),
                canvas: draw(&format!("{title}: {method}"), &curves, sources.styles.get(method)),
                title,
            });
        }
    }
    drafts
}

fn draw(title: &str, curves: &[Curve<'_>], style: Style) -> Canvas {
    let columns = curves.len().min(3);
    let (w, h) = if columns == 1 { (480.0, 280.0) } else { (250.0, 190.0) };
    let (left, gap_x, gap_y, top) = (70.0, 76.0, 76.0, 66.0);
    let rows = curves.len().div_ceil(columns);
    let width = left + columns as f64 * w + (columns - 1) as f64 * gap_x + 30.0;
    let height = top + rows as f64 * h + (rows - 1) as f64 * gap_y + 54.0;
    let mut canvas = Canvas::new(width.max(560.0), height);
    let c = &mut canvas;
    c.text(&cut(title, 80), (16.0, 22.0), ink(INK, TITLE, Anchor::Left, true));
    for (i, curve) in curves.iter().enumerate() {
        let (column, row) = ((i % columns) as f64, (i / columns) as f64);
        let frame = Rect { x: left + column * (w + gap_x), y: top + row * (h + gap_y), w, h };
        panel(c, curve, frame, style);
    }
    canvas
}

fn panel(c: &mut Canvas, curve: &Curve<'_>, frame: Rect, style: Style) {
    let Rect { x, y, w, h } = frame;
    let Curve { widths, front } = curve;
    // Costs in thousands or millions keep the ticks short.
    let most = front.points.iter().map(|p| p.0).max().unwrap_or(1).max(front.budget);
    let (unit, word) = match most {
        0..10_000 => (1.0, ""),
        10_000..10_000_000 => (1e3, "thousand "),
        10_000_000..10_000_000_000 => (1e6, "million "),
        _ => (1e9, "thousand million "),
    };
    let cost = |v: u64| v as f64 / unit;
    let costs = front.points.iter().map(|p| cost(p.0)).chain([cost(front.budget)]);
    let (low, high) = costs.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
    let room = ((high - low) * 0.05).max(high * 0.01).max(1e-9);
    let (low, high) = (low - room, high + room);
    let across = |v: f64| x + w * (v - low) / (high - low);
    let losses: Vec<f64> = front.points.iter().map(|p| p.1).filter(|l| *l > 0.0).collect();
    if losses.is_empty() {
        return;
    }
    let scale = LogScale::of(&losses);
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    // A loss of nothing lies on the lowest one that a logarithmic axis can show.
    let up = |loss: f64| y + h * (1.0 - scale.share(loss.max(least)));
    c.text(&format!("asked {widths}"), (x, y - 13.0), ink(INK, 13.0, Anchor::Left, true));
    for tick in powers(&scale) {
        c.line(&[(x, up(tick)), (x + w, up(tick))], GRID, 1.0);
        let label =
            if (0.01..1000.0).contains(&tick) { tick_text(tick) } else { format!("{tick:.0e}") };
        c.text(&label, (x - 8.0, up(tick)), ink(SOFT, TEXT, Anchor::Right, false));
    }
    let ticks = nice_ticks(low, high, 4);
    let longest = ticks.iter().map(|t| tick_text(*t).chars().count()).max().unwrap_or(1);
    let fits = (w / (longest as f64 * TEXT * CHARACTER + 8.0)) as usize;
    for tick in ticks.iter().step_by(ticks.len().div_ceil(fits.max(1)).max(1)) {
        c.line(&[(across(*tick), y), (across(*tick), y + h)], GRID, 1.0);
        c.text(
            &tick_text(*tick),
            (across(*tick), y + h + 14.0),
            ink(SOFT, TEXT, Anchor::Centre, false),
        );
    }
    c.line(&[(x, y), (x, y + h), (x + w, y + h)], INK, 1.2);
    let every = front.points.len().div_ceil(MOST_POINTS).max(1);
    let line: Vec<(f64, f64)> =
        front.points.iter().step_by(every).map(|p| (across(cost(p.0)), up(p.1))).collect();
    c.line(&line, FRONT, 1.6);
    if line.len() <= 40 {
        for at in &line {
            c.dot(*at, 2.2, FRONT);
        }
    }
    let budget = across(cost(front.budget));
    c.dashes((budget, y), (budget, y + h), SOFT, 1.3);
    let chosen = front.points[front.chosen];
    c.marker((across(cost(chosen.0)), up(chosen.1)), 6.0, style);
    let title = format!("cost [{word}{}]", front.unit);
    c.text(&title, (x + w / 2.0, y + h + 32.0), ink(INK, TEXT, Anchor::Centre, false));
    c.upwards("total loss", (x - 56.0, y + h / 2.0), ink(INK, TEXT, Anchor::Centre, false));
    let used = format!("{} of {}", grouped(chosen.0 as i64), grouped(front.budget as i64));
    c.text(&used, (x + w, y - 13.0), ink(SOFT, TEXT, Anchor::Right, false));
}

/// Ticks of a logarithmic axis that may span many decades: then every so many powers of ten.
fn powers(scale: &LogScale) -> Vec<f64> {
    let ticks = scale.ticks();
    if ticks.len() <= 7 {
        return ticks;
    }
    let decades: Vec<f64> = (-300..300)
        .map(|d| 10_f64.powi(d))
        .filter(|v| (0.0..=1.0).contains(&scale.share(*v)))
        .collect();
    let every = decades.len().div_ceil(6).max(1);
    decades.into_iter().step_by(every).collect()
}
