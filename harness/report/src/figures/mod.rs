//! Figures as SVG: simulated accuracy against packed size, one for each subject.
//!
//! The path from groups to a file: [`points`] says what to show, [`scale`] where a value lies,
//! [`layout`] how markers and labels keep out of each other's way, `draw` puts ink on a `canvas`.

mod canvas;
mod draw;
pub mod layout;
pub mod points;
pub mod scale;
mod style;

use crate::findings::Findings;
use crate::format;
use crate::group::Groups;
use crate::stats::OVER_DRAWS;
use crate::{File, ReportError};
use points::Points;

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Name of its file, relative to the report.
    pub file: String,
    /// Model and data set.
    pub title: String,
    /// How to read it, in sentences.
    pub caption: String,
    /// The drawing.
    pub svg: String,
    /// Markers of methods in it, which is the number of groups shown.
    pub markers: usize,
}

impl Figure {
    /// Draws one figure for each subject that has at least one quantized result to show.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if the drawing library fails.
    pub fn all(groups: &Groups<'_>) -> Result<Vec<Self>, ReportError> {
        let styles = style::Styles::of(groups);
        let mut figures: Vec<Self> = Vec::new();
        for subject in 0..groups.subjects.len() {
            let Some(points) = Points::of(groups, subject) else { continue };
            let title = groups.subject_name(subject);
            let svg = draw::svg(&title, &points, &styles)
                .map_err(|reason| ReportError::Figure { subject: title.clone(), reason })?;
            figures.push(Self {
                file: file_name(&title, &figures),
                caption: caption(&points),
                markers: points.points.len(),
                title,
                svg,
            });
        }
        Ok(figures)
    }
}

/// The files of all figures.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every entry of OUTPUTS")]
pub(crate) fn files(findings: &Findings<'_>) -> Result<Vec<File>, ReportError> {
    let figures = findings.figures.iter();
    Ok(figures.map(|f| (f.file.clone(), f.svg.clone().into_bytes())).collect())
}

/// A name that no figure before has.
fn file_name(title: &str, before: &[Figure]) -> String {
    let slug = format::slug(&format!("accuracy-size-{title}"));
    let mut name = format!("figures/{slug}.svg");
    let mut n = 2;
    while before.iter().any(|f| f.file == name) {
        name = format!("figures/{slug}-{n}.svg");
        n += 1;
    }
    name
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
