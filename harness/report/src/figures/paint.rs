//! A drawing as SVG and as PNG, both through plotters.

use std::fmt::Write as _;
use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, register_font};

use super::canvas::{Anchor, Canvas, Ink, Op};
use super::layout::Rect;
use super::style::PAPER;

/// Backend pixels for each of ours in SVG: plotters rounds coordinates to whole pixels.
const FINE: f64 = 8.0;

/// How near to a value the pointer has to be, in our pixels.
const TIP: f64 = 7.0;

/// The SVG backend divides font sizes by this; browsers centre text on its anchor.
const SVG_FONT: (f64, f64) = (1.24, 0.0);

/// Backend pixels for each of ours in PNG, and how many of them, squared, make one of the file:
/// the mean smooths edges, which the bitmap backend leaves jagged.
const COARSE: f64 = 3.0;
const JOINED: usize = 2;
/// The same of drawings with more than so many of our pixels, whose pictures would take a hundred
/// megabytes on the way.
const LARGE: (f64, f64) = (1.5e6, 2.0);

/// The bitmap backend takes the height of a line for the size, and centres the line's box, whose
/// middle lies above that of the letters.
const BITMAP_FONT: (f64, f64) = (1.24, 0.16);

/// The drawing as an SVG document.
///
/// # Errors
/// What the drawing library says.
pub(super) fn svg(canvas: &Canvas) -> Result<String, String> {
    let size = |v: f64| (v * FINE).round() as u32;
    let (width, height) = (size(canvas.width), size(canvas.height));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        replay(canvas, &area, FINE, SVG_FONT)?;
    }
    // The document is shown at our size; its view box stays the backend's.
    let fine = format!("width=\"{width}\" height=\"{height}\"");
    let shown = format!("width=\"{}\" height=\"{}\"", canvas.width, canvas.height);
    let svg = svg.replacen(&fine, &shown, 1);
    Ok(svg.replacen("</svg>", &(tips(canvas) + "</svg>"), 1))
}

/// Circles that cannot be seen, over what they give the values of.
fn tips(canvas: &Canvas) -> String {
    let mut text = String::new();
    for ((x, y), tip) in &canvas.tips {
        let [x, y, r] = [x, y, &TIP].map(|v| (v * FINE).round());
        let tip = tip.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"none\" pointer-events=\"all\"><title>{tip}</title></circle>"
        );
    }
    text
}

/// The drawing as a PNG file, one and a half of its pixels for each of ours, or one if it is large.
///
/// # Errors
/// What the drawing library or the encoder says.
pub(super) fn png(canvas: &Canvas) -> Result<Vec<u8>, String> {
    font()?;
    let (limit, less) = LARGE;
    let coarse = if canvas.width * canvas.height > limit { less } else { COARSE };
    let size = |v: f64| (v * coarse).round() as u32 / JOINED as u32 * JOINED as u32;
    let (width, height) = (size(canvas.width), size(canvas.height));
    let mut pixels = vec![0; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        replay(canvas, &area, coarse, BITMAP_FONT)?;
    }
    let (width, height, small) = joined(&pixels, width as usize);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
    writer.write_image_data(&small).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())?;
    Ok(file)
}

/// Width, height and pixels of an image with each square of two by two pixels replaced by its
/// mean.
fn joined(pixels: &[u8], width: usize) -> (u32, u32, Vec<u8>) {
    let stride = width * 3;
    let mut small = Vec::with_capacity(pixels.len() / (JOINED * JOINED));
    for rows in pixels.chunks_exact(stride * JOINED) {
        let (upper, lower) = rows.split_at(stride);
        for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let sum = u16::from(a[channel])
                    + u16::from(a[channel + 3])
                    + u16::from(b[channel])
                    + u16::from(b[channel + 3]);
                small.push((sum / 4) as u8);
            }
        }
    }
    let height = pixels.len() / stride.max(1) / JOINED;
    ((width / JOINED) as u32, height as u32, small)
}

