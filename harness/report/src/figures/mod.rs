//! Figures as SVG and PNG, made from groups and stored costs and histograms alone.
//!
//! [`KINDS`] lists what there is to see, one file each; a kind makes a figure only where the rows
//! hold its data. The path from groups to a file: a kind says what to show, [`scale`] where a
//! value lies, [`layout`] how markers and labels keep out of each other's way; shapes go to a
//! `canvas`, and `paint` turns it into SVG and PNG.

mod allocation;
mod bits;
mod calibration;
pub(crate) mod canvas;
mod chart;
mod cost;
mod draw;
mod draws;
mod front;
mod histograms;
pub mod layout;
mod paint;
pub mod points;
mod ranks;
mod reported;
mod roofline;
pub mod scale;
mod style;
mod targets;

use quantbench_core::Histograms;
use rayon::prelude::*;

use crate::findings::Findings;
use crate::format;
use crate::group::{Group, Groups};
use crate::ranks::Ranking;
use crate::stats::OVER_DRAWS;
use crate::targets::Target;
use crate::verdict::matching::Comparison;
use crate::{Folder, ReportError, put};
use canvas::Canvas;
use points::Points;
use style::Styles;

/// One kind of figure.
pub struct Kind {
    /// Unique kebab-case name, which begins the names of its files.
    pub name: &'static str,
    /// Its section's heading.
    pub heading: &'static str,
    make: fn(&Sources<'_>) -> Vec<Draft>,
}

/// Every kind in the order in which a reader meets them.
pub const KINDS: &[Kind] = &[
    Kind { name: "accuracy-size", heading: "Accuracy against size", make: sizes },
    Kind { name: "reported", heading: "Reported and reproduced drops", make: reported::figures },
    Kind { name: "accuracy-bits", heading: "Accuracy against bits", make: bits::figures },
    Kind { name: "cost", heading: "Accuracy against the cost of the method", make: cost::figures },
    Kind { name: "target-time", heading: "Accuracy against time on targets", make: targets::times },
    Kind {
        name: "target-energy",
        heading: "Accuracy against energy on targets",
        make: targets::energies,
    },
    Kind { name: "roofline", heading: "Rooflines of targets", make: roofline::figures },
    Kind {
        name: "calibration",
        heading: "Accuracy against calibration images",
        make: calibration::figures,
    },
    Kind { name: "draws", heading: "Spread over draws", make: draws::figures },
    Kind { name: "ranks", heading: "Ranks over models", make: ranks::figures },
    Kind { name: "allocation", heading: "Bits per layer", make: allocation::figures },
    Kind { name: "front", heading: "Pareto fronts of the allocations", make: front::figures },
    Kind {
        name: "histograms",
        heading: "Weights, activations and their grids",
        make: histograms::figures,
    },
];

/// What figures are made from.
struct Sources<'a> {
    groups: &'a Groups<'a>,
    styles: &'a Styles,
    targets: &'a [Target<'a>],
    comparisons: &'a [Comparison<'a>],
    rankings: &'a [Ranking],
    histograms: &'a [Histograms],
}

/// A figure before it has a file.
struct Draft {
    /// Model and data set.
    title: String,
    /// What tells it from other figures of this kind and subject; empty if nothing has to.
    extra: String,
    caption: String,
    markers: usize,
    canvas: Canvas,
}

impl Draft {
    fn of(title: &str, extra: &str, caption: String, chart: &chart::Chart<'_>) -> Self {
        let (markers, canvas) = (chart.markers(), chart.draw());
        Self { title: title.to_string(), extra: extra.to_string(), caption, markers, canvas }
    }
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name of its kind in [`KINDS`].
    pub kind: &'static str,
    /// Name of its SVG file, relative to the report; the PNG stands beside it.
    pub file: String,
    /// Model and data set.
    pub title: String,
    /// How to read it, in sentences.
    pub caption: String,
    /// The drawing.
    pub svg: String,
    /// Markers of methods in it (bars in a figure of bars).
    pub markers: usize,
    canvas: Canvas,
}

