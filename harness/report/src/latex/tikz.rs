//! A drawing as a TikZ picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use plotters::style::RGBColor;

use super::escape::escape;
use crate::figures::canvas::{Anchor, At, Canvas, Ink, Op};

/// Points of TeX for each pixel of the drawing.
const SCALE: f64 = 0.75;

/// The picture: coordinates in points from the lower left corner.
pub(super) fn picture(canvas: &Canvas) -> String {
    let mut body = String::new();
    let mut colours = Colours::default();
    for op in &canvas.ops {
        shape(&mut body, &mut colours, op, canvas.height);
    }
    let mut text = String::from("\\begin{tikzpicture}[x=1pt,y=1pt]\n");
    for (colour, name) in &colours.0 {
        let (r, g, b) = colour;
        let _ = writeln!(text, "\\definecolor{{{name}}}{{RGB}}{{{r},{g},{b}}}");
    }
    let (w, h) = (canvas.width * SCALE, canvas.height * SCALE);
    let _ = writeln!(text, "\\useasboundingbox (0,0) rectangle ({w:.2},{h:.2});");
    text + &body + "\\end{tikzpicture}%\n"
}

/// Colours in use and their names.
#[derive(Default)]
struct Colours(BTreeMap<(u8, u8, u8), String>);

impl Colours {
    fn name(&mut self, colour: RGBColor) -> String {
        let RGBColor(r, g, b) = colour;
        let name = || format!("qb{r:02x}{g:02x}{b:02x}");
        self.0.entry((r, g, b)).or_insert_with(name).clone()
    }
}

fn shape(out: &mut String, colours: &mut Colours, op: &Op, height: f64) {
    let at = |(x, y): At| format!("({:.2},{:.2})", x * SCALE, (height - y) * SCALE);
    let path = |points: &[At]| points.iter().map(|p| at(*p)).collect::<Vec<_>>().join("--");
    let _ = match op {
        Op::Line { points, colour, width } => {
            let colour = colours.name(*colour);
            writeln!(out, "\\draw[{colour},line width={:.2}pt] {};", width * SCALE, path(points))
        }
        Op::Fill { corners, colour } => {
            writeln!(out, "\\fill[{}] {}--cycle;", colours.name(*colour), path(corners))
        }
        Op::Area { rect, colour } => writeln!(
            out,
            "\\fill[{}] {} rectangle {};",
            colours.name(*colour),
            at((rect.x, rect.y)),
            at((rect.x + rect.w, rect.y + rect.h))
        ),
        Op::Disc { at: centre, r, colour } => writeln!(
            out,
            "\\fill[{}] {} circle[radius={:.2}pt];",
            colours.name(*colour),
            at(*centre),
            r * SCALE
        ),
        Op::Ring { at: centre, r, colour, width } => writeln!(
            out,
            "\\draw[{},line width={:.2}pt] {} circle[radius={:.2}pt];",
            colours.name(*colour),
            width * SCALE,
            at(*centre),
            r * SCALE
        ),
        Op::Text { text, at: place, ink, upwards } => {
            writeln!(out, "{}", label(colours, text, &at(*place), *ink, *upwards))
        }
    };
}

fn label(colours: &mut Colours, text: &str, at: &str, ink: Ink, upwards: bool) -> String {
    let anchor = match ink.anchor {
        Anchor::Left => "west",
        Anchor::Centre => "center",
        Anchor::Right => "east",
    };
    let colour = colours.name(ink.colour);
    let rotate = if upwards { ",rotate=90" } else { "" };
    let size = ink.size * SCALE;
    let bold = if ink.bold { "\\bfseries" } else { "" };
    format!(
        "\\node[anchor={anchor},inner sep=0pt,text={colour}{rotate}] at {at} \
         {{\\fontsize{{{size:.1}pt}}{{{size:.1}pt}}\\selectfont\\sffamily{bold} {}}};",
        escape(text)
    )
}
