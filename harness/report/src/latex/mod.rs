//! `latex/`: tables and figures to put into a paper, and one document that shows them all.
//!
//! Every table is a file for `\input`, made with booktabs; figures are TikZ pictures drawn from
//! the same shapes as their SVG; `methods.bib` holds the methods that the rows used.

mod bibtex;
mod escape;
mod long;
mod table;
mod tikz;

use std::fmt::Write as _;

use crate::figures::KINDS;
use crate::findings::Findings;
use crate::table::{Table, Tables};
use crate::{Folder, ReportError, put};

use escape::escape;

/// Makes the files.
///
/// # Errors
/// [`ReportError::Paper`]: the survey asks for a figure or table that there is not.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    let tables = table::tables(findings)?;
    let wanted = figures(findings)?;
    let mut body = String::new();
    for (name, text) in tables {
        let _ = writeln!(body, "\\input{{{name}}}\n");
        put(folder, &format!("latex/{name}.tex"), text.as_bytes())?;
    }
    let asked = findings.paper.is_some_and(|p| !p.tables.is_empty());
    for (name, table) in others(findings) {
        if !asked {
            let _ = writeln!(body, "\\input{{{name}}}\n");
        }
        put(folder, &format!("latex/{name}.tex"), long::table(table).as_bytes())?;
    }
    for figure in wanted {
        let name = figure.file.trim_start_matches("figures/").trim_end_matches(".svg");
        let picture = tikz::picture(figure.canvas());
        put(folder, &format!("latex/{name}.tex"), picture.as_bytes())?;
        let _ = writeln!(
            body,
            "\\begin{{figure}}\n\\centering\n\\resizebox{{\\linewidth}}{{!}}{{\\input{{{name}}}}}\n\
             \\caption{{{}: {}}}\n\\end{{figure}}\n",
            escape(&figure.title),
            escape(&figure.caption)
        );
    }
    put(folder, "latex/methods.bib", bibtex::entries(findings).as_bytes())?;
    put(folder, "latex/report.tex", document(findings, &body).as_bytes())
}

/// Whether there is what the survey asks for.
///
/// # Errors
/// [`ReportError::Paper`] if not.
pub(crate) fn check(findings: &Findings<'_>) -> Result<(), ReportError> {
    table::tables(findings)?;
    figures(findings).map(drop)
}

/// The tables besides those of methods; the document has them where the survey does not say which
/// ones it wants.
fn others<'f>(findings: &'f Findings<'_>) -> Vec<(String, &'f Table)> {
    let Tables { reported, choices, targets, .. } = &findings.tables;
    let mut tables: Vec<(String, &Table)> = Vec::new();
    tables.extend(reported.iter().map(|t| ("reported".to_string(), t)));
    tables.extend(choices.iter().map(|t| ("targets".to_string(), t)));
    tables.extend(targets.iter().enumerate().map(|(i, t)| (format!("target-{}", i + 1), t)));
    tables
}

/// The figures that the survey asks for, or all.
fn figures<'f>(findings: &'f Findings<'_>) -> Result<Vec<&'f crate::figures::Figure>, ReportError> {
    let Some(kinds) = findings.paper.map(|p| &p.figures).filter(|kinds| !kinds.is_empty()) else {
        return Ok(findings.figures.iter().collect());
    };
    for kind in kinds {
        if !KINDS.iter().any(|known| known.name == kind) {
            let known: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
            return Err(ReportError::Paper(format!(
                "figures: {kind:?} is no kind of figure{}; known: {}",
                quantbench_core::names::suggestion(kind, &known),
                known.join(", ")
            )));
        }
    }
    Ok(findings.figures.iter().filter(|f| kinds.iter().any(|k| k == f.kind)).collect())
}

fn document(findings: &Findings<'_>, body: &str) -> String {
    let surveys = escape(&findings.provenance.surveys.join(", "));
    format!(
        "% Compiles by itself: pdflatex report && bibtex report && pdflatex report.\n\
         \\documentclass[10pt]{{article}}\n\
         \\usepackage[utf8]{{inputenc}}\n\
         \\usepackage[a4paper,margin=2cm]{{geometry}}\n\
         \\usepackage{{array,booktabs,graphicx,longtable,tikz}}\n\
         \\begin{{document}}\n\\section*{{Quantization report: {surveys}}}\n\n{body}\
         \\nocite{{*}}\n\\bibliographystyle{{plain}}\n\\bibliography{{methods}}\n\\end{{document}}\n"
    )
}
