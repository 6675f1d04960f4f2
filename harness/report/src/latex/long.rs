//! The report's other tables (reported beside reproduced, targets) over as many pages as they need.

use std::fmt::Write as _;

use super::escape::escape;
use crate::table::{Column, Field, Line, Table};

/// Share of the line that the columns take; the rest lies between them.
const FILLED: f64 = 0.88;
/// Longest text that a column is made wide for, in characters.
const WIDEST: usize = 32;

/// A `longtable` that fills the line, with its footnotes as a last row.
pub(super) fn table(table: &Table) -> String {
    let count = table.columns.len();
    let widths: Vec<usize> = (0..count).map(|i| width(table, i)).collect();
    let all = widths.iter().sum::<usize>().max(1) as f64;
    let mut columns = String::new();
    for (column, width) in table.columns.iter().zip(&widths) {
        let side = if column.number { "\\raggedleft" } else { "\\raggedright" };
        let share = FILLED * *width as f64 / all;
        let _ = write!(columns, ">{{{side}\\arraybackslash}}p{{{share:.3}\\linewidth}}");
    }
    let heads: Vec<String> = table.columns.iter().map(|c| escape(&c.line())).collect();
    let mut body = String::new();
    for (i, section) in table.sections.iter().enumerate() {
        let rule = if i > 0 { "\\midrule\n" } else { "" };
        if !section.heading.is_empty() {
            let heading = escape(&section.heading);
            let _ =
                writeln!(body, "{rule}\\multicolumn{{{count}}}{{l}}{{\\emph{{{heading}}}}}\\\\");
        }
        body.extend(section.lines.iter().map(line));
    }
    let mut notes = escape(&table.caption);
    for (i, note) in table.notes.iter().enumerate() {
        let _ = write!(notes, " $^{{{}}}${}", i + 1, escape(note));
    }
    format!(
        "% Needs booktabs, longtable and array.\n{{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n\
         \\begin{{longtable}}{{@{{}}{columns}@{{}}}}\n\\caption{{{}}}\\\\\n\\toprule\n{} \\\\\n\\midrule\n\
         \\endhead\n{body}\\bottomrule\n\\multicolumn{{{count}}}{{@{{}}p{{0.95\\linewidth}}}}{{{notes}}}\\\\\n\
         \\end{{longtable}}}}\n",
        escape(&table.title),
        heads.join(" & "),
    )
}

fn line(line: &Line) -> String {
    let space = if line.new_widths { "\\addlinespace\n" } else { "" };
    let fields: Vec<String> = line.fields.iter().map(field).collect();
    format!("{space}{} \\\\\n", fields.join(" & "))
}

fn field(field: &Field) -> String {
    let marks: Vec<String> = field.marks.iter().map(usize::to_string).collect();
    let marks =
        if marks.is_empty() { String::new() } else { format!("$^{{{}}}$", marks.join(",")) };
    escape(&field.text) + &marks
}

/// What a column asks for: its longest text up to a limit, or the longest word of its head.
fn width(table: &Table, index: usize) -> usize {
    let lines = table.sections.iter().flat_map(|s| &s.lines);
    let texts = lines.filter_map(|l| l.fields.get(index)).map(|f| f.text.chars().count());
    let head = table.columns.get(index).map(Column::line).unwrap_or_default();
    let word = head.split(' ').map(|w| w.chars().count()).max().unwrap_or(0);
    texts.max().unwrap_or(0).min(WIDEST).max(word).max(3)
}