/// Makes the embedded font known, once: no machine needs to have one.
fn font() -> Result<(), String> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        register_font("sans-serif", FontStyle::Normal, notosans::REGULAR_TTF).is_ok()
            && register_font("sans-serif", FontStyle::Bold, notosans::BOLD_TTF).is_ok()
    });
    if *known { Ok(()) } else { Err("the embedded font does not parse".to_string()) }
}

/// Draws all shapes, `scale` backend pixels for each of ours, with text as a backend needs it:
/// its font sizes in ours, and how far below its anchor in shares of the size.
fn replay<DB: DrawingBackend>(
    canvas: &Canvas,
    area: &DrawingArea<DB, Shift>,
    scale: f64,
    (font_scale, lower): (f64, f64),
) -> Result<(), String> {
    let at = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
    let px = |v: f64| ((v * scale).round() as u32).max(1);
    area.fill(&PAPER).map_err(words)?;
    for op in &canvas.ops {
        let drawn = match op {
            Op::Line { points, colour, width } => {
                let path: Vec<_> = points.iter().copied().map(at).collect();
                area.draw(&PathElement::new(path, colour.stroke_width(px(*width))))
            }
            Op::Fill { corners, colour } => {
                let path: Vec<_> = corners.iter().copied().map(at).collect();
                area.draw(&Polygon::new(path, colour.filled()))
            }
            Op::Area { rect: Rect { x, y, w, h }, colour } => {
                let corners = [at((*x, *y)), at((x + w, y + h))];
                area.draw(&Rectangle::new(corners, colour.filled()))
            }
            Op::Disc { at: centre, r, colour } => {
                area.draw(&Circle::new(at(*centre), px(*r), colour.filled()))
            }
            Op::Ring { at: centre, r, colour, width } => {
                area.draw(&Circle::new(at(*centre), px(*r), colour.stroke_width(px(*width))))
            }
            Op::Text { text, at: (x, y), ink, upwards } => {
                let style = lettering(*ink, *upwards, scale * font_scale);
                let lower = ink.size * lower;
                let anchor = if *upwards { (x + lower, *y) } else { (*x, y + lower) };
                area.draw(&Text::new(text.clone(), at(anchor), style))
            }
        };
        drawn.map_err(words)?;
    }
    area.present().map_err(words)
}

fn lettering(ink: Ink, upwards: bool, scale: f64) -> TextStyle<'static> {
    let weight = if ink.bold { FontStyle::Bold } else { FontStyle::Normal };
    let turn = if upwards { FontTransform::Rotate270 } else { FontTransform::None };
    let font = FontDesc::new(FontFamily::SansSerif, ink.size * scale, weight).transform(turn);
    let side = match ink.anchor {
        Anchor::Left => HPos::Left,
        Anchor::Centre => HPos::Center,
        Anchor::Right => HPos::Right,
    };
    font.color(&ink.colour).pos(Pos::new(side, VPos::Center))
}

#[expect(clippy::needless_pass_by_value, reason = "a function for `map_err`")]
fn words<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::canvas::ink;

    #[test]
    fn squares_of_pixels_become_their_mean() {
        let pixels = [[0, 10, 0], [4, 10, 0], [8, 10, 8], [8, 10, 8]];
        let rows: Vec<u8> = pixels.iter().chain(&pixels).flatten().copied().collect();
        assert_eq!(joined(&rows, 4), (2, 1, vec![2, 10, 0, 8, 10, 8]));
    }

    #[test]
    fn text_reaches_the_bitmap_without_a_font_of_the_machine() {
        let black = RGBColor(0, 0, 0);
        let ink_of = |text: &str| {
            let mut canvas = Canvas::new(80.0, 30.0);
            canvas.text(text, (5.0, 15.0), ink(black, 14.0, Anchor::Left, false));
            let file = png(&canvas).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), (120, 45));
            pixels.iter().filter(|p| **p < 128).count()
        };
        assert_eq!(ink_of(""), 0);
        assert!(ink_of("W4A4") > ink_of("W4") && ink_of("W4") > 60);
    }
}
