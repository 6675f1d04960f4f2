//! `report`: from stored rows to Markdown, CSV, Parquet, HTML and figures.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use quantbench_core::Card;
use quantbench_report::{Content, Folder, ReportError, Stored};
use quantbench_runner::{Store, Survey, write_atomic_of};

use crate::args::ReportArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Files in a folder.
struct Files<'a>(&'a Path);

impl Folder for Files<'_> {
    fn file(&mut self, name: &str, content: &mut Content<'_>) -> io::Result<()> {
        write_atomic_of(&self.0.join(name), content)
    }
}

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
    let folder: PathBuf = args.out.clone().unwrap_or_else(|| args.dir.join("report"));
    let made = quantbench_report::write_to(&stored, &mut Files(&folder));
    let failed = matches!(made, Err(ReportError::Write { .. }));
    let made = made.with_context(|| format!("no report from {}", args.dir.display()));
    for warning in if failed { made.or_failed()? } else { made.or_usage()? } {
        out::say(&format!("warning: {warning}"));
    }
    out::line(&quantbench_report::terminal_table(&rows))?;
    out::say(&format!("report: {}", folder.join("report.html").display()));
    Ok(Exit::Done)
}
