//! One page over several run folders: what each holds, and where it stands against the literature.

use std::fmt::Write as _;

use crate::findings::Findings;
use crate::format::{NONE, grouped, two};
use crate::markdown::escape;
use crate::verdict::matching::{Comparison, Outcome};

/// One run folder: its name, and what its rows say.
pub struct Folder<'f, 'a> {
    /// Name, relative to the page.
    pub path: String,
    /// Findings, figures not needed.
    pub findings: &'f Findings<'a>,
}

/// The page as Markdown.
pub fn page(folders: &[Folder<'_, '_>], command: &str) -> String {
    let mut text = format!("# Results\n\nMade by `{command}` from the rows of each folder.\n\n");
    text += "| survey | models | results | runs | failed | report |\n\
             | --- | --- | ---: | ---: | ---: | --- |\n";
    for folder in folders {
        let _ = writeln!(text, "{}", summary(folder));
    }
    text += "\n## Against the literature\n\n\
             Drop is compared with drop, in points; the rules are in `harness/report/README.md`, the \
             reported numbers with their sources in `methods/reported/`.\n";
    let all = || folders.iter().flat_map(|f| &f.findings.comparisons);
    let lines: Vec<String> = folders.iter().flat_map(lines).collect();
    let _ = writeln!(
        text,
        "Of {} results {} can be compared; {} stand beside a number that may not be compared, for the \
         reason given; {} have no number at their model, data and widths.\n",
        grouped(all().count() as i64),
        all().filter(|c| matches!(c.outcome, Outcome::Compared { .. })).count(),
        all()
            .filter(|c| matches!(c.outcome, Outcome::NotComparable { nearest: Some(_), .. }))
            .count(),
        all().filter(|c| matches!(c.outcome, Outcome::NotComparable { nearest: None, .. })).count(),
    );
    text += "| method | model | widths | reported drop | our drop | verdict | why not, or what else to know | source | rows |\n\
             | --- | --- | --- | ---: | ---: | --- | --- | --- | --- |\n";
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn summary(folder: &Folder<'_, '_>) -> String {
    let Folder { path, findings } = folder;
    let groups = &findings.groups;
    let mut models: Vec<&str> = groups.subjects.iter().map(|s| s.model.as_str()).collect();
    models.dedup();
    let quantized = groups.groups.iter().filter(|g| !g.is_fp32());
    let done: usize = groups.groups.iter().map(|g| g.done.len()).sum();
    format!(
        "| [{}]({path}/README.md) | {} | {} | {} | {} | [report]({path}/report/report.md) |",
        escape(&findings.provenance.surveys.join(", ")),
        escape(&models.join(", ")),
        quantized.filter(|g| g.published().is_some()).count(),
        grouped(done as i64),
        findings.failures.len(),
    )
}

/// A line for each result that stands beside a reported number.
fn lines(folder: &Folder<'_, '_>) -> Vec<String> {
    let Folder { path, findings } = folder;
    findings.comparisons.iter().filter_map(|c| line(path, findings, c)).collect()
}

fn line(path: &str, findings: &Findings<'_>, comparison: &Comparison<'_>) -> Option<String> {
    let group = &findings.groups.groups[comparison.group];
    let (records, verdict, remark) = match &comparison.outcome {
        Outcome::Compared { records, verdict, conflict, .. } => {
            let remark = if *conflict { "the sources contradict each other" } else { NONE };
            (records.clone(), verdict.name(), remark.to_string())
        }
        Outcome::NotComparable { nearest, reason } => {
            (vec![(*nearest)?], "not comparable", reason.clone())
        }
    };
    let mut drops: Vec<String> = records.iter().filter_map(|r| r.drop_points()).map(two).collect();
    drops.sort();
    drops.dedup();
    let reported = if drops.is_empty() { NONE.to_string() } else { drops.join(", ") };
    let own = match comparison.own.interval {
        Some(interval) => format!("{} ± {}", two(comparison.own.mean), two(interval.half_width())),
        None => two(comparison.own.mean),
    };
    let mut sources: Vec<&str> = records.iter().map(|r| r.source.as_str()).collect();
    sources.dedup();
    Some(format!(
        "| {} | {} | {} | {reported} | {own} | {verdict} | {} | {} | [{}]({path}/report/report.md) |",
        escape(&group.label),
        escape(&findings.groups.subjects[group.subject].model),
        group.widths(),
        escape(&remark),
        escape(&sources.join("; ")),
        group.done.len(),
    ))
}
