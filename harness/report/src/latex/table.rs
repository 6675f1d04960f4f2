//! Tables for a paper: the best bold, the second best underlined, what differs from the best
//! marked, the protocol below.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quantbench_core::{Family, PaperColumn, PaperTable};

use super::escape::escape;
use crate::ReportError;
use crate::findings::Findings;
use crate::format::{self, NONE, count, short, slug, two};
use crate::group::{Group, Groups};
use crate::paired::LEVEL;
use crate::protocol;

/// Name and text of each table: those that the survey asks for, else one for each family.
pub(super) fn tables(findings: &Findings<'_>) -> Result<Vec<(String, String)>, ReportError> {
    let usual: Vec<PaperTable> =
        findings.groups.families().into_iter().map(|f| of_family(&findings.groups, f)).collect();
    let asked = findings.paper.map(|p| p.tables.as_slice()).filter(|tables| !tables.is_empty());
    let mut out: Vec<(String, String)> = Vec::new();
    for table in asked.unwrap_or(&usual) {
        let text = table_text(findings, table).ok_or_else(|| {
            ReportError::Paper(format!(
                "tables: no result for {:?}: no row has its families, models, methods and widths; \
                 run the survey first, or ask for others",
                table.caption
            ))
        })?;
        let name = slug(&table.caption.chars().take(60).collect::<String>());
        let base = format!("table-{}", name.trim_start_matches("table-"));
        let twins = out.iter().filter(|(name, _)| name.starts_with(&base)).count();
        let name = if twins == 0 { base } else { format!("{base}-{}", twins + 1) };
        out.push((name, text));
    }
    Ok(out)
}

fn of_family(groups: &Groups<'_>, family: Family) -> PaperTable {
    let mut models: Vec<String> = groups.subjects.iter().map(|s| s.model.clone()).collect();
    models.dedup();
    PaperTable {
        caption: format!("{} methods on {}", capital(family.title()), models.join(", ")),
        families: vec![family],
        ..PaperTable::default()
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().collect::<String>() + chars.as_str())
}

/// None if no group is shown.
fn table_text(findings: &Findings<'_>, table: &PaperTable) -> Option<String> {
    let groups = &findings.groups;
    let columns: &[PaperColumn] =
        if table.columns.is_empty() { &PaperColumn::USUAL } else { &table.columns };
    let shown = |g: &&Group<'_>| is_shown(groups, g, table);
    let mut body = String::new();
    let mut rules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for subject in 0..groups.subjects.len() {
        let here: Vec<&Group<'_>> = groups.main(subject).filter(shown).collect();
        if here.is_empty() {
            continue;
        }
        let _ = writeln!(
            body,
            "\\midrule\n\\multicolumn{{{}}}{{l}}{{{}}}\\\\",
            columns.len() + 2,
            subject_line(groups, subject)
        );
        let mut before = String::new();
        for group in &here {
            let widths = group.widths();
            if widths != before {
                body += "\\addlinespace\n";
            }
            let ranks = Ranks::of(&here, group);
            let _ = writeln!(
                body,
                "{} & {} & {} \\\\",
                method(findings, group),
                if widths == before { String::new() } else { escape(&widths) },
                columns
                    .iter()
                    .map(|column| field(*column, group, ranks))
                    .collect::<Vec<_>>()
                    .join(" & ")
            );
            before = widths;
            if let Some(spec) = group.spec() {
                let words = protocol::words(spec, group.image_left_in_fp32());
                let who = rules.entry(words).or_default();
                if !who.contains(&before) {
                    who.push(before.clone());
                }
            }
        }
    }
    (!body.is_empty()).then(|| whole(table, columns, &body, &rules))
}

fn whole(
    table: &PaperTable,
    columns: &[PaperColumn],
    body: &str,
    rules: &BTreeMap<String, Vec<String>>,
) -> String {
    let heads: Vec<&str> = columns.iter().map(|c| head(*c)).collect();
    let rules: Vec<String> = rules
        .iter()
        .map(|(words, who)| {
            let who =
                if rules.len() == 1 { String::new() } else { format!("{}: ", who.join(", ")) };
            format!("{who}{words}")
        })
        .collect();
    format!(
        "\\begin{{table}}\n\\centering\\small\n\\caption{{{}}}\n\\begin{{tabular}}{{ll{}}}\n\\toprule\n\
         Method & Bits & {} \\\\\n{body}\\bottomrule\n\\end{{tabular}}\n\n\
         \\parbox{{0.95\\linewidth}}{{\\footnotesize Accuracy is top-1 in per cent, mean $\\pm$ half \
         the 95 \\% interval over draws (Student); the drop has its paired 95 \\% interval over test \
         images. \\textbf{{Best}} and \\underline{{second best}} of each model and width; \
         $^\\dagger$ differs from the best at 5 \\% (McNemar on the first draw, Holm). \
         Protocol: {}.}}\n\\end{{table}}\n",
        escape(unnumbered(&table.caption)),
        "r".repeat(columns.len()),
        heads.join(" & "),
        escape(&rules.join("; ")),
    )
}

