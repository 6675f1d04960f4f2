//! `plan`: the expanded matrix, what is done, and the estimated time.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quantbench_runner::{Plan, Store, estimate};
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
    let left = estimate(&plan, &store);
    if args.json {
        let done: Vec<bool> = plan.cells.iter().map(|c| is_done(&store, c)).collect();
        let value = json!({"plan": plan, "done": done, "seconds_left": left.seconds});
        out::line(&serde_json::to_string_pretty(&value).or_failed()?)?;
    } else {
        out::line(&text(&plan, &store, &left))?;
    }
    Ok(if plan.missing.is_empty() { Exit::Done } else { Exit::Missing })
}

fn is_done(store: &Store, cell: &quantbench_runner::PlannedCell) -> bool {
    cell.ids.as_ref().is_some_and(|ids| store.has(&ids.cell))
}

fn text(plan: &Plan, store: &Store, left: &quantbench_runner::Estimate) -> String {
    let mut table = vec![["cell", "state"].map(String::from).to_vec()];
    for cell in &plan.cells {
        let state = match (is_done(store, cell), cell.ids.is_some()) {
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
    if let Some(partial) = &plan.partial {
        let _ = writeln!(text, "partial run: {partial}");
    }
    let time = humantime::format_duration(Duration::from_secs(left.seconds.ceil() as u64));
    let _ = write!(text, "\n{} cells, {} to do, about {time}", plan.cells.len(), left.cells);
    if left.guessed > 0 {
        let _ = write!(text, " (of {} cells nothing like them was timed here yet)", left.guessed);
    }
    text
}
