//! Small multiples: panels of accuracies over one quantity, with one legend.

use super::canvas::{Anchor, At, CHARACTER, Canvas, cut, ink, tick_text};
use super::layout::Rect;
use super::scale::{Extent, LogScale, YScale};
use super::style::{FRONT, GRID, INK, SOFT, Style};
use crate::format::two;

const RADIUS: f64 = 4.6;
const TITLE: f64 = 15.0;
const PANEL: f64 = 13.0;
const AXIS: f64 = 12.5;
const TICK: f64 = 11.5;
const LABEL: f64 = 10.5;
const LEGEND_LINE: f64 = 20.0;
/// Longest title, panel title and name in the legend, in characters.
const TITLE_NAME: usize = 90;
const LEGEND_NAME: usize = 40;

/// Four digits of a number of any size.
fn significant(x: f64) -> String {
    let digits = if x == 0.0 { 0.0 } else { 3.0 - x.abs().log10().floor() };
    format!("{x:.*}", digits.clamp(0.0, 15.0) as usize)
}

/// One point of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dot {
    pub(super) x: f64,
    /// Accuracy in percent.
    pub(super) acc_pct: f64,
    /// Ends of its bar in percent.
    pub(super) bar: Option<(f64, f64)>,
    /// What stands beside its marker where there is room; empty for nothing.
    pub(super) label: String,
}

/// The points of one method in one panel, in the order of x.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) style: Style,
    pub(super) dots: Vec<Dot>,
}

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) series: Vec<Series>,
    /// A line behind the markers: x and accuracy in percent, in the order of x.
    pub(super) front: Vec<(f64, f64)>,
}

/// A whole figure.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x_title: &'a str,
    pub(super) panels: Vec<Panel>,
    /// Whether each panel has an x axis of its own.
    pub(super) own_x: bool,
    /// Values that get a tick where they lie on the axis; none means round ones.
    pub(super) ticks: Option<Vec<f64>>,
    /// Whether the points of a series are joined.
    pub(super) joined: bool,
    /// FP32 accuracy in percent.
    pub(super) fp32_pct: Option<f64>,
}

impl Chart<'_> {
    /// Markers of methods in all panels.
    pub(super) fn markers(&self) -> usize {
        self.panels.iter().flat_map(|p| &p.series).map(|s| s.dots.len()).sum()
    }

    /// Whether the accuracy axis of some panel has two parts.
    pub(super) fn is_broken(&self) -> bool {
        self.panels.iter().any(|p| self.y_scale(p).is_broken())
    }

    fn y_scale(&self, panel: &Panel) -> YScale {
        let dots = panel.series.iter().flat_map(|s| &s.dots);
        let extents: Vec<Extent> = dots
            .map(|d| {
                let (low, high) = d.bar.unwrap_or((d.acc_pct, d.acc_pct));
                Extent { low, value: d.acc_pct, high }
            })
            .collect();
        YScale::of(&extents, self.fp32_pct)
    }

    /// Draws it: panels in rows, the legend at the right.
    pub(super) fn draw(&self) -> Canvas {
        let columns = match self.panels.len() {
            1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
        let (w, h) = match columns {
            1 => (540.0, 330.0),
            2 => (330.0, 250.0),
            _ => (250.0, 210.0),
        };
        let (left, gap_x, gap_y, top) = (66.0, 62.0, 62.0, 66.0);
        let rows = self.panels.len().div_ceil(columns);
        let legend = self.legend();
        let longest = legend.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let legend_width = 40.0 + longest.max(13) as f64 * TICK * CHARACTER;
        let right = left + columns as f64 * w + (columns - 1) as f64 * gap_x;
        let bottom = top + rows as f64 * h + (rows - 1) as f64 * gap_y;
        let height = (bottom + 54.0).max(top + (legend.len() + 1) as f64 * LEGEND_LINE + 16.0);
        let mut canvas = Canvas::new(right + 18.0 + legend_width, height);
        let c = &mut canvas;
        c.text(&cut(self.title, TITLE_NAME), (left, 22.0), ink(INK, TITLE, Anchor::Left, true));
        let shared = x_scale(&self.panels);
        for (i, panel) in self.panels.iter().enumerate() {
            let (column, row) = ((i % columns) as f64, (i / columns) as f64);
            let frame = Rect { x: left + column * (w + gap_x), y: top + row * (h + gap_y), w, h };
            let x = if self.own_x { x_scale(std::slice::from_ref(panel)) } else { shared };
            let plot = Plot { chart: self, panel, frame, x, y: self.y_scale(panel) };
            plot.axes(c);
            plot.series(c);
            // The last panel of each column carries the axis' title.
            if i + columns >= self.panels.len() {
                let style = ink(INK, AXIS, Anchor::Centre, false);
                c.text(self.x_title, (frame.x + w / 2.0, frame.y + h + 38.0), style);
            }
            if column == 0.0 {
                let style = ink(INK, AXIS, Anchor::Centre, false);
                c.upwards("simulated accuracy [%]", (18.0, frame.y + h / 2.0), style);
            }
        }
        self.draw_legend(c, &legend, (right + 18.0, top + 8.0));
        canvas
    }

    /// Name and look of each method, by family and name.
    fn legend(&self) -> Vec<(String, Style)> {
        let mut entries: Vec<(String, Style)> = Vec::new();
        for series in self.panels.iter().flat_map(|p| &p.series) {
            if !entries.iter().any(|(name, _)| *name == series.name) {
                entries.push((series.name.clone(), series.style));
            }
        }
        entries.sort_by(|a, b| (a.1.shape as u8, &a.0).cmp(&(b.1.shape as u8, &b.0)));
        entries
    }

    fn draw_legend(&self, c: &mut Canvas, entries: &[(String, Style)], (x, mut y): At) {
        let style = ink(INK, TICK, Anchor::Left, false);
        for (name, look) in entries {
            if self.joined {
                c.line(&[(x, y), (x + 16.0, y)], look.colour, 1.4);
            }
            c.marker((x + 8.0, y), RADIUS, *look);
            c.text(&cut(name, LEGEND_NAME), (x + 24.0, y), style);
            y += LEGEND_LINE;
        }
        if let Some(pct) = self.fp32_pct {
            c.dashes((x - 1.0, y), (x + 18.0, y), SOFT, 1.3);
            c.text(&format!("FP32 {} %", two(pct)), (x + 24.0, y), style);
        }
    }
}