/// A caption without its "Table 2: ", which LaTeX adds.
fn unnumbered(caption: &str) -> &str {
    let number = caption.strip_prefix("Table ").and_then(|rest| rest.split_once(": "));
    match number {
        Some((n, rest)) if n.chars().all(|c| c.is_ascii_digit()) => rest,
        _ => caption,
    }
}

fn is_shown(groups: &Groups<'_>, group: &Group<'_>, table: &PaperTable) -> bool {
    let model = &groups.subjects[group.subject].model;
    let named = |list: &[String], name: &str| {
        list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(name))
    };
    let family = group.family();
    family.is_some_and(|f| table.families.is_empty() || table.families.contains(&f))
        && named(&table.models, model)
        && named(&table.methods, &group.asked.cell.method)
        && named(&table.widths, &group.widths())
}

fn subject_line(groups: &Groups<'_>, subject: usize) -> String {
    let name = escape(&groups.subject_name(subject));
    match groups.fp32(subject) {
        Some((pct, images)) => {
            format!("\\emph{{{name}}}, FP32 {} \\%, {} test images", two(pct), count(images))
        }
        None => format!("\\emph{{{name}}}"),
    }
}

fn method(findings: &Findings<'_>, group: &Group<'_>) -> String {
    let base = group.asked.cell.method.split('+').next().unwrap_or_default();
    let card = findings.cards.iter().find(|card| card.name == base);
    let cite = card.map_or_else(String::new, |card| format!("~\\cite{{{}}}", card.cite));
    escape(&group.series) + &cite
}

fn head(column: PaperColumn) -> &'static str {
    match column {
        PaperColumn::Data => "Data",
        PaperColumn::Accuracy => "Accuracy",
        PaperColumn::Drop => "Drop",
        PaperColumn::Deployed => "Deployed",
        PaperColumn::Bits => "Weight bits",
        PaperColumn::Size => "KiB",
        PaperColumn::BitOperations => "G bit op.",
        PaperColumn::Cpu => "CPU s",
    }
}

/// Place of a group among those of its model and widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranks {
    Best,
    Second,
    Other,
}

impl Ranks {
    fn of(here: &[&Group<'_>], group: &Group<'_>) -> Self {
        let accuracy = |g: &Group<'_>| g.published().map(|s| two(s.acc_simulated_pct.mean));
        let rivals = here.iter().filter(|g| g.spec() == group.spec());
        let mut all: Vec<f64> =
            rivals.filter_map(|g| Some(g.published()?.acc_simulated_pct.mean)).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all.dedup_by(|a, b| two(*a) == two(*b));
        let at = |i: usize| all.get(i).map(|v| two(*v));
        match accuracy(group) {
            own if all.len() < 2 || own.is_none() => Self::Other,
            own if own == at(0) => Self::Best,
            own if own == at(1) => Self::Second,
            _ => Self::Other,
        }
    }
}

fn field(column: PaperColumn, group: &Group<'_>, ranks: Ranks) -> String {
    let dash = || escape(NONE);
    let Some(s) = group.published() else {
        let failed = if group.withheld.is_some() { "withheld" } else { "failed" };
        return if column == PaperColumn::Accuracy { failed.to_string() } else { dash() };
    };
    let cell = &group.asked.cell;
    match column {
        PaperColumn::Data => escape(&format::data(cell.needs, cell.calibration_images)),
        PaperColumn::Accuracy => {
            let mean = two(s.acc_simulated_pct.mean);
            let mean = match ranks {
                Ranks::Best => format!("\\textbf{{{mean}}}"),
                Ranks::Second => format!("\\underline{{{mean}}}"),
                Ranks::Other => mean,
            };
            let spread = s.acc_simulated_pct.interval;
            let spread =
                spread.map_or_else(String::new, |i| format!(" $\\pm$ {}", two(i.half_width())));
            let differs = group.paired.against_best.is_some_and(|a| a.p < LEVEL);
            format!("{mean}{spread}{}", if differs { "$^\\dagger$" } else { "" })
        }
        PaperColumn::Drop => {
            let drop = two(s.drop_points).replace('-', "$-$");
            let interval = group.paired.drop_points.map_or_else(String::new, |i| {
                format!(" [{}, {}]", two(i.low), two(i.high)).replace('-', "$-$")
            });
            drop + &interval
        }
        PaperColumn::Deployed => s.deployed.map_or_else(dash, |d| two(d.acc_pct.mean)),
        PaperColumn::Bits => two(s.weights_mean_bits),
        PaperColumn::Size => short(s.packed_bytes / 1024.0),
        PaperColumn::BitOperations => short(s.bit_operations / 1e9),
        PaperColumn::Cpu => s.cost.map_or_else(dash, |c| short(c.cpu_s)),
    }
}
