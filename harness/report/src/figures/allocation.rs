//! Bits per layer of mixed-precision methods, under the sensitivities that they were chosen by.

use std::fmt::Write as _;

use quantbench_core::evidence::LayerSensitivity;
use quantbench_core::row::LayerBits;

use super::canvas::{Anchor, CHARACTER, Canvas, cut, ink, tick_text};
use super::layout::Rect;
use super::style::{BAR, GRID, INK, ON_DARK, ON_LIGHT, SOFT, heat};
use super::{Draft, Sources};
use crate::format::{self, two};
use crate::group::Group;

const TITLE: f64 = 15.0;
const TEXT: f64 = 11.0;
/// Most layers that one figure shows.
const MOST_LAYERS: usize = 160;
/// Height of a line of the heat map and of a strip of bars.
const CELL: f64 = 17.0;
const BARS: f64 = 62.0;

/// One budget of one method.
struct Strip<'a> {
    title: String,
    layers: &'a [LayerBits],
    sensitivities: &'a [LayerSensitivity],
}

/// One figure for each subject and mixed-precision method.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for subject in 0..sources.groups.subjects.len() {
        let mut methods: Vec<(&str, Vec<Strip<'_>>)> = Vec::new();
        for group in sources.groups.main(subject) {
            let Some(strip) = strip(group) else { continue };
            match methods.iter_mut().find(|(name, _)| *name == group.series) {
                Some((_, strips)) => strips.push(strip),
                None => methods.push((&group.series, vec![strip])),
            }
        }
        for (method, strips) in methods {
            drafts.push(figure(&sources.groups.subject_name(subject), method, &strips));
        }
    }
    drafts
}

/// What the first finished row of a group chose; none for a method that chooses nothing.
fn strip<'a>(group: &'a Group<'_>) -> Option<Strip<'a>> {
    let summary = group.published()?;
    let result = group.done.first()?.result.as_ref()?;
    let mixed = group.family() == Some(quantbench_core::Family::MixedPrecision);
    let (free, layers) = (!result.evidence.sensitivities.is_empty(), &result.allocation);
    let some = (mixed || free) && (1..=MOST_LAYERS).contains(&layers.len());
    some.then(|| Strip {
        title: format!(
            "asked {}: mean {} bits, {} %",
            group.widths(),
            two(result.mean_weight_bits),
            two(summary.acc_simulated_pct.mean)
        ),
        layers,
        sensitivities: &result.evidence.sensitivities,
    })
}

