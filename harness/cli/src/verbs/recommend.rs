//! `recommend`: which method, within limits, from stored rows.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow};
use quantbench_core::names::suggestion;
use quantbench_report::recommend::{Answer, Choice, Data, Limits, Quantity, recommend};
use quantbench_report::{Findings, Stored};
use quantbench_runner::Store;

use crate::args::{DataArg, RecommendArgs};
use crate::context::{Kept, rows_of};
use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;

/// Reads all folders as one and prints the choices that no other beats.
pub fn run(args: &RecommendArgs) -> Outcome {
    let stores: Vec<Store> =
        args.dirs.iter().map(|dir| Store::open(dir)).collect::<Result<_, _>>().or_usage()?;
    let (mut rows, mut costs) = (Vec::new(), Vec::new());
    for store in &stores {
        rows.extend(rows_of(store)?);
        costs.extend(store.costs().or_usage()?.0);
    }
    let kept = Kept(&stores);
    let stored =
        Stored { rows: &rows, costs: &costs, evaluations: Some(&kept), ..Stored::default() };
    let findings = Findings::without_figures(&stored).context("no answer").or_usage()?;
    let models = findings.groups.subjects.iter().map(|s| s.model.as_str());
    known(args.model.as_deref(), "--model", "rows of a model", models.collect())?;
    let profiles = findings.targets.iter().map(|t| t.profile);
    known(args.profile.as_deref(), "--profile", "stored costs on a target", profiles.collect())?;
    let limits = limits(args);
    let answers = recommend(&findings, &limits);
    if args.json {
        out::line(&serde_json::to_string_pretty(&answers).or_failed()?)?;
    } else {
        let texts: Vec<String> = answers.iter().map(|a| text(a, &limits)).collect();
        out::line(&texts.join("\n"))?;
    }
    if answers.iter().all(|answer| answer.choices.is_empty()) {
        return Err(anyhow!("nothing fits the limits: {}", excluded(&answers))).or_usage();
    }
    Ok(Exit::Done)
}

/// Refuses a name that no folder has.
fn known(name: Option<&str>, option: &str, what: &str, mut all: Vec<&str>) -> Result<(), Failure> {
    let Some(name) = name.filter(|name| !all.contains(name)) else { return Ok(()) };
    all.sort_unstable();
    all.dedup();
    let near = suggestion(name, &all);
    let list = if all.is_empty() { "none".to_string() } else { all.join(", ") };
    Err(anyhow!("{option}: there are no {what} {name:?} in these folders{near} (there: {list})"))
        .or_usage()
}

fn limits(args: &RecommendArgs) -> Limits {
    Limits {
        model: args.model.clone(),
        data: args.data.map(|data| match data {
            DataArg::None => Data::None,
            DataArg::Unlabelled => Data::Unlabelled,
            DataArg::Labelled => Data::Labelled,
        }),
        cpu_s: args.cpu_s,
        size_kib: args.size_kib,
        bit_operations_g: args.bit_operations_g,
        drop_points: args.drop,
        profile: args.profile.clone(),
        time_ms: args.time_ms,
        energy_mj: args.energy_mj,
    }
}

/// Which limit keeps out how many.
fn excluded(answers: &[Answer]) -> String {
    let mut parts = Vec::new();
    for answer in answers {
        let each: Vec<String> =
            answer.excluded.iter().map(|(q, n)| format!("{} {n}", option(*q))).collect();
        let Answer { subject, seen, .. } = answer;
        parts.push(format!(
            "of {seen} results for {subject} are kept out by {}",
            each.join(", by ")
        ));
    }
    parts.join("; ") + "; relax one of them"
}

fn option(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Data => "--data",
        Quantity::CpuS => "--cpu-s",
        Quantity::SizeKib => "--size-kib",
        Quantity::BitOperationsG => "--bit-operations-g",
        Quantity::DropPoints => "--drop",
        Quantity::Profile => "--profile",
        Quantity::TimeMs => "--time-ms",
        Quantity::EnergyMj => "--energy-mj",
    }
}

fn text(answer: &Answer, limits: &Limits) -> String {
    let Answer { subject, choices, steps, excluded, outside, seen } = answer;
    let within = seen - outside;
    let mut text = format!(
        "{subject}: {seen} results, {within} within the limits, {} that no other beats\n",
        choices.len()
    );
    let target = limits.profile.is_some();
    let mut head: Vec<String> = [
        "method",
        "widths",
        "accuracy %",
        "over draws",
        "drop",
        "over test images",
        "data",
        "CPU s",
        "KiB",
        "G bit op.",
    ]
    .map(str::to_string)
    .to_vec();
    if target {
        head.extend(["ms", "mJ"].map(str::to_string));
    }
    head.push("rows".to_string());
    let mut lines = vec![head];
    lines.extend(choices.iter().map(|c| line(c, target)));
    if lines.len() > 1 {
        let _ = write!(text, "\n{}", out::table(&lines));
    }
    for (quantity, count) in excluded {
        let _ = writeln!(text, "kept out by {}: {count}", option(*quantity));
    }
    for step in steps {
        let _ = writeln!(
            text,
            "next step: {} up to {}: {} {}, {:.2} %{}",
            option(step.relax),
            step.to,
            step.choice.method,
            step.choice.widths,
            step.choice.accuracy_pct,
            step.gain_points.map_or_else(String::new, |gain| format!(" ({gain:+.2} points)"))
        );
    }
    text
}

fn line(choice: &Choice, target: bool) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_string(), |v| format!("{v:.3}"));
    let span = |ends: Option<(f64, f64)>| {
        ends.map_or_else(|| "-".to_string(), |(low, high)| format!("{low:.2} to {high:.2}"))
    };
    let mut cells = vec![
        choice.method.clone(),
        choice.widths.clone(),
        format!("{:.2}", choice.accuracy_pct),
        span(choice.over_draws_pct),
        format!("{:.2}", choice.drop_points),
        span(choice.drop_interval_points),
        choice.data.clone(),
        number(choice.cpu_s),
        format!("{:.1}", choice.size_kib),
        number(Some(choice.bit_operations_g)),
    ];
    if target {
        cells.extend([number(choice.time_ms), number(choice.energy_mj)]);
    }
    let short: Vec<&str> = choice.rows.iter().map(|id| id.get(..8).unwrap_or(id)).collect();
    cells.push(short.join(" "));
    cells
}
