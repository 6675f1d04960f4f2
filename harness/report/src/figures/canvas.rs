//! A drawing area in pixels with fractions, over plotters' SVG backend.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{PAPER, Shape, Style};

/// Backend pixels for each of ours: plotters rounds coordinates to whole pixels.
const FINE: f64 = 8.0;

/// The SVG backend divides font sizes by this.
const SVG_FONT: f64 = 1.24;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Where a text's anchor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// Where and how to write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub(super) colour: RGBColor,
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
}

/// A drawing area; errors are the backend's words.
pub(super) struct Canvas<'a> {
    area: Area<'a>,
}

type Drawn = Result<(), String>;

/// Draws a figure of `width` x `height` pixels and gives it as an SVG document.
pub(super) fn draw(
    (width, height): (f64, f64),
    paint: impl FnOnce(&Canvas<'_>) -> Drawn,
) -> Result<String, String> {
    let fine = |v: f64| (v * FINE).round() as u32;
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (fine(width), fine(height))).into_drawing_area();
        area.fill(&PAPER).map_err(words)?;
        let canvas = Canvas { area };
        paint(&canvas)?;
        canvas.area.present().map_err(words)?;
    }
    // The document is shown at our size; its view box stays the backend's.
    let (fine_size, size) = (
        format!("width=\"{}\" height=\"{}\"", fine(width), fine(height)),
        format!("width=\"{width}\" height=\"{height}\""),
    );
    Ok(svg.replacen(&fine_size, &size, 1))
}

impl Canvas<'_> {
    pub(super) fn line(&self, points: &[(f64, f64)], colour: RGBColor, width: f64) -> Drawn {
        let path = points.iter().map(|p| fine(*p)).collect::<Vec<_>>();
        self.area.draw(&PathElement::new(path, colour.stroke_width(px(width)))).map_err(words)
    }

    pub(super) fn dashes(
        &self,
        from: (f64, f64),
        to: (f64, f64),
        colour: RGBColor,
        width: f64,
    ) -> Drawn {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let at = |d: f64| (from.0 + dx * d / length, from.1 + dy * d / length);
        let mut start = 0.0;
        while start < length {
            self.line(&[at(start), at((start + 6.0).min(length))], colour, width)?;
            start += 10.0;
        }
        Ok(())
    }

    pub(super) fn text(&self, text: &str, at: (f64, f64), ink: Ink) -> Drawn {
        self.write(text, at, ink, FontTransform::None)
    }

    /// Text that runs upwards.
    pub(super) fn upwards(&self, text: &str, at: (f64, f64), ink: Ink) -> Drawn {
        self.write(text, at, ink, FontTransform::Rotate270)
    }

    fn write(&self, text: &str, at: (f64, f64), ink: Ink, turn: FontTransform) -> Drawn {
        let weight = if ink.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::SansSerif, ink.size * SVG_FONT * FINE, weight)
            .transform(turn);
        let h = match ink.anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = font.color(&ink.colour).pos(Pos::new(h, VPos::Center));
        self.area.draw(&Text::new(text.to_string(), fine(at), style)).map_err(words)
    }

    /// A marker of radius `r` with a rim in the paper's colour.
    pub(super) fn marker(&self, (x, y): (f64, f64), r: f64, style: Style) -> Drawn {
        let corners: Vec<(f64, f64)> = match style.shape {
            Shape::Circle => return self.circle((x, y), r, style),
            Shape::Cross => {
                let d = r * 0.75;
                self.line(&[(x - d, y - d), (x + d, y + d)], style.colour, 2.0)?;
                return self.line(&[(x - d, y + d), (x + d, y - d)], style.colour, 2.0);
            }
            Shape::Square => [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)].into(),
            Shape::Triangle => [(0.0, -1.15), (1.08, 0.78), (-1.08, 0.78)].into(),
            Shape::Diamond => [(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)].into(),
        };
        let mut path: Vec<(i32, i32)> =
            corners.iter().map(|(dx, dy)| fine((x + dx * r, y + dy * r))).collect();
        let fill = if style.hollow { PAPER } else { style.colour };
        self.area.draw(&Polygon::new(path.clone(), fill.filled())).map_err(words)?;
        path.push(path[0]);
        path.push(path[1]);
        let (rim, width) = rim(style);
        self.area.draw(&PathElement::new(path, rim.stroke_width(width))).map_err(words)
    }

    fn circle(&self, at: (f64, f64), r: f64, style: Style) -> Drawn {
        let fill = if style.hollow { PAPER } else { style.colour };
        self.area.draw(&Circle::new(fine(at), px(r), fill.filled())).map_err(words)?;
        let (rim, width) = rim(style);
        self.area.draw(&Circle::new(fine(at), px(r), rim.stroke_width(width))).map_err(words)
    }
}

/// Colour and width of a marker's rim: its own colour where it is hollow.
fn rim(style: Style) -> (RGBColor, u32) {
    if style.hollow { (style.colour, px(1.8)) } else { (PAPER, px(0.9)) }
}

fn fine((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn px(width: f64) -> u32 {
    (width * FINE).round() as u32
}

#[expect(clippy::needless_pass_by_value, reason = "a function for `map_err`")]
fn words<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> String {
    error.to_string()
}
