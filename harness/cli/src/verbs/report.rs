//! `report`: from stored rows to Markdown, CSV and HTML.

use std::path::PathBuf;

use anyhow::Context;
use quantbench_runner::{Store, write_atomic};

use crate::args::ReportArgs;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Reads the rows, makes the report, writes its files one by one, each whole or not at all.
pub fn run(args: &ReportArgs) -> Outcome {
    let (rows, bad) = Store::open(&args.dir).and_then(|s| s.rows()).or_usage()?;
    for row in &bad {
        out::say(&format!(
            "warning: {}: {}; left out of the report",
            row.file.display(),
            row.reason
        ));
    }
    let report = quantbench_report::build(&rows)
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
