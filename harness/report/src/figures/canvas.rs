//! A drawing in pixels with fractions, kept as a list of shapes that [`super::paint`] turns into
//! SVG and PNG.

use plotters::style::RGBColor;

use super::layout::Rect;
use super::style::{PAPER, Shape, Style};

/// Estimated width of a character in shares of the font size.
pub(crate) const CHARACTER: f64 = 0.6;

/// Where a text's anchor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Left,
    Centre,
    Right,
}

/// Where and how to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ink {
    pub(crate) colour: RGBColor,
    pub(crate) size: f64,
    pub(crate) anchor: Anchor,
    pub(crate) bold: bool,
}

/// How to write in one line.
pub(crate) fn ink(colour: RGBColor, size: f64, anchor: Anchor, bold: bool) -> Ink {
    Ink { colour, size, anchor, bold }
}

/// A point in pixels.
pub(crate) type At = (f64, f64);

/// One shape.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A polyline.
    Line { points: Vec<At>, colour: RGBColor, width: f64 },
    /// A filled polygon.
    Fill { corners: Vec<At>, colour: RGBColor },
    /// A filled rectangle.
    Area { rect: Rect, colour: RGBColor },
    /// A filled circle.
    Disc { at: At, r: f64, colour: RGBColor },
    /// A circle's line.
    Ring { at: At, r: f64, colour: RGBColor, width: f64 },
    /// A line of text, running to the right or upwards.
    Text { text: String, at: At, ink: Ink, upwards: bool },
}

/// A drawing.
#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) ops: Vec<Op>,
    /// Places with the values that they stand for, shown where the pointer rests on one: on the
    /// page and in SVG files.
    pub(crate) tips: Vec<(At, String)>,
}

impl Canvas {
    /// An empty drawing of so many pixels.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width: width.ceil(), height: height.ceil(), ops: Vec::new(), tips: Vec::new() }
    }

    /// Says what a marker stands for.
    pub(super) fn tip(&mut self, at: At, text: String) {
        self.tips.push((at, text));
    }

    pub(crate) fn line(&mut self, points: &[At], colour: RGBColor, width: f64) {
        self.ops.push(Op::Line { points: points.to_vec(), colour, width });
    }

    pub(crate) fn area(&mut self, rect: Rect, colour: RGBColor) {
        self.ops.push(Op::Area { rect, colour });
    }

    pub(crate) fn fill(&mut self, corners: Vec<At>, colour: RGBColor) {
        self.ops.push(Op::Fill { corners, colour });
    }

    pub(crate) fn dashes(&mut self, from: At, to: At, colour: RGBColor, width: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let at = |d: f64| (from.0 + dx * d / length, from.1 + dy * d / length);
        let mut start = 0.0;
        while start < length {
            self.line(&[at(start), at((start + 8.0).min(length))], colour, width);
            start += 14.0;
        }
    }

    pub(crate) fn text(&mut self, text: &str, at: At, ink: Ink) {
        self.ops.push(Op::Text { text: text.to_string(), at, ink, upwards: false });
    }

    /// Text that runs upwards.
    pub(crate) fn upwards(&mut self, text: &str, at: At, ink: Ink) {
        self.ops.push(Op::Text { text: text.to_string(), at, ink, upwards: true });
    }

    /// A small dot without a rim.
    pub(crate) fn dot(&mut self, at: At, r: f64, colour: RGBColor) {
        self.ops.push(Op::Disc { at, r, colour });
    }

    /// A marker of radius `r` with a rim in the paper's colour.
    pub(super) fn marker(&mut self, (x, y): At, r: f64, style: Style) {
        let corners: &[At] = match style.shape {
            Shape::Circle => return self.circle((x, y), r, style),
            Shape::Cross => {
                let d = r * 0.75;
                self.line(&[(x - d, y - d), (x + d, y + d)], style.colour, 2.0);
                return self.line(&[(x - d, y + d), (x + d, y - d)], style.colour, 2.0);
            }
            Shape::Square => &[(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
            Shape::Triangle => &[(0.0, -1.15), (1.08, 0.78), (-1.08, 0.78)],
            Shape::Diamond => &[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)],
        };
        let corners: Vec<At> = corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
        let colour = if style.hollow { PAPER } else { style.colour };
        self.ops.push(Op::Fill { corners: corners.clone(), colour });
        let (colour, width) = rim(style);
        let closed: Vec<At> = corners.iter().chain(&corners[..2]).copied().collect();
        self.ops.push(Op::Line { points: closed, colour, width });
    }

    fn circle(&mut self, at: At, r: f64, style: Style) {
        let colour = if style.hollow { PAPER } else { style.colour };
        self.ops.push(Op::Disc { at, r, colour });
        let (colour, width) = rim(style);
        self.ops.push(Op::Ring { at, r, colour, width });
    }
}

/// Colour and width of a marker's rim: its own colour where it is hollow.
fn rim(style: Style) -> (RGBColor, f64) {
    if style.hollow { (style.colour, 1.8) } else { (PAPER, 0.9) }
}

/// A text of at most so many characters, with an ellipsis where it was longer.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_string();
    }
    let head: String = text.chars().take(longest.saturating_sub(1)).collect();
    format!("{head}…")
}

/// A tick without superfluous zeros.
pub(crate) fn tick_text(value: f64) -> String {
    if value.fract().abs() < 1e-9 {
        return crate::format::grouped(value.round() as i64);
    }
    let text = crate::format::short(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}
