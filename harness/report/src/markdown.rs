//! `report.md`: the report as Markdown, readable as plain text and on a forge.

use std::fmt::Write as _;

use crate::figures::{Figure, KINDS};
use crate::findings::Findings;
use crate::format::NONE;
use crate::ranks::why_not;
use crate::table::{Field, REMARKS, Table, intervals};
use crate::{Folder, ReportError, put};

/// Makes `report.md`.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    put(folder, "report.md", render(findings).as_bytes())
}

fn render(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    let surveys = findings.provenance.surveys.join(", ");
    let _ = writeln!(text, "# Quantization report: {}\n", escape(&surveys));
    list(&mut text, "Read this first", &findings.warnings);
    run(&mut text, findings);
    let _ = writeln!(text, "## All methods\n\n{}\n", sentences(&intervals()));
    table(&mut text, &findings.tables.overall);
    if let Some(reported) = &findings.tables.reported {
        let _ = writeln!(text, "## {}\n", reported.title);
        table(&mut text, reported);
        remarks(&mut text, "Without a number beside them:", &reported.remarks);
    }
    if let Some(why) = why_not(&findings.rankings) {
        let _ = writeln!(text, "{why}\n");
    }
    figures(&mut text, &findings.figures);
    for (_, accuracy, cost) in &findings.tables.families {
        let _ = writeln!(text, "## {}\n", accuracy.title);
        table(&mut text, accuracy);
        remarks(&mut text, REMARKS, &accuracy.remarks);
        let _ = writeln!(text, "### {}\n", cost.title);
        table(&mut text, cost);
    }
    if let Some(calibration) = &findings.tables.calibration {
        let _ = writeln!(text, "## {}\n", calibration.title);
        table(&mut text, calibration);
    }
    targets(&mut text, findings);
    failures(&mut text, findings);
    reproduce(&mut text, findings);
    text
}

fn targets(text: &mut String, findings: &Findings<'_>) {
    let Some(choices) = &findings.tables.choices else { return };
    let _ = writeln!(text, "## {}\n", choices.title);
    table(text, choices);
    for target in &findings.tables.targets {
        let _ = writeln!(text, "### {}\n", escape(&target.title));
        table(text, target);
    }
}

fn run(text: &mut String, findings: &Findings<'_>) {
    let _ = writeln!(text, "## What was run\n");
    for (name, values) in findings.provenance.facts() {
        if let [one] = values.as_slice() {
            let _ = writeln!(text, "- {name}: {}", escape(one));
        } else {
            let _ = writeln!(text, "- {name}:");
            for value in values {
                let _ = writeln!(text, "  - {}", escape(&value));
            }
        }
    }
    text.push('\n');
}

fn table(text: &mut String, table: &Table) {
    if !table.caption.is_empty() {
        let _ = writeln!(text, "{}.\n", escape(&table.caption));
    }
    let heads: Vec<String> = table.columns.iter().map(|c| escape(&c.line())).collect();
    let _ = writeln!(text, "| model | {} |", heads.join(" | "));
    let rules = table.columns.iter().map(|c| if c.number { "---:" } else { "---" });
    let _ = writeln!(text, "| --- | {} |", rules.collect::<Vec<_>>().join(" | "));
    for section in &table.sections {
        for line in &section.lines {
            let fields: Vec<String> = line.fields.iter().map(field).collect();
            let _ = writeln!(text, "| {} | {} |", escape(&section.model), fields.join(" | "));
        }
    }
    text.push('\n');
    for section in &table.sections {
        let _ = writeln!(text, "- {}", escape(&section.heading));
    }
    for (i, note) in table.notes.iter().enumerate() {
        let _ = writeln!(text, "- \\[{}\\] {}", i + 1, escape(note));
    }
    text.push('\n');
}

fn remarks(text: &mut String, head: &str, remarks: &[String]) {
    if remarks.is_empty() {
        return;
    }
    let _ = writeln!(text, "{head}\n");
    for remark in remarks {
        let _ = writeln!(text, "- {}", escape(remark));
    }
    text.push('\n');
}

fn field(field: &Field) -> String {
    let mut text = escape(&field.text);
    for mark in &field.marks {
        let _ = write!(text, " \\[{mark}\\]");
    }
    text
}

fn figures(text: &mut String, figures: &[Figure]) {
    for kind in KINDS {
        let mut of_kind = figures.iter().filter(|f| f.kind == kind.name).peekable();
        if of_kind.peek().is_some() {
            let _ = writeln!(text, "## {}\n", kind.heading);
        }
        let mut before = "";
        for figure in of_kind {
            let _ = writeln!(text, "![{}]({})\n", escape(&figure.title), figure.file);
            // One caption for figures that are read alike.
            if figure.caption != before {
                let _ = writeln!(text, "{}\n", sentences(&escape(&figure.caption)));
            }
            before = &figure.caption;
        }
    }
}

fn failures(text: &mut String, findings: &Findings<'_>) {
    let _ = writeln!(text, "## Failures\n");
    if findings.failures.is_empty() {
        let _ = writeln!(text, "None: every cell has a result.\n");
        return;
    }
    let _ = writeln!(text, "| cell | data set | status | reason |\n| --- | --- | --- | --- |");
    for f in &findings.failures {
        let (cell, data, reason) = (escape(&f.cell), escape(&f.dataset), escape(&f.reason));
        let _ = writeln!(text, "| {cell} | {data} | failed | {reason} |");
    }
    text.push('\n');
}

fn reproduce(text: &mut String, findings: &Findings<'_>) {
    let _ = writeln!(text, "## How to reproduce\n");
    let p = &findings.provenance;
    let commit = if p.commits.is_empty() { NONE.to_string() } else { p.commits.join(", ") };
    let _ = writeln!(text, "At commit {}:\n\n```sh", escape(&commit));
    for command in &p.commands {
        // A fence inside a command would end the block.
        let _ = writeln!(text, "{}", command.replace("```", "` ` `"));
    }
    let _ = writeln!(text, "```\n");
    let _ = writeln!(
        text,
        "`report.csv` has one line for each group with every column, `rows.csv` one for each row; the Parquet files hold the same with types and all digits, `figures/` every figure as SVG and PNG."
    );
}

/// One sentence per line.
fn sentences(text: &str) -> String {
    text.replace(". ", ".\n")
}

fn list(text: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "## {title}\n");
    for item in items {
        let _ = writeln!(text, "- {}", escape(item));
    }
    text.push('\n');
}

/// Makes a name or sentence inert: no markup, no table separator, one line.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => safe.push(' '),
            '|' | '*' | '`' | '[' | ']' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            '_' => safe.push_str(if needs_escape(text) { "\\_" } else { "_" }),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

/// An underscore inside a word is literal in GitHub's Markdown; one at a word's edge is markup.
fn needs_escape(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word.starts_with('_') || word.ends_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_a_table() {
        assert_eq!(escape("a|b\n<b>*x*"), "a\\|b &lt;b&gt;\\*x\\*");
        assert_eq!(escape("acc_simulated"), "acc_simulated");
        assert_eq!(escape("_init_"), "\\_init\\_");
    }
}
