//! Reported drop against reproduced drop, with the diagonal.

use super::canvas::{Anchor, Canvas, cut, ink, tick_text};
use super::layout::Rect;
use super::scale::nice_ticks;
use super::style::{GRID, INK, SOFT, Style};
use super::{Draft, Sources};
use crate::format::two;
use crate::verdict::Own;
use crate::verdict::matching::{Comparison, Outcome};

const TITLE: f64 = 15.0;
const TEXT: f64 = 11.5;
const FRAME: Rect = Rect { x: 70.0, y: 44.0, w: 380.0, h: 380.0 };

/// One point.
struct Point {
    name: String,
    style: Style,
    own: Own,
    /// Smallest and largest reported drop in points.
    reported: (f64, f64),
    comparable: bool,
}

/// One figure for each subject with reported numbers.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    (0..sources.groups.subjects.len()).filter_map(|subject| figure(sources, subject)).collect()
}

fn figure(sources: &Sources<'_>, subject: usize) -> Option<Draft> {
    let here = sources.comparisons.iter();
    let here = here.filter(|c| sources.groups.groups[c.group].subject == subject);
    let points: Vec<Point> = here.filter_map(|c| point(sources, c)).collect();
    if points.is_empty() {
        return None;
    }
    let title = sources.groups.subject_name(subject);
    let caption = "Our drop against the reported drop, a point for each method and width. Bars: interval of our mean over draws, t 95 % (upright), and the span of the sources (across). On the dashed diagonal both are the same, above it we lose more. Hollow points may not be compared: the table says why.".to_string();
    Some(Draft {
        extra: String::new(),
        caption,
        markers: points.len(),
        canvas: draw(&title, &points),
        title,
    })
}

fn point(sources: &Sources<'_>, comparison: &Comparison<'_>) -> Option<Point> {
    let group = &sources.groups.groups[comparison.group];
    let (reported, comparable) = match &comparison.outcome {
        Outcome::Compared { range, .. } => ((range.low, range.high), true),
        Outcome::NotComparable { nearest, .. } => {
            let drop = (*nearest)?.drop_points()?;
            ((drop, drop), false)
        }
    };
    Some(Point {
        name: format!("{} {}", group.series, group.widths()),
        style: Style { hollow: !comparable, ..sources.styles.get(&group.series) },
        own: comparison.own,
        reported,
        comparable,
    })
}

fn draw(title: &str, points: &[Point]) -> Canvas {
    let Rect { x, y, w, h } = FRAME;
    let mut all: Vec<f64> = vec![0.0];
    for point in points {
        all.extend([point.reported.0, point.reported.1, point.own.mean]);
    }
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let room = ((high - low) * 0.08).max(0.3);
    let (low, high) = (low - room, high + room);
    let across = |drop: f64| x + w * (drop.clamp(low, high) - low) / (high - low);
    let up = |drop: f64| y + h * (1.0 - (drop.clamp(low, high) - low) / (high - low));
    let mut canvas =
        Canvas::new(x + w + 220.0, (y + h + 56.0).max(y + 30.0 + points.len() as f64 * 20.0));
    let c = &mut canvas;
    c.text(&cut(title, 70), (16.0, 22.0), ink(INK, TITLE, Anchor::Left, true));
    for tick in nice_ticks(low, high, 6) {
        c.line(&[(x, up(tick)), (x + w, up(tick))], GRID, 1.0);
        c.line(&[(across(tick), y), (across(tick), y + h)], GRID, 1.0);
        c.text(&tick_text(tick), (x - 8.0, up(tick)), ink(SOFT, TEXT, Anchor::Right, false));
        c.text(
            &tick_text(tick),
            (across(tick), y + h + 15.0),
            ink(SOFT, TEXT, Anchor::Centre, false),
        );
    }
    c.line(&[(x, y), (x, y + h), (x + w, y + h)], INK, 1.2);
    c.dashes((across(low), up(low)), (across(high), up(high)), SOFT, 1.3);
    for point in points {
        let at = (across(0.5 * (point.reported.0 + point.reported.1)), up(point.own.mean));
        let (left, right) = (across(point.reported.0), across(point.reported.1));
        if right - left > 1.0 {
            c.line(&[(left, at.1), (right, at.1)], point.style.colour, 1.3);
        }
        if let Some(interval) = point.own.interval {
            c.line(&[(at.0, up(interval.low)), (at.0, up(interval.high))], point.style.colour, 1.3);
        }
        c.marker(at, 4.8, point.style);
        let ((low, high), own) = (point.reported, two(point.own.mean));
        let (name, low, high) = (&point.name, two(low), two(high));
        c.tip(at, format!("{name}: reported {low} to {high} points, ours {own}"));
        // Hollow markers of two methods can look alike: the legend alone would not tell them.
        let name = cut(&point.name, 26);
        c.text(&name, (at.0 + 9.0, at.1), ink(SOFT, TEXT - 1.5, Anchor::Left, false));
    }
    let axis = ink(INK, TEXT + 1.0, Anchor::Centre, false);
    c.text("reported drop [points]", (x + w / 2.0, y + h + 38.0), axis);
    c.upwards("our drop [points]", (20.0, y + h / 2.0), axis);
    let mut line = y + 10.0;
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by_key(|p| !p.comparable);
    for point in order {
        c.marker((x + w + 24.0, line), 4.8, point.style);
        c.text(&cut(&point.name, 26), (x + w + 36.0, line), ink(INK, TEXT, Anchor::Left, false));
        line += 20.0;
    }
    canvas
}
