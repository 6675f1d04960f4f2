//! `report`: from stored rows to Markdown, CSV, Parquet, HTML and figures.

use std::path::PathBuf;

use anyhow::Context;
use quantbench_core::Card;
use quantbench_report::Stored;
use quantbench_runner::{Store, Survey, write_atomic};

use crate::args::ReportArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Reads the rows, makes the report, writes its files one by one, each whole or not at all.
pub fn run(args: &ReportArgs) -> Outcome {
    let store = Store::open(&args.dir).or_usage()?;
    let (rows, bad) = store.rows().or_usage()?;
    let (histograms, damaged) = store.all_histograms().or_usage()?;
    let mut known = context::gaps(&store, &rows);
    let name = |file: &std::path::Path| {
        file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let rowless = bad.iter().map(|bad| {
        format!("{} is left out, because it is not a row: {}.", name(&bad.file), bad.reason)
    });
    known.extend(rowless);
    let unread = damaged.iter().map(|bad| {
        format!("{} is left out, because it holds no histograms: {}.", name(&bad.file), bad.reason)
    });
    known.extend(unread);
    let (costs, unread) = store.costs().or_usage()?;
    known.extend(unread.iter().map(|bad| {
        format!("{} is left out, because it is no cost row: {}.", name(&bad.file), bad.reason)
    }));
    let kept = context::Kept(std::slice::from_ref(&store));
    let cards: Vec<&Card> = quantbench_methods::ALL.iter().map(|m| m.card()).collect();
    let paper = match &args.survey {
        Some(file) => Some(Survey::load(file).or_usage()?.paper),
        None => store.paper().or_usage()?,
    };
    let stored = Stored {
        rows: &rows,
        histograms: &histograms,
        costs: &costs,
        evaluations: Some(&kept),
        cards: &cards,
        paper: paper.as_ref(),
        known: &known,
    };
    let report = quantbench_report::build_with(&stored)
        .with_context(|| format!("no report from {}", args.dir.display()))
        .or_usage()?;
    for warning in report.warnings() {
        out::say(&format!("warning: {warning}"));
    }
    let folder: PathBuf = args.out.clone().unwrap_or_else(|| args.dir.join("report"));
    for (name, bytes) in report.into_files() {
        let path = folder.join(&name);
        write_atomic(&path, &bytes)
            .with_context(|| format!("cannot write {}", path.display()))
            .or_failed()?;
    }
    out::line(&quantbench_report::terminal_table(&rows))?;
    out::say(&format!("report: {}", folder.join("report.html").display()));
    Ok(Exit::Done)
}
