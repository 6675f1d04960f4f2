//! `methods/<name>.md`: a page for each method that ran, with its card, its results beside what is
//! reported, and where it departs from its paper.

use std::fmt::Write as _;

use quantbench_core::Card;

use crate::findings::Findings;
use crate::format::{NONE, two};
use crate::group::Group;
use crate::markdown::escape;
use crate::verdict::matching::Outcome;
use crate::{Folder, ReportError, put};

/// Makes a page for each method.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    let mut names: Vec<&str> = findings
        .groups
        .groups
        .iter()
        .filter(|g| !g.is_fp32())
        .map(|g| g.asked.cell.method.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let base = name.split('+').next().unwrap_or(name);
        let card = findings.cards.iter().find(|card| card.name == base).copied();
        let file = format!("methods/{}.md", crate::format::slug(name));
        put(folder, &file, page(findings, name, card).as_bytes())?;
    }
    Ok(())
}

fn page(findings: &Findings<'_>, name: &str, card: Option<&Card>) -> String {
    let mut text = format!("# {}\n\n", escape(name));
    match card {
        Some(card) => about(&mut text, card),
        None => {
            text += "Made outside of quantbench, or by a later version: its card is not known.\n";
        }
    }
    let _ = writeln!(text, "\n## Results beside what is reported\n");
    text += "| model | widths | parameters | runs | accuracy \\[%\\] | drop \\[points\\] | reported drop \\[points\\] | verdict |\n\
             | --- | --- | --- | ---: | ---: | ---: | ---: | --- |\n";
    let groups = findings.groups.groups.iter().enumerate();
    for (i, group) in groups.filter(|(_, g)| g.asked.cell.method == name) {
        let _ = writeln!(text, "{}", line(findings, i, group));
    }
    let Some(card) = card else { return text };
    let _ = writeln!(text, "\n## Where it departs from its paper\n");
    if card.departures.is_empty() {
        text += "Nowhere that is known.\n";
    }
    for departure in card.departures {
        let _ = writeln!(text, "- {}", escape(departure));
    }
    text
}

fn about(text: &mut String, card: &Card) {
    let _ = writeln!(text, "{}: {}.\n", card.family.title(), card.summary);
    for (what, value) in
        [("when", card.when), ("paper", card.paper), ("granularity", card.granularity)]
    {
        let _ = writeln!(text, "- {what}: {}", escape(value));
    }
    let (from, to) = card.widths.weights;
    let _ = writeln!(text, "- widths of weights: {from} to {to} bits");
}

fn line(findings: &Findings<'_>, index: usize, group: &Group<'_>) -> String {
    let comparison = findings.comparisons.iter().find(|c| c.group == index);
    let (reported, verdict) = match comparison.map(|c| &c.outcome) {
        Some(Outcome::Compared { range, verdict, .. }) => {
            let span = if two(range.low) == two(range.high) {
                two(range.low)
            } else {
                format!("{}–{}", two(range.low), two(range.high))
            };
            (span, verdict.name().to_string())
        }
        Some(Outcome::NotComparable { nearest, reason }) => {
            let drop = nearest.and_then(quantbench_reported::Record::drop_points);
            (drop.map_or_else(|| NONE.to_string(), two), format!("not comparable: {reason}"))
        }
        None => (NONE.to_string(), NONE.to_string()),
    };
    let params = &group.asked.cell.params;
    let params: Vec<String> = params.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let (accuracy, drop) = match group.published() {
        None if group.withheld.is_some() => ("withheld".to_string(), NONE.to_string()),
        None => ("failed".to_string(), NONE.to_string()),
        Some(s) => {
            let spread = s.acc_simulated_pct.interval;
            let spread = spread.map_or_else(String::new, |i| format!(" ± {}", two(i.half_width())));
            (format!("{}{spread}", two(s.acc_simulated_pct.mean)), two(s.drop_points))
        }
    };
    format!(
        "| {} | {} | {} | {} | {accuracy} | {drop} | {reported} | {} |",
        escape(&findings.groups.subjects[group.subject].model),
        group.widths(),
        escape(&params.join(", ")),
        group.done.len(),
        escape(&verdict),
    )
}
