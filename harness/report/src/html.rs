//! `report.html`: one page that works offline, with its style and figures inside.

use minijinja::{Environment, context};
use serde::Serialize;

use crate::figures::{Figure, KINDS};
use crate::findings::Findings;
use crate::table::{Column, Field, REMARKS, Section, Table, intervals};
use crate::{Folder, ReportError, put};

/// The page; minijinja escapes every value because the name ends in `.html`.
const TEMPLATE: &str = include_str!("../templates/report.html");
/// Its style.
const STYLE: &str = include_str!("../templates/report.css");

/// Sorting and filtering of its tables; without it the page is whole, only still.
const SCRIPT: &str = include_str!("../templates/report.js");

/// A table as the template reads it.
#[derive(Serialize)]
struct View<'a> {
    title: &'a str,
    caption: &'a str,
    columns: Vec<ColumnView<'a>>,
    sections: Vec<SectionView<'a>>,
    notes: &'a [String],
    remarks: &'a [String],
}

#[derive(Serialize)]
struct ColumnView<'a> {
    head: &'a str,
    unit: &'a str,
    number: bool,
}

#[derive(Serialize)]
struct SectionView<'a> {
    heading: &'a str,
    lines: Vec<LineView<'a>>,
}

#[derive(Serialize)]
struct LineView<'a> {
    reference: bool,
    new_widths: bool,
    fields: Vec<FieldView<'a>>,
}

#[derive(Serialize)]
struct FieldView<'a> {
    text: &'a str,
    /// The text in parts between which a line may break.
    parts: Vec<&'a str>,
    marks: &'a [usize],
    number: bool,
}

/// Makes `report.html`.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.add_template("report.html", TEMPLATE)?;
    let families: Vec<_> = findings
        .tables
        .families
        .iter()
        .map(|(family, accuracy, cost)| {
            context! { name => family.title(), tables => [view(accuracy), view(cost)] }
        })
        .collect();
    let figures: Vec<_> = KINDS
        .iter()
        .filter_map(|kind| {
            let of_kind: Vec<&Figure> =
                findings.figures.iter().filter(|f| f.kind == kind.name).collect();
            let views: Vec<_> = of_kind
                .iter()
                .enumerate()
                .map(|(i, f)| {
                    // One caption for figures that are read alike.
                    let new = i == 0 || of_kind[i - 1].caption != f.caption;
                    context! {
                        title => f.title, caption => new.then_some(&f.caption), svg => inline(&f.svg),
                        file => f.file, png => f.png_file(),
                    }
                })
                .collect();
            (!views.is_empty())
                .then(|| context! { name => kind.name, heading => kind.heading, figures => views })
        })
        .collect();
    let failures: Vec<_> = findings
        .failures
        .iter()
        .map(|f| context! { cell => f.cell, dataset => f.dataset, reason => f.reason })
        .collect();
    let facts: Vec<_> = findings
        .provenance
        .facts()
        .into_iter()
        .map(|(name, values)| context! { name, values })
        .collect();
    let page = environment.get_template("report.html")?.render(context! {
        style => STYLE,
        script => SCRIPT,
        surveys => findings.provenance.surveys.join(", "),
        warnings => findings.warnings,
        withheld => findings.withheld,
        intervals => intervals(),
        remarks_head => REMARKS,
        overall => view(&findings.tables.overall),
        calibration => findings.tables.calibration.as_ref().map(view),
        no_ranks => crate::ranks::why_not(&findings.rankings),
        reported => findings.tables.reported.as_ref().map(view),
        choices => findings.tables.choices.as_ref().map(view),
        targets => findings.tables.targets.iter().map(view).collect::<Vec<_>>(),
        families,
        figures,
        failures,
        facts,
        commits => findings.provenance.commits,
        commands => findings.provenance.commands,
    })?;
    put(folder, "report.html", page.as_bytes())
}

fn view(table: &Table) -> View<'_> {
    let columns = table.columns.iter();
    View {
        title: &table.title,
        caption: &table.caption,
        columns: columns
            .map(|c| ColumnView { head: c.head, unit: c.unit, number: c.number })
            .collect(),
        sections: table.sections.iter().map(|s| section(s, &table.columns)).collect(),
        notes: &table.notes,
        remarks: &table.remarks,
    }
}

fn section<'a>(section: &'a Section, columns: &'a [Column]) -> SectionView<'a> {
    let field = |(f, c): (&'a Field, &'a Column)| FieldView {
        text: &f.text,
        parts: f.text.split_inclusive('=').collect(),
        marks: &f.marks,
        number: c.number,
    };
    let lines = section.lines.iter().map(|l| LineView {
        reference: l.reference,
        new_widths: l.new_widths,
        fields: l.fields.iter().zip(columns).map(field).collect(),
    });
    SectionView { heading: &section.heading, lines: lines.collect() }
}

/// An SVG document as an element of the page: HTML knows the namespace, and line breaks between
/// elements or around a text mean nothing.
fn inline(svg: &str) -> String {
    svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
        .replace(">\n", ">")
        .replace("\n<", "<")
}