fn figure(subject: &str, method: &str, strips: &[Strip<'_>]) -> Draft {
    let title = format!("{subject}: {method}");
    let mut caption = "Weight bits of each layer in the order of the network, of the first draw; one strip of bars for each budget asked.".to_string();
    if let Some(one) = strips.iter().flat_map(|s| s.sensitivities).next() {
        let _ = write!(
            caption,
            " Heat map: what each layer loses at each width when it alone is quantized ({}; logarithmic, dark is much). Bars have the colour of the loss at the width taken; a layer that was not measured is grey. The map stands once where budgets share their measurements.",
            one.measure
        );
    }
    let markers = strips.iter().map(|s| s.layers.len()).sum();
    let canvas = draw(&title, strips);
    Draft { title: subject.to_string(), extra: method.to_string(), caption, markers, canvas }
}

fn draw(title: &str, strips: &[Strip<'_>]) -> Canvas {
    let layers = strips.iter().map(|s| s.layers.len()).max().unwrap_or(1);
    let cell = (760.0 / layers as f64).clamp(13.0, 46.0);
    let (left, right) = (76.0, 96.0);
    let width = (left + cell * layers as f64 + right).max(640.0);
    let mut canvas = Canvas::new(width, 0.0);
    let c = &mut canvas;
    c.text(&cut(title, 90), (16.0, 22.0), ink(INK, TITLE, Anchor::Left, true));
    let mut y = 44.0;
    let mut before: &[LayerSensitivity] = &[];
    for strip in strips {
        if !strip.sensitivities.is_empty() && strip.sensitivities != before {
            y = heat_map(c, strip, (left, y), cell) + 14.0;
            before = strip.sensitivities;
        }
        y = bars(c, strip, (left, y), cell) + 18.0;
    }
    let names = strips.first().map_or(&[][..], |s| s.layers);
    let longest = names.iter().map(|l| l.layer.chars().count().min(28)).max().unwrap_or(0);
    let room = longest as f64 * 10.0 * CHARACTER;
    for (i, layer) in names.iter().enumerate() {
        let x = left + (i as f64 + 0.5) * cell;
        // Upright text is anchored at its end, so that it hangs below the bars.
        let style = ink(SOFT, 10.0, Anchor::Right, false);
        c.upwards(&tail(&layer.layer, 28), (x, y - 10.0), style);
    }
    canvas.height = (y + room + 8.0).ceil();
    canvas
}

/// The end of a name, which tells layers apart better than its beginning.
fn tail(name: &str, longest: usize) -> String {
    let n = name.chars().count();
    if n <= longest {
        return name.to_string();
    }
    let end: String = name.chars().skip(n - longest + 1).collect();
    format!("…{end}")
}

/// Draws the heat map and gives its lower edge.
fn heat_map(c: &mut Canvas, strip: &Strip<'_>, (x, y): (f64, f64), cell: f64) -> f64 {
    let rows = strip.sensitivities;
    let mut widths: Vec<u8> = rows.iter().flat_map(|s| s.bits.clone()).collect();
    widths.sort_unstable();
    widths.dedup();
    let scale = Losses::of(rows);
    c.text("sensitivity", (x, y), ink(INK, 12.0, Anchor::Left, true));
    let top = y + 12.0;
    for (r, bits) in widths.iter().enumerate() {
        let line = top + r as f64 * CELL;
        let style = ink(SOFT, TEXT, Anchor::Right, false);
        c.text(&format!("{bits} bits"), (x - 8.0, line + CELL / 2.0), style);
        for (i, layer) in strip.layers.iter().enumerate() {
            let rect = Rect { x: x + i as f64 * cell, y: line, w: cell - 1.0, h: CELL - 1.0 };
            if let Some(loss) = loss(rows, &layer.layer, *bits) {
                c.area(rect, heat(scale.share(loss)));
            } else {
                let middle = line + CELL / 2.0;
                c.line(&[(rect.x + cell * 0.3, middle), (rect.x + cell * 0.7, middle)], GRID, 1.0);
            }
        }
    }
    let bottom = top + widths.len() as f64 * CELL;
    key(c, (x + strip.layers.len() as f64 * cell + 14.0, top), bottom - top, &scale);
    bottom + 10.0
}

/// What a layer loses at a width, where that was measured.
fn loss(rows: &[LayerSensitivity], layer: &str, bits: u8) -> Option<f64> {
    let own = rows.iter().find(|s| s.layer == layer)?;
    let at = own.bits.iter().position(|b| *b == bits)?;
    own.losses.get(at).copied().filter(|l| l.is_finite())
}

/// A logarithmic scale of losses.
struct Losses {
    low: f64,
    high: f64,
}

impl Losses {
    fn of(rows: &[LayerSensitivity]) -> Self {
        let all = rows.iter().flat_map(|s| &s.losses).copied();
        let positive = all.filter(|l| *l > 0.0 && l.is_finite());
        let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        Self { low, high }
    }

    /// 0 for the smallest loss and for none at all, 1 for the largest.
    fn share(&self, loss: f64) -> f64 {
        if loss <= 0.0 || self.high <= self.low {
            return 0.0;
        }
        (loss / self.low).ln() / (self.high / self.low).ln()
    }
}

/// The colours of the heat map with their losses.
fn key(c: &mut Canvas, (x, y): (f64, f64), h: f64, scale: &Losses) {
    let steps = 16;
    for i in 0..steps {
        let share = 1.0 - f64::from(i) / f64::from(steps - 1);
        let part = h / f64::from(steps);
        c.area(Rect { x, y: y + f64::from(i) * part, w: 12.0, h: part + 0.3 }, heat(share));
    }
    let style = ink(SOFT, TEXT, Anchor::Left, false);
    c.text(&exponent(scale.high), (x + 17.0, y + 5.0), style);
    c.text(&exponent(scale.low), (x + 17.0, y + h - 5.0), style);
}

/// A loss, with a power of ten where it is small.
fn exponent(value: f64) -> String {
    if value >= 0.01 { format::short(value) } else { format!("{value:.0e}") }
}

/// Draws the bars of one budget and gives their lower edge.
fn bars(c: &mut Canvas, strip: &Strip<'_>, (x, y): (f64, f64), cell: f64) -> f64 {
    let most = strip.layers.iter().map(|l| shown(l.weights.get())).max().unwrap_or(8).max(8);
    let (top, h) = (y + 14.0, BARS);
    c.text(&strip.title, (x, y), ink(INK, 12.0, Anchor::Left, true));
    for bits in [0, 2, 4, 8] {
        let line = top + h * (1.0 - f64::from(bits) / f64::from(most));
        let right = x + cell * strip.layers.len() as f64;
        c.line(&[(x, line), (right, line)], if bits == 0 { INK } else { GRID }, 1.0);
        let style = ink(SOFT, TEXT, Anchor::Right, false);
        c.text(&tick_text(f64::from(bits)), (x - 8.0, line), style);
    }
    let scale = Losses::of(strip.sensitivities);
    for (i, layer) in strip.layers.iter().enumerate() {
        let bits = layer.weights.get();
        let share = loss(strip.sensitivities, &layer.layer, bits).map(|l| scale.share(l));
        let height = h * f64::from(shown(bits)) / f64::from(most);
        let rect =
            Rect { x: x + i as f64 * cell + 1.5, y: top + h - height, w: cell - 3.0, h: height };
        c.area(rect, share.map_or(BAR, heat));
        let label = if bits == 32 { "FP".to_string() } else { bits.to_string() };
        // On the bar where it is tall enough, else above it.
        let dark = share.is_some_and(|s| s > 0.55);
        let (at, on) = match (height > 15.0, dark) {
            (true, true) => (rect.y + 8.0, ON_DARK),
            (true, false) => (rect.y + 8.0, ON_LIGHT),
            (false, _) => (rect.y - 6.0, INK),
        };
        c.text(&label, (rect.x + rect.w / 2.0, at), ink(on, 10.0, Anchor::Centre, false));
    }
    top + h
}

/// Height of a bar in bits: FP32 stands a little above 8.
fn shown(bits: u8) -> u8 {
    bits.min(10)
}
