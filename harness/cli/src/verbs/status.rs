//! `status`: how far a run folder is.

use std::fmt::Write as _;

use quantbench_core::row::Status;
use quantbench_runner::Store;

use crate::args::StatusArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Counts rows, and names the failed and the unreadable ones.
pub fn run(args: &StatusArgs) -> Outcome {
    let store = Store::open(&args.dir).or_usage()?;
    let (rows, bad) = store.rows().or_usage()?;
    let failed: Vec<_> = rows.iter().filter(|r| r.status == Status::Failed).collect();
    let mut text = format!(
        "{}: {} rows done, {} failed, {} unreadable\n",
        args.dir.display(),
        rows.len() - failed.len(),
        failed.len(),
        bad.len()
    );
    for row in &failed {
        let spec = row.cell.spec.as_ref().map_or(String::new(), |s| format!(" {}", s.bits));
        let reason = row.reason.as_deref().unwrap_or("no reason given");
        let _ = writeln!(text, "failed: {} {}{spec}: {reason}", row.cell.model, row.cell.method);
    }
    for row in &bad {
        let _ = writeln!(text, "unreadable: {row}");
    }
    for gap in context::gaps(&store, &rows) {
        let _ = writeln!(text, "{}", gap.trim_end_matches('.'));
    }
    out::line(&text)?;
    Ok(if failed.is_empty() && bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}
