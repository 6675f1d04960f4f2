//! The compact table that `quantbench run` prints at its end.

use std::fmt::Write as _;

use quantbench_core::Row;

use crate::findings::usable;
use crate::group::Groups;
use crate::stats::{OVER_DRAWS, OVER_TEST_IMAGES};
use crate::table::{Field, Table, terminal};

/// No line is wider than this.
const WIDTH: usize = 110;

/// Columns between two fields.
const GAP: usize = 2;

/// All methods side by side, at most 110 columns wide, with footnotes.
///
/// Without rows it is the sentence that says what to do.
pub fn terminal_table(rows: &[Row]) -> String {
    match usable(rows) {
        Ok((marked, _)) => render(&terminal(&Groups::of(&marked))),
        Err(error) => format!("{error}\n"),
    }
}

fn render(table: &Table) -> String {
    let widths = widths(table);
    let mut text = String::new();
    let line = |text: &mut String, fields: &[String]| {
        let padded: Vec<String> = fields
            .iter()
            .zip(&widths)
            .zip(&table.columns)
            .map(|((field, &width), column)| pad(field, width, column.number))
            .collect();
        let _ = writeln!(text, "{}", padded.join(&" ".repeat(GAP)).trim_end());
    };
    line(&mut text, &table.columns.iter().map(|c| c.head.to_string()).collect::<Vec<_>>());
    line(&mut text, &table.columns.iter().map(|c| c.unit.to_string()).collect::<Vec<_>>());
    let rule = widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
    for section in &table.sections {
        let _ = writeln!(text, "{}", "-".repeat(rule));
        wrap(&mut text, &section.heading, "", rule);
        for l in &section.lines {
            line(&mut text, &l.fields.iter().map(plain).collect::<Vec<_>>());
        }
    }
    let _ = writeln!(text, "{}", "-".repeat(rule));
    let intervals = format!("± {OVER_DRAWS}; test images: {OVER_TEST_IMAGES}");
    wrap(&mut text, &intervals, "", rule);
    if !table.caption.is_empty() {
        wrap(&mut text, &table.caption, "    ", rule);
    }
    for (i, note) in table.notes.iter().enumerate() {
        wrap(&mut text, &format!("[{}] {note}", i + 1), "    ", rule);
    }
    text
}

fn plain(field: &Field) -> String {
    let marks: Vec<String> = field.marks.iter().map(usize::to_string).collect();
    if marks.is_empty() {
        field.text.clone()
    } else {
        format!("{} [{}]", field.text, marks.join(","))
    }
}

/// The width that each column needs, made narrower where the sum is too wide.
fn widths(table: &Table) -> Vec<usize> {
    let lines = table.sections.iter().flat_map(|s| &s.lines);
    let mut widths: Vec<usize> =
        table.columns.iter().map(|c| length(c.head).max(length(c.unit))).collect();
    for line in lines {
        for (width, field) in widths.iter_mut().zip(&line.fields) {
            *width = (*width).max(length(&plain(field)));
        }
    }
    // The names give way first, down to a few letters; only then the widest column does.
    while widths.iter().map(|w| w + GAP).sum::<usize>() > WIDTH + GAP {
        let widest = (0..widths.len()).max_by_key(|&i| widths[i]).unwrap_or_default();
        let narrowed = if widths.first().is_some_and(|w| *w > 12) { 0 } else { widest };
        widths[narrowed] -= 1;
    }
    widths
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Pads to a width, and cuts with an ellipsis what is longer.
fn pad(text: &str, width: usize, right: bool) -> String {
    // A name from a file may hold anything; a control character would break the line.
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if length(&clean) > width {
        let head: String = clean.chars().take(width.saturating_sub(1)).collect();
        return format!("{head}…");
    }
    if right { format!("{clean:>width$}") } else { format!("{clean:<width$}") }
}

/// Writes words in lines of at most `width`, continued lines indented; a word that is too long
/// is cut.
fn wrap(text: &mut String, words: &str, indent: &str, width: usize) {
    let width = width.clamp(20, WIDTH);
    let mut line = String::new();
    for word in words.split_whitespace() {
        let word: String = word.chars().take(width - indent.len()).collect();
        if !line.is_empty() && length(&line) + 1 + length(&word) > width {
            let _ = writeln!(text, "{line}");
            line = format!("{indent}{word}");
        } else {
            if !line.trim().is_empty() {
                line.push(' ');
            }
            line += &word;
        }
    }
    let _ = writeln!(text, "{line}");
}
