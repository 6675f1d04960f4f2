//! Accuracy against size: puts one figure's points on a canvas.

use super::canvas::{Anchor, CHARACTER, Canvas, cut, ink, tick_text};
use super::layout::{Rect, clusters, dodge, place};
use super::points::Points;
use super::scale::{LogScale, YScale};
use super::style::{FP32, FRONT, GRID, INK, SOFT, Style, Styles};
use crate::format::two;

/// Radius of a marker in pixels.
const RADIUS: f64 = 5.5;
/// Two markers nearer than this are moved apart.
const APART: f64 = 11.0;
/// Markers nearer than this share a label: with the same widths, and with others.
const ALIKE: f64 = 30.0;
const TOUCHING: f64 = 13.0;
/// Font sizes in pixels.
const TITLE: f64 = 15.0;
const AXIS: f64 = 13.0;
const TICK: f64 = 12.0;
const LABEL: f64 = 11.0;
/// Longest name in the legend and in the title, in characters.
const LEGEND_NAME: usize = 40;
const TITLE_NAME: usize = 75;
/// Distance between two lines of the legend.
const LEGEND_LINE: f64 = 21.0;

/// Positions of everything.
struct Plan<'a> {
    points: &'a Points,
    frame: Rect,
    x: LogScale,
    y: YScale,
    /// Where the markers are drawn.
    markers: Vec<(f64, f64)>,
}

/// The figure.
pub(super) fn figure(title: &str, points: &Points, styles: &Styles) -> Canvas {
    let legend = legend(points, styles);
    let longest = legend.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    // The last two lines, "Pareto front" and "FP32 91.73 %", set the least width.
    let legend_width = 40.0 + longest.max(13) as f64 * TICK * CHARACTER;
    let frame = Rect { x: 66.0, y: 44.0, w: 540.0, h: 360.0 };
    let rows = legend.len() + 2;
    let width = frame.x + frame.w + legend_width + 14.0;
    let height = (frame.y + frame.h + 58.0).max(frame.y + rows as f64 * LEGEND_LINE + 20.0);
    let plan = Plan::of(points, frame);
    let mut canvas = Canvas::new(width, height);
    let c = &mut canvas;
    c.text(&cut(title, TITLE_NAME), (frame.x, 22.0), ink(INK, TITLE, Anchor::Left, true));
    plan.axes(c);
    plan.reference(c);
    plan.front(c);
    plan.bars(c, styles);
    plan.dots(c, styles);
    plan.labels(c);
    draw_legend(c, &legend, (frame.x + frame.w + 18.0, frame.y + 8.0), points);
    canvas
}

impl<'a> Plan<'a> {
    fn of(points: &'a Points, frame: Rect) -> Self {
        let x = LogScale::of(&points.sizes());
        let y = points.y_scale();
        let mut plan = Self { points, frame, x, y, markers: Vec::new() };
        let exact: Vec<(f64, f64)> =
            points.points.iter().map(|p| plan.at(p.size_kib, p.acc_pct)).collect();
        plan.markers = dodge(&exact, APART);
        plan
    }

    fn at(&self, size_kib: f64, acc_pct: f64) -> (f64, f64) {
        (self.across(size_kib), self.up(self.y.share(acc_pct)))
    }

    fn across(&self, size_kib: f64) -> f64 {
        self.frame.x + self.frame.w * self.x.share(size_kib)
    }

    fn up(&self, share: f64) -> f64 {
        self.frame.y + self.frame.h * (1.0 - share)
    }

    /// Grid, frame of each panel, ticks and titles of the axes.
    fn axes(&self, c: &mut Canvas) {
        let Rect { x: left, y: top, w, h } = self.frame;
        let (right, bottom) = (left + w, top + h);
        for panel in &self.y.panels {
            let (high, low) = (self.up(panel.top), self.up(panel.bottom));
            for tick in panel.ticks() {
                let y = self.up(panel.share(tick));
                c.line(&[(left, y), (right, y)], GRID, 1.0);
                c.text(&tick_text(tick), (left - 9.0, y), ink(SOFT, TICK, Anchor::Right, false));
            }
            for tick in self.x.ticks() {
                let x = self.across(tick);
                c.line(&[(x, high), (x, low)], GRID, 1.0);
            }
            c.line(&[(left, high), (left, low)], INK, 1.2);
        }
        for tick in self.x.ticks() {
            let x = self.across(tick);
            c.line(&[(x, bottom), (x, bottom + 5.0)], INK, 1.2);
            let style = ink(SOFT, TICK, Anchor::Centre, false);
            c.text(&tick_text(tick), (x, bottom + 17.0), style);
        }
        c.line(&[(left, bottom), (right, bottom)], INK, 1.2);
        if let [upper, lower] = self.y.panels.as_slice() {
            for y in [self.up(upper.bottom), self.up(lower.top)] {
                c.line(&[(left - 6.0, y + 3.0), (left + 6.0, y - 3.0)], INK, 1.2);
            }
        }
        let style = ink(INK, AXIS, Anchor::Centre, false);
        c.text("packed size [KiB, logarithmic]", (left + w / 2.0, bottom + 42.0), style);
        c.upwards("simulated accuracy [%]", (18.0, top + h / 2.0), style);
    }

