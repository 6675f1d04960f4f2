//! Rooflines: what the layers of artefacts reach of what a target allows.

use std::collections::BTreeMap;

use quantbench_core::cost_row::{CostResult, LayerCostRow, Roof};

use super::canvas::{Anchor, Canvas, ink, tick_text};
use super::layout::Rect;
use super::scale::LogScale;
use super::style::{GRID, INK, SOFT, hue};
use super::{Draft, Sources};
use crate::targets::Target;

const TITLE: f64 = 15.0;
const TEXT: f64 = 11.5;
const FRAME: Rect = Rect { x: 84.0, y: 44.0, w: 520.0, h: 320.0 };

/// Widths of weights and activations.
type Pair = (u8, u8);

/// What one figure shows.
struct Shown<'a> {
    /// Layers by their widths.
    layers: BTreeMap<Pair, Vec<&'a LayerCostRow>>,
    roofs: BTreeMap<Pair, &'a Roof>,
}

/// One figure for each target with roofs: layers of one artefact for each pair of widths.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    sources.targets.iter().filter_map(figure).collect()
}

fn figure(target: &Target<'_>) -> Option<Draft> {
    let shown = Shown::of(target.entries.iter().filter_map(|entry| entry.example));
    if shown.points().is_empty() || shown.roofs.is_empty() {
        return None;
    }
    let title = target.profile.to_string();
    let caption = "Operations per second (two for each multiply-accumulate) against operations per byte of input, weights and output. Lines: what peak and bandwidth outside the chip allow at these widths; targets without such memory have a peak alone. Dots: layers of one artefact for each pair of widths. A layer above its sloping roof finds its operands on the chip.".to_string();
    Some(Draft {
        extra: String::new(),
        caption,
        markers: shown.points().len(),
        canvas: shown.draw(&target.title()),
        title,
    })
}

/// Operations per byte and per second of a layer, where its time is known.
fn point(layer: &LayerCostRow) -> Option<(f64, f64)> {
    let seconds = layer.seconds.filter(|s| *s > 0.0)?;
    let operations = 2.0 * layer.macs as f64;
    (layer.bytes > 0 && operations > 0.0)
        .then(|| (operations / layer.bytes as f64, operations / seconds))
}

impl<'a> Shown<'a> {
    fn of(results: impl Iterator<Item = &'a CostResult>) -> Self {
        let mut shown = Self { layers: BTreeMap::new(), roofs: BTreeMap::new() };
        for result in results {
            let mut here: BTreeMap<Pair, Vec<&LayerCostRow>> = BTreeMap::new();
            for layer in &result.layers {
                here.entry((layer.weight_bits, layer.activation_bits)).or_default().push(layer);
            }
            // Of all artefacts the one with most layers at these widths.
            for (pair, layers) in here {
                let known = shown.layers.entry(pair).or_default();
                if layers.len() > known.len() {
                    *known = layers;
                }
            }
            for roof in &result.roofs {
                shown.roofs.insert((roof.weight_bits, roof.activation_bits), roof);
            }
        }
        shown
    }

    fn points(&self) -> Vec<(f64, f64)> {
        self.layers.values().flatten().filter_map(|layer| point(layer)).collect()
    }

    fn draw(&self, title: &str) -> Canvas {
        let Rect { x, y, w, h } = FRAME;
        let points = self.points();
        let roofs = self.roofs.values();
        let ridges = roofs.clone().filter_map(|r| Some(r.peak_ops_per_s / r.bytes_per_s?));
        let across: Vec<f64> = points.iter().map(|p| p.0).chain(ridges).collect();
        let peaks = roofs.map(|r| r.peak_ops_per_s);
        let up: Vec<f64> = points.iter().map(|p| p.1).chain(peaks).map(|v| v / 1e9).collect();
        let plot = Plot { x: LogScale::of(&across), y: LogScale::of(&up) };
        let mut canvas = Canvas::new(x + w + 130.0, y + h + 56.0);
        let c = &mut canvas;
        c.text(title, (16.0, 22.0), ink(INK, TITLE, Anchor::Left, true));
        plot.axes(c);
        for (i, (pair, layers)) in self.layers.iter().enumerate() {
            let colour = hue(i);
            if let Some(roof) = self.roofs.get(pair) {
                c.line(&plot.roof(roof), colour, 1.6);
            }
            for at in layers.iter().filter_map(|layer| point(layer)) {
                c.dot((plot.across(at.0), plot.up(at.1 / 1e9)), 3.2, colour);
            }
            let line = y + 10.0 + 20.0 * i as f64;
            c.dot((x + w + 22.0, line), 4.0, colour);
            let text = format!("W{}A{}", pair.0, pair.1);
            c.text(&text, (x + w + 34.0, line), ink(INK, TEXT, Anchor::Left, false));
        }
        canvas
    }
}

struct Plot {
    /// Operations per byte.
    x: LogScale,
    /// Giga-operations per second.
    y: LogScale,
}

impl Plot {
    fn across(&self, value: f64) -> f64 {
        FRAME.x + FRAME.w * self.x.share(value)
    }

    fn up(&self, value: f64) -> f64 {
        FRAME.y + FRAME.h * (1.0 - self.y.share(value))
    }

    /// The line of a roof within the frame.
    fn roof(&self, roof: &Roof) -> Vec<(f64, f64)> {
        let peak = roof.peak_ops_per_s / 1e9;
        let end = (FRAME.x + FRAME.w, self.up(peak));
        let Some(bandwidth) = roof.bytes_per_s.map(|b| b / 1e9) else {
            return vec![(FRAME.x, self.up(peak)), end];
        };
        let ridge = peak / bandwidth;
        // Where the slope leaves the frame: at its left edge or at its bottom.
        let start = self.x.low().max(self.y.low() / bandwidth).min(ridge);
        vec![
            (self.across(start), self.up(start * bandwidth)),
            (self.across(ridge), self.up(peak)),
            end,
        ]
    }

    fn axes(&self, c: &mut Canvas) {
        let Rect { x, y, w, h } = FRAME;
        for tick in self.y.ticks() {
            let at = self.up(tick);
            c.line(&[(x, at), (x + w, at)], GRID, 1.0);
            c.text(&tick_text(tick), (x - 8.0, at), ink(SOFT, TEXT, Anchor::Right, false));
        }
        for tick in self.x.ticks() {
            let at = self.across(tick);
            c.line(&[(at, y), (at, y + h)], GRID, 1.0);
            c.text(&tick_text(tick), (at, y + h + 15.0), ink(SOFT, TEXT, Anchor::Centre, false));
        }
        c.line(&[(x, y), (x, y + h), (x + w, y + h)], INK, 1.2);
        let style = ink(INK, TEXT + 1.0, Anchor::Centre, false);
        c.text("operations per byte", (x + w / 2.0, y + h + 38.0), style);
        c.upwards("giga-operations per second", (22.0, y + h / 2.0), style);
    }
}