impl Figure {
    /// Draws every figure that the groups and histograms have the data for.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if the drawing library fails.
    pub fn all(
        groups: &Groups<'_>,
        targets: &[Target<'_>],
        comparisons: &[Comparison<'_>],
        rankings: &[Ranking],
        histograms: &[Histograms],
    ) -> Result<Vec<Self>, ReportError> {
        let styles = Styles::of(groups);
        let sources =
            Sources { groups, styles: &styles, targets, comparisons, rankings, histograms };
        let mut figures: Vec<Self> = Vec::new();
        for kind in KINDS {
            for draft in (kind.make)(&sources) {
                let Draft { title, extra, caption, markers, canvas } = draft;
                let svg = paint::svg(&canvas)
                    .map_err(|reason| ReportError::Figure { subject: title.clone(), reason })?;
                let file = file_name(&format!("{}-{title} {extra}", kind.name), &figures);
                figures.push(Self { kind: kind.name, file, title, caption, svg, markers, canvas });
            }
        }
        Ok(figures)
    }

    /// The figure as a PNG file.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if the drawing library or the encoder fails.
    pub fn png(&self) -> Result<Vec<u8>, ReportError> {
        paint::png(&self.canvas)
            .map_err(|reason| ReportError::Figure { subject: self.title.clone(), reason })
    }

    /// Its shapes.
    pub(crate) fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// Name of its PNG file.
    pub fn png_file(&self) -> String {
        self.file.replace(".svg", ".png")
    }
}

/// The files of all figures.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    // No more at a time than are painted at once: a picture takes megabytes until it is packed.
    for figures in findings.figures.chunks(rayon::current_num_threads()) {
        let painted: Result<Vec<Vec<u8>>, ReportError> =
            figures.par_iter().map(Figure::png).collect();
        for (figure, png) in figures.iter().zip(painted?) {
            put(folder, &figure.file, figure.svg.as_bytes())?;
            put(folder, &figure.png_file(), &png)?;
        }
    }
    Ok(())
}

/// A name that no figure before has.
fn file_name(title: &str, before: &[Figure]) -> String {
    let slug = format::slug(title);
    let mut name = format!("figures/{slug}.svg");
    let mut n = 2;
    while before.iter().any(|f| f.file == name) {
        name = format!("figures/{slug}-{n}.svg");
        n += 1;
    }
    name
}

/// Accuracy against size: one figure for each subject with a quantized result to show.
fn sizes(sources: &Sources<'_>) -> Vec<Draft> {
    let one = |subject| {
        let points = Points::of(sources.groups, subject)?;
        let title = sources.groups.subject_name(subject);
        let canvas = draw::figure(&title, &points, sources.styles);
        let (extra, markers) = (String::new(), points.points.len());
        Some(Draft { title, extra, caption: caption(&points), markers, canvas })
    };
    (0..sources.groups.subjects.len()).filter_map(one).collect()
}

fn caption(points: &Points) -> String {
    let mut text = format!(
        "Simulated accuracy (mean over draws) against packed size. Bars: interval {OVER_DRAWS}, absent where there is one draw or nothing to draw. Steps: Pareto front of the quantized models."
    );
    if points.fp32_pct.is_some() {
        text += " Dashed line: FP32.";
    }
    if points.y_scale().is_broken() {
        text += " The accuracy axis is broken and its two parts have different scales.";
    }
    text + " Markers that would cover each other stand side by side; a label that they share names their widths from left to right."
}

/// The quantized groups by asked widths, in the order of the tables.
fn by_widths<'g, 'a: 'g>(
    groups: impl Iterator<Item = &'g Group<'a>>,
) -> Vec<(String, Vec<&'g Group<'a>>)> {
    let mut out: Vec<(String, Vec<&Group<'a>>)> = Vec::new();
    for group in groups.filter(|g| !g.is_fp32()) {
        let widths = group.widths();
        match out.iter_mut().find(|(w, _)| *w == widths) {
            Some((_, here)) => here.push(group),
            None => out.push((widths, vec![group])),
        }
    }
    out
}
