//! `compare`: two stored runs, what changed and whether by more than chance.

use std::fmt::Write as _;

use anyhow::Context as _;
use quantbench_report::compare::{Comparison, Judged, Pair, Run, compare};
use quantbench_runner::Store;

use crate::args::CompareArgs;
use crate::context::{Kept, rows_of};
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Compares two run folders; with `--check` a difference is exit code 4.
pub fn run(args: &CompareArgs) -> Outcome {
    let first = [Store::open(&args.first).or_usage()?];
    let second = [Store::open(&args.second).or_usage()?];
    let (ours, theirs) = (rows_of(&first[0])?, rows_of(&second[0])?);
    let (a, b) = (Kept(&first), Kept(&second));
    let comparison = compare(
        Run { rows: &ours, evaluations: Some(&a) },
        Run { rows: &theirs, evaluations: Some(&b) },
    )
    .with_context(|| {
        format!("cannot compare {} with {}", args.first.display(), args.second.display())
    })
    .or_usage()?;
    if args.json {
        out::line(&serde_json::to_string_pretty(&comparison).or_failed()?)?;
    } else {
        out::line(&text(&comparison))?;
    }
    let differs = if args.beyond_noise { comparison.changed() } else { comparison.differs() };
    Ok(if args.check && differs { Exit::Differs } else { Exit::Done })
}

fn text(comparison: &Comparison) -> String {
    let Comparison { pairs, only_first, only_second, provenance } = comparison;
    let mut text = String::new();
    let changed = pairs.iter().filter(|p| p.beyond_noise).count();
    let bits = pairs.iter().filter(|p| !p.same_result).count();
    let _ = writeln!(
        text,
        "{} cells in both: {changed} changed beyond noise, {bits} differ in a bit",
        pairs.len()
    );
    let mut lines = vec![
        ["cell", "first %", "second %", "change", "lost", "gained", "p", "judged", "differs in"]
            .map(str::to_string)
            .to_vec(),
    ];
    let mut shown: Vec<&Pair> = pairs.iter().filter(|p| !p.same_result).collect();
    shown.sort_by(|a, b| {
        let size = |p: &Pair| (p.beyond_noise, p.change_points.abs());
        size(b).partial_cmp(&size(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
    lines.extend(shown.into_iter().map(line));
    if lines.len() > 1 {
        let _ = write!(text, "\n{}", out::table(&lines));
        text += "\nlost, gained: images that only the first, only the second run has right\n\
                 p: McNemar's test, adjusted for all cells after Holm; beyond noise below 0.05\n";
    }
    for (who, cells) in [("first", only_first), ("second", only_second)] {
        if !cells.is_empty() {
            let _ = writeln!(text, "\n{} cells in the {who} run alone:", cells.len());
            for cell in cells {
                let _ = writeln!(text, "  {cell}");
            }
        }
    }
    for (what, first, second) in provenance {
        let _ = writeln!(
            text,
            "\n{what}:\n  first: {}\n  second: {}",
            first.join("; "),
            second.join("; ")
        );
    }
    text
}

fn line(pair: &Pair) -> Vec<String> {
    let judged = match (pair.judged, pair.beyond_noise) {
        (Judged::Same, _) => "same predictions",
        (_, true) => "beyond noise",
        (Judged::Paired, false) => "within noise",
        (Judged::Intervals, false) => "intervals overlap",
    };
    let count = |n: Option<u64>| n.map_or_else(|| "-".to_string(), |n| n.to_string());
    let versions = if pair.versions.0 == pair.versions.1 {
        String::new()
    } else {
        format!(" (version {} and {})", pair.versions.0, pair.versions.1)
    };
    vec![
        pair.cell.clone() + &versions,
        format!("{:.2}", pair.first_pct),
        format!("{:.2}", pair.second_pct),
        format!("{:+.2}", pair.change_points),
        count(pair.discordant.map(|d| d.0)),
        count(pair.discordant.map(|d| d.1)),
        pair.p.map_or_else(|| "-".to_string(), |p| format!("{p:.3}")),
        judged.to_string(),
        pair.differs_in.clone().unwrap_or_default(),
    ]
}