    /// The FP32 model: a dashed line, and a cross where its size is known.
    fn reference(&self, c: &mut Canvas) {
        let Some(pct) = self.points.fp32_pct else { return };
        let y = self.up(self.y.share(pct));
        c.dashes((self.frame.x, y), (self.frame.x + self.frame.w, y), SOFT, 1.3);
        if let Some(kib) = self.points.fp32_kib {
            c.marker((self.across(kib), y), RADIUS, FP32);
            c.tip((self.across(kib), y), format!("FP32: {} %, {} KiB", two(pct), two(kib)));
        }
    }

    /// Steps: the best accuracy that fits into a size. They cross a break upright, so that no
    /// slope is invented.
    fn front(&self, c: &mut Canvas) {
        for pair in self.points.front.windows(2) {
            let (from, to) = (&self.points.points[pair[0]], &self.points.points[pair[1]]);
            let (start, end) = (self.at(from.size_kib, from.acc_pct), self.across(to.size_kib));
            c.line(&[start, (end, start.1)], FRONT, 1.6);
            for (low, high) in self.y.segments(from.acc_pct, to.acc_pct) {
                c.line(&[(end, self.up(low)), (end, self.up(high))], FRONT, 1.6);
            }
        }
    }

    /// Intervals over draws, cut at the edges of their panel.
    fn bars(&self, c: &mut Canvas, styles: &Styles) {
        for (point, &(x, _)) in self.points.points.iter().zip(&self.markers) {
            let Some(i) = point.over_draws_pct else { continue };
            let panel = self.y.panel(point.acc_pct);
            let colour = styles.get(&point.method).colour;
            let (bottom, top) = self.y.bar(point.acc_pct, i.low, i.high);
            c.line(&[(x, self.up(bottom)), (x, self.up(top))], colour, 1.4);
            for (end, share) in [(i.low, bottom), (i.high, top)] {
                if (panel.low..=panel.high).contains(&end) {
                    let y = self.up(share);
                    c.line(&[(x - 3.5, y), (x + 3.5, y)], colour, 1.4);
                }
            }
        }
    }

    fn dots(&self, c: &mut Canvas, styles: &Styles) {
        for (point, &at) in self.points.points.iter().zip(&self.markers) {
            c.marker(at, RADIUS, styles.get(&point.method));
            let over = point.over_draws_pct.map_or(String::new(), |i| {
                format!(" ({} to {} over draws)", two(i.low), two(i.high))
            });
            let (acc, kib) = (two(point.acc_pct), two(point.size_kib));
            c.tip(at, format!("{}, {}: {acc} %{over}, {kib} KiB", point.method, point.widths));
        }
    }

    /// The asked widths beside the markers; markers that touch, and neighbours with the same
    /// widths, share a label.
    fn labels(&self, c: &mut Canvas) {
        let frame = self.frame;
        let mut obstacles: Vec<Rect> =
            self.markers.iter().map(|m| Rect::about(*m, RADIUS + 1.0)).collect();
        obstacles.extend(self.lines());
        let named: Vec<(&str, (f64, f64))> = self
            .points
            .points
            .iter()
            .map(|p| p.widths.as_str())
            .zip(self.markers.clone())
            .collect();
        let near = |a: &(&str, (f64, f64)), b: &(&str, (f64, f64))| {
            let distance = (a.1.0 - b.1.0).hypot(a.1.1 - b.1.1);
            distance < if a.0 == b.0 { ALIKE } else { TOUCHING }
        };
        for cluster in clusters(&named, near) {
            let text = joined(cluster.iter().map(|&i| named[i]).collect());
            let around = bounds(cluster.iter().map(|&i| named[i].1), RADIUS + 1.0);
            let size = (text.chars().count() as f64 * LABEL * CHARACTER + 3.0, LABEL + 2.0);
            let rect = place(around, size, &frame, &obstacles);
            obstacles.push(rect);
            let middle = (rect.x + rect.w / 2.0, rect.y + rect.h / 2.0);
            c.text(&text, middle, ink(INK, LABEL, Anchor::Centre, false));
        }
    }

