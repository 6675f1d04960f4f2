//! The spread over draws, a line for each method: a dot for each draw, or where these are too many
//! to be told apart, the share of them that lies around the middle.

use std::fmt::Write as _;

use super::canvas::{Anchor, CHARACTER, Canvas, cut, ink, tick_text};
use super::layout::Rect;
use super::scale::nice_ticks;
use super::style::{GRID, INK, SOFT, Style};
use super::{Draft, Sources, by_widths};
use crate::format::two;

const TITLE: f64 = 15.0;
const TEXT: f64 = 11.5;
const LINE: f64 = 21.0;
/// Longest name beside the dots, in characters.
const NAME: usize = 34;
/// Most draws of a method that are shown one by one.
const DOTS: usize = 50;

/// The draws of one method.
struct Strip {
    name: String,
    style: Style,
    /// Simulated accuracy of each draw in percent.
    accuracies_pct: Vec<f64>,
    mean_pct: f64,
}

/// One figure for each subject with several draws.
pub(super) fn figures(sources: &Sources<'_>) -> Vec<Draft> {
    (0..sources.groups.subjects.len()).filter_map(|s| figure(sources, s)).collect()
}

fn figure(sources: &Sources<'_>, subject: usize) -> Option<Draft> {
    let title = sources.groups.subject_name(subject);
    let mut panels: Vec<(String, Vec<Strip>)> = Vec::new();
    for (widths, here) in by_widths(sources.groups.main(subject)) {
        let strips: Vec<Strip> = here
            .iter()
            .filter_map(|group| {
                let accuracies_pct = group.accuracies_pct();
                let mean_pct = group.published()?.acc_simulated_pct.mean;
                let style = sources.styles.get(&group.series);
                let name = group.series.clone();
                (accuracies_pct.len() > 1).then_some(Strip {
                    name,
                    style,
                    accuracies_pct,
                    mean_pct,
                })
            })
            .collect();
        if !strips.is_empty() {
            panels.push((widths, strips));
        }
    }
    let strips = || panels.iter().flat_map(|(_, s)| s);
    let markers = strips().map(Strip::markers).sum();
    let mut caption = "Each dot is one draw of calibration images (or one seed): its simulated accuracy minus the mean over draws, which stands at the right. Each panel has its own scale.".to_string();
    if strips().any(|s| s.accuracies_pct.len() > DOTS) {
        // Writing to a string cannot fail.
        let _ = write!(
            caption,
            " Where there are more than {DOTS}, a thin line goes from the lowest to the highest, a thick one holds the middle half, and the dot is the median."
        );
    }
    (!panels.is_empty()).then(|| Draft {
        title: title.clone(),
        extra: String::new(),
        caption,
        markers,
        canvas: draw(&title, &panels),
    })
}

fn draw(title: &str, panels: &[(String, Vec<Strip>)]) -> Canvas {
    let names = panels.iter().flat_map(|(_, s)| s).map(|s| s.name.chars().count().min(NAME)).max();
    let left = 24.0 + names.unwrap_or(0) as f64 * TEXT * CHARACTER;
    let (w, numbers) = (300.0, 56.0);
    let columns = panels.len().min(2);
    let step = left + w + numbers + 10.0;
    let mut tops: Vec<f64> = vec![44.0; columns];
    let mut canvas = Canvas::new(16.0 + step * columns as f64, 0.0);
    let c = &mut canvas;
    c.text(&cut(title, 90), (16.0, 22.0), ink(INK, TITLE, Anchor::Left, true));
    for (widths, strips) in panels {
        // The shorter column takes the next panel.
        let column = (0..columns).min_by(|&a, &b| tops[a].total_cmp(&tops[b])).unwrap_or(0);
        let x = 16.0 + left + step * column as f64;
        let h = strips.len() as f64 * LINE;
        let frame = Rect { x, y: tops[column] + 22.0, w, h };
        panel(c, widths, strips, frame);
        tops[column] = frame.y + h + 48.0;
    }
    canvas.height = tops.iter().copied().fold(0.0, f64::max).ceil();
    canvas
}

fn panel(c: &mut Canvas, widths: &str, strips: &[Strip], frame: Rect) {
    let Rect { x, y, w, h } = frame;
    let away =
        strips.iter().flat_map(|s| s.accuracies_pct.iter().map(move |a| (a - s.mean_pct).abs()));
    // At least a tenth of a point, so that equal draws are one dot in the middle.
    let reach = away.fold(0.1, f64::max) * 1.12;
    let across = |points: f64| x + w * (0.5 + points / reach / 2.0);
    c.text(widths, (x, y - 12.0), ink(INK, 13.0, Anchor::Left, true));
    c.text("mean %", (x + w + 50.0, y - 12.0), ink(SOFT, TEXT, Anchor::Right, false));
    for tick in nice_ticks(-reach, reach, 4) {
        c.line(&[(across(tick), y), (across(tick), y + h)], GRID, 1.0);
        let label = if tick > 0.0 { format!("+{}", tick_text(tick)) } else { tick_text(tick) };
        c.text(&label, (across(tick), y + h + 12.0), ink(SOFT, TEXT, Anchor::Centre, false));
    }
    c.line(&[(across(0.0), y), (across(0.0), y + h)], SOFT, 1.0);
    for (i, strip) in strips.iter().enumerate() {
        let middle = y + (i as f64 + 0.5) * LINE;
        c.line(&[(x, middle), (x + w, middle)], GRID, 1.0);
        let style = ink(INK, TEXT, Anchor::Right, false);
        c.text(&cut(&strip.name, NAME), (x - 8.0, middle), style);
        c.text(&two(strip.mean_pct), (x + w + 50.0, middle), style);
        let shift = |accuracy: f64| (across(accuracy - strip.mean_pct), middle);
        if strip.accuracies_pct.len() > DOTS {
            let [low, lower, median, upper, high] = quartiles(&strip.accuracies_pct).map(shift);
            c.line(&[low, high], SOFT, 1.5);
            c.line(&[lower, upper], SOFT, 5.0);
            c.marker(median, 4.4, strip.style);
            let draws = strip.accuracies_pct.len();
            c.tip(median, format!("{}: {} % over {draws} draws", strip.name, two(strip.mean_pct)));
            continue;
        }
        for accuracy in &strip.accuracies_pct {
            c.marker(shift(*accuracy), 4.4, strip.style);
            c.tip(shift(*accuracy), format!("{}: {} %", strip.name, two(*accuracy)));
        }
    }
    let style = ink(INK, TEXT, Anchor::Centre, false);
    c.text("accuracy − mean over draws [points]", (x + w / 2.0, y + h + 28.0), style);
}

impl Strip {
    /// Markers that show it.
    fn markers(&self) -> usize {
        let draws = self.accuracies_pct.len();
        if draws > DOTS { 1 } else { draws }
    }
}

/// The smallest value, the one a quarter of the way up, the middle, three quarters, the largest.
fn quartiles(values: &[f64]) -> [f64; 5] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0, 1, 2, 3, 4].map(|quarter| sorted[quarter * (sorted.len() - 1) / 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_eleven_numbers() {
        let values: Vec<f64> = (0..11).rev().map(f64::from).collect();
        assert_eq!(quartiles(&values), [0.0, 2.0, 5.0, 7.0, 10.0]);
        assert_eq!(quartiles(&[3.0]), [3.0; 5]);
    }
}