/// The x axis of some panels.
fn x_scale(panels: &[Panel]) -> LogScale {
    let dots = panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.dots);
    LogScale::of(&dots.map(|d| d.x).collect::<Vec<_>>())
}

/// One panel on its way to the canvas.
struct Plot<'a> {
    chart: &'a Chart<'a>,
    panel: &'a Panel,
    frame: Rect,
    x: LogScale,
    y: YScale,
}

impl Plot<'_> {
    fn across(&self, x: f64) -> f64 {
        self.frame.x + self.frame.w * self.x.share(x)
    }

    fn up(&self, share: f64) -> f64 {
        self.frame.y + self.frame.h * (1.0 - share)
    }

    fn at(&self, dot: &Dot) -> At {
        (self.across(dot.x), self.up(self.y.share(dot.acc_pct)))
    }

    /// Ticks of the x axis, thinned until their labels have room.
    fn ticks(&self) -> Vec<f64> {
        let wanted = self.chart.ticks.clone().unwrap_or_else(|| self.x.ticks());
        let mut kept: Vec<f64> = Vec::new();
        let mut free_from = f64::NEG_INFINITY;
        for tick in wanted.into_iter().filter(|t| (0.0..=1.0).contains(&self.x.share(*t))) {
            let half = tick_text(tick).chars().count() as f64 * TICK * CHARACTER / 2.0;
            if self.across(tick) - half >= free_from {
                free_from = self.across(tick) + half + 5.0;
                kept.push(tick);
            }
        }
        kept
    }

    fn axes(&self, c: &mut Canvas) {
        let Rect { x: left, y: top, w, h } = self.frame;
        let (right, bottom) = (left + w, top + h);
        let longest = (w / (PANEL * CHARACTER)) as usize;
        let style = ink(INK, PANEL, Anchor::Left, true);
        c.text(&cut(&self.panel.title, longest), (left, top - 13.0), style);
        for panel in &self.y.panels {
            let (high, low) = (self.up(panel.top), self.up(panel.bottom));
            for tick in panel.ticks() {
                let y = self.up(panel.share(tick));
                c.line(&[(left, y), (right, y)], GRID, 1.0);
                c.text(&tick_text(tick), (left - 8.0, y), ink(SOFT, TICK, Anchor::Right, false));
            }
            for tick in self.ticks() {
                let x = self.across(tick);
                c.line(&[(x, high), (x, low)], GRID, 1.0);
            }
            c.line(&[(left, high), (left, low)], INK, 1.2);
        }
        for tick in self.ticks() {
            let x = self.across(tick);
            c.line(&[(x, bottom), (x, bottom + 4.0)], INK, 1.2);
            c.text(&tick_text(tick), (x, bottom + 15.0), ink(SOFT, TICK, Anchor::Centre, false));
        }
        c.line(&[(left, bottom), (right, bottom)], INK, 1.2);
        if let [upper, lower] = self.y.panels.as_slice() {
            for y in [self.up(upper.bottom), self.up(lower.top)] {
                c.line(&[(left - 6.0, y + 3.0), (left + 6.0, y - 3.0)], INK, 1.2);
            }
        }
        if let Some(pct) = self.chart.fp32_pct {
            let y = self.up(self.y.share(pct));
            c.dashes((left, y), (right, y), SOFT, 1.3);
        }
    }

    /// The front as steps: an accuracy is had from its cost on. Dashed where it crosses a break.
    fn front(&self, c: &mut Canvas) {
        for pair in self.panel.front.windows(2) {
            let (x, y) = (self.across(pair[1].0), self.up(self.y.share(pair[0].1)));
            let from = (self.across(pair[0].0), y);
            let to = (x, self.up(self.y.share(pair[1].1)));
            c.line(&[from, (x, y)], FRONT, 1.4);
            if self.y.panel(pair[0].1) == self.y.panel(pair[1].1) {
                c.line(&[(x, y), to], FRONT, 1.4);
            } else {
                c.dashes((x, y), to, FRONT, 1.4);
            }
        }
    }

    fn series(&self, c: &mut Canvas) {
        self.front(c);
        for series in &self.panel.series {
            for dot in &series.dots {
                self.bar(c, dot, series.style);
            }
            if self.chart.joined {
                for pair in series.dots.windows(2) {
                    self.join(c, &pair[0], &pair[1], series.style);
                }
            }
        }
        for series in &self.panel.series {
            for dot in &series.dots {
                c.marker(self.at(dot), RADIUS, series.style);
                let bar = dot.bar.map_or(String::new(), |(low, high)| {
                    format!(" ({} to {})", two(low), two(high))
                });
                let (name, acc, title) = (&series.name, two(dot.acc_pct), self.chart.x_title);
                c.tip(
                    self.at(dot),
                    format!("{name}: {acc} %{bar}; {title}: {}", significant(dot.x)),
                );
            }
        }
        self.labels(c);
    }

    /// Labels that cover neither a marker nor one another; of those that would the first stays.
    fn labels(&self, c: &mut Canvas) {
        let dots = || self.panel.series.iter().flat_map(|s| &s.dots);
        let mut taken: Vec<Rect> = dots().map(|dot| Rect::about(self.at(dot), RADIUS)).collect();
        for dot in dots().filter(|dot| !dot.label.is_empty()) {
            let (x, y) = self.at(dot);
            let w = dot.label.chars().count() as f64 * LABEL * CHARACTER;
            let place = Rect { x: x + RADIUS + 2.0, y: y - LABEL / 2.0, w, h: LABEL };
            let outside = place.x + w > self.frame.x + self.frame.w + 8.0;
            if outside || taken.iter().any(|other| place.overlap(other) > 0.0) {
                continue;
            }
            c.text(&dot.label, (place.x, y), ink(SOFT, LABEL, Anchor::Left, false));
            taken.push(place);
        }
    }

    /// A line between two points; dashed where it crosses a break, so that no slope is invented.
    fn join(&self, c: &mut Canvas, from: &Dot, to: &Dot, style: Style) {
        let (start, end) = (self.at(from), self.at(to));
        if self.y.panel(from.acc_pct) == self.y.panel(to.acc_pct) {
            c.line(&[start, end], style.colour, 1.4);
        } else {
            c.dashes(start, end, style.colour, 1.0);
        }
    }

    /// A bar, cut at the edges of its panel.
    fn bar(&self, c: &mut Canvas, dot: &Dot, style: Style) {
        let Some((low, high)) = dot.bar else { return };
        let panel = self.y.panel(dot.acc_pct);
        let x = self.across(dot.x);
        let (bottom, top) = self.y.bar(dot.acc_pct, low, high);
        c.line(&[(x, self.up(bottom)), (x, self.up(top))], style.colour, 1.3);
        for (end, share) in [(low, bottom), (high, top)] {
            if (panel.low..=panel.high).contains(&end) {
                let y = self.up(share);
                c.line(&[(x - 3.0, y), (x + 3.0, y)], style.colour, 1.3);
            }
        }
    }
}

/// The accuracies of some draws in words of a chart: lowest and highest.
pub(super) fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (values.len() > 1).then_some((low, high))
}

/// What a caption adds where an axis is broken.
pub(super) const BROKEN: &str =
    " A broken accuracy axis has two parts of different scales; lines that cross it are dashed.";

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn four_digits_of_any_size() {
        let words = [0.0, 1.25e-6, 0.5, 12.345, 123_456.0, -3.0].map(significant);
        assert_eq!(words, ["0", "0.000001250", "0.5000", "12.35", "123456", "-3.000"]);
    }
}
