//! `plan`: the expanded matrix, what is done, and the estimated time.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quantbench_runner::{Plan, Snapshot, Store, estimate};
use serde_json::json;

use crate::args::PlanArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Prints the plan; nothing is run and nothing is written.
pub fn run(args: &PlanArgs, configs: Option<&Path>) -> Outcome {
    let catalog = context::catalog(configs)?;
    let (survey, plan) = context::planned(&args.survey, &args.filter, &catalog)?;
    let store = Store::view(&context::run_folder(args.out.as_deref(), &survey.name))
        .with_published(&context::published(&survey.name));
    let rows = store.snapshot().or_failed()?;
    let left = estimate(&plan, &rows);
    if args.json {
        let done: Vec<bool> = plan.cells.iter().map(|c| rows.has(c)).collect();
        let value = json!({"plan": plan, "done": done, "seconds_left": left.seconds});
        out::line(&serde_json::to_string_pretty(&value).or_failed()?)?;
    } else {
        out::line(&text(&plan, &rows, &left))?;
    }
    Ok(if plan.missing.is_empty() { Exit::Done } else { Exit::Missing })
}

fn text(plan: &Plan, rows: &Snapshot, left: &quantbench_runner::Estimate) -> String {
    let mut table = vec![["cell", "state"].map(String::from).to_vec()];
    for cell in &plan.cells {
        let state = match (rows.has(cell), cell.ids.is_some()) {
            (true, _) => "done",
            (false, true) => "to do",
            (false, false) => "something is missing",
        };
        table.push(vec![cell.label.clone(), state.to_string()]);
    }
    let mut text = out::table(&table);
    if !plan.unfit.is_empty() {
        text += "\nleft out\n";
        for (label, reason) in &plan.unfit {
            let _ = writeln!(text, "  {label}: {reason}");
        }
    }
    for remark in &plan.remarks {
        let _ = writeln!(text, "note: {remark}");
    }
    for missing in &plan.missing {
        let _ = writeln!(text, "missing: {missing}");
    }
    if let Some(selected) = &plan.selected {
        let _ = writeln!(text, "a part of the survey: {selected}");
    }
    if let Some(partial) = &plan.partial {
        let _ = writeln!(text, "partial run, never to be published: {partial}");
    }
    let time = humantime::format_duration(Duration::from_secs(left.seconds.ceil() as u64));
    let _ = write!(text, "\n{} cells, {} to do, about {time}", plan.cells.len(), left.cells);
    if left.guessed > 0 {
        let _ = write!(text, " (of {} cells nothing like them was timed here yet)", left.guessed);
    }
    if plan.time_budget.is_some() {
        let _ = write!(text, "; about {} of them start within the time budget", left.within);
    }
    text
}