    /// Lines that a label should not cover: bars, the front and the reference, as thin boxes.
    fn lines(&self) -> Vec<Rect> {
        let mut boxes = Vec::new();
        if let Some(pct) = self.points.fp32_pct {
            let y = self.up(self.y.share(pct));
            boxes.push(Rect { x: self.frame.x, y: y - 2.0, w: self.frame.w, h: 4.0 });
        }
        for (point, &(x, _)) in self.points.points.iter().zip(&self.markers) {
            if let Some(i) = point.over_draws_pct {
                for (low, high) in self.y.segments(i.low, i.high) {
                    let (top, bottom) = (self.up(high), self.up(low));
                    boxes.push(Rect { x: x - 3.0, y: top, w: 6.0, h: bottom - top });
                }
            }
        }
        for pair in self.points.front.windows(2) {
            let (from, to) = (&self.points.points[pair[0]], &self.points.points[pair[1]]);
            let (start, end) =
                (self.at(from.size_kib, from.acc_pct), self.at(to.size_kib, to.acc_pct));
            boxes.push(Rect { x: start.0, y: start.1 - 2.0, w: end.0 - start.0, h: 4.0 });
            boxes.push(Rect { x: end.0 - 2.0, y: end.1, w: 4.0, h: start.1 - end.1 });
        }
        boxes
    }
}

fn legend(points: &Points, styles: &Styles) -> Vec<(String, Style)> {
    let mut entries: Vec<(String, Style)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for point in &points.points {
        if !seen.contains(&point.method.as_str()) {
            seen.push(&point.method);
        }
    }
    seen.sort_unstable();
    for method in seen {
        entries.push((cut(method, LEGEND_NAME), styles.get(method)));
    }
    // Stable: within a family by name.
    entries.sort_by_key(|(_, style)| style.shape as u8);
    entries
}

fn draw_legend(
    c: &mut Canvas,
    entries: &[(String, Style)],
    (x, mut y): (f64, f64),
    points: &Points,
) {
    let style = ink(INK, TICK, Anchor::Left, false);
    for (name, look) in entries {
        c.marker((x + 8.0, y), RADIUS, *look);
        c.text(name, (x + 24.0, y), style);
        y += LEGEND_LINE;
    }
    if points.front.len() > 1 {
        c.line(
            &[(x, y + 4.0), (x + 9.0, y + 4.0), (x + 9.0, y - 4.0), (x + 18.0, y - 4.0)],
            FRONT,
            1.6,
        );
        c.text("Pareto front", (x + 24.0, y), style);
        y += LEGEND_LINE;
    }
    if let Some(pct) = points.fp32_pct {
        c.dashes((x - 1.0, y), (x + 18.0, y), SOFT, 1.3);
        if points.fp32_kib.is_some() {
            c.marker((x + 8.0, y), RADIUS, FP32);
        }
        c.text(&format!("FP32 {} %", two(pct)), (x + 24.0, y), style);
    }
}

/// The distinct widths of some markers, from left to right.
fn joined(mut markers: Vec<(&str, (f64, f64))>) -> String {
    markers.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let mut texts: Vec<&str> = Vec::new();
    for (text, _) in markers {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(", ")
}

/// The smallest box that holds the points with a margin.
fn bounds(points: impl Iterator<Item = (f64, f64)>, margin: f64) -> Rect {
    let (mut low, mut high) = ((f64::MAX, f64::MAX), (f64::MIN, f64::MIN));
    for (x, y) in points {
        low = (low.0.min(x - margin), low.1.min(y - margin));
        high = (high.0.max(x + margin), high.1.max(y + margin));
    }
    Rect { x: low.0, y: low.1, w: high.0 - low.0, h: high.1 - low.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_label_names_each_width_once_from_left_to_right() {
        let markers = vec![("W2A2", (30.0, 5.0)), ("W2tA8", (8.0, 5.0)), ("W2A2", (19.0, 9.0))];
        assert_eq!(joined(markers), "W2tA8, W2A2");
    }
}
