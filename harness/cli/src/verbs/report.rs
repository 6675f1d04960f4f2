//! `report`: from stored rows to Markdown, CSV and HTML.

use std::path::PathBuf;

use anyhow::Context;
use quantbench_runner::{Store, write_atomic};

use crate::args::ReportArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Reads the rows, makes the report, writes its files one by one, each whole or not at all.
pub fn run(args: &ReportArgs) -> Outcome {
    let store = Store::open(&args.dir).or_usage()?;
    let (rows, bad) = store.rows().or_usage()?;
    let mut known = context::gaps(&store, &rows);
    known.extend(bad.iter().map(|row| {
        let name = row.file.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} is left out, because it is not a row: {}.", row.reason)
    }));
    let report = quantbench_report::build_with(&rows, &known)
        .with_context(|| format!("no report from {}", args.dir.display()))
        .or_usage()?;
    for warning in report.warnings() {
        out::say(&format!("warning: {warning}"));
    }
    let folder: PathBuf = args.out.clone().unwrap_or_else(|| args.dir.join("report"));
    for (name, bytes) in report.files() {
        let path = folder.join(&name);
        write_atomic(&path, &bytes)
            .with_context(|| format!("cannot write {}", path.display()))
            .or_failed()?;
    }
    out::line(&quantbench_report::terminal_table(&rows))?;
    out::say(&format!("report: {}", folder.join("report.html").display()));
    Ok(Exit::Done)
}
