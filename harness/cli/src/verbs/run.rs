//! `run`: the cells of a survey that have no row yet.

use std::path::Path;

use anyhow::Context;
use quantbench_runner::{RunError, RunOptions, Store, StoreError, Summary};

use crate::args::RunArgs;
use crate::context;
use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;
use crate::progress::Progress;
use crate::signals;
use crate::verbs::cost::store_costs;

/// Runs, with progress on standard error and the table of results on standard output.
pub fn run(args: &RunArgs, configs: Option<&Path>) -> Outcome {
    let catalog = context::catalog(configs)?;
    let (survey, plan) = context::planned(&args.survey, &args.filter, &catalog)?;
    let dir = context::run_folder(args.out.as_deref(), &survey.name);
    let program =
        std::env::current_exe().context("cannot find this program's own file").or_failed()?;
    let options = RunOptions {
        dir: dir.clone(),
        published: vec![context::published(&survey.name)],
        jobs: args.jobs,
        threads: args.threads.unwrap_or_else(|| (context::cores() / args.jobs).max(1)),
        worker: vec![program.into(), "worker".into()],
        shard: args.shard,
        keep_going: true,
        retry_failed: true,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        commit: env!("QUANTBENCH_COMMIT").to_string(),
    };
    for (label, reason) in &plan.unfit {
        out::say(&format!("left out: {label}: {reason}"));
    }
    for remark in &plan.remarks {
        out::say(&format!("note: {remark}"));
    }
    if let Some(selected) = &plan.selected {
        out::say(&format!("a part of the survey: {selected}"));
    }
    if let Some(partial) = &plan.partial {
        out::say(&format!("partial run, never to be published: {partial}"));
    }
    signals::catch_interrupts();
    let mut progress = Progress::new();
    let summary = quantbench_runner::run(
        &plan,
        &catalog,
        &options,
        &mut |event| progress.show(event),
        &signals::INTERRUPTED,
    )
    .map_err(failure)?;
    let profiles = survey.profiles.iter().map(|name| catalog.profile(&name.value));
    let profiles: Vec<_> = profiles.collect::<Result<_, _>>().or_usage()?;
    store_costs(&Store::view(&dir), &profiles)?;
    let (rows, _) =
        Store::view(&dir).with_published(&context::published(&survey.name)).rows().or_failed()?;
    out::line(&quantbench_report::terminal_table(&rows))?;
    Ok(close(&summary, &dir))
}

fn failure(error: RunError) -> Failure {
    let exit = match error {
        RunError::Missing(_) => Exit::Missing,
        RunError::Config(_)
        | RunError::InTheWay(_)
        | RunError::Store(StoreError::Folder { .. }) => Exit::Usage,
        _ => Exit::SomeFailed,
    };
    Failure { exit, error: error.into() }
}

/// Says how it ended and what to type next.
fn close(summary: &Summary, dir: &Path) -> Exit {
    let Summary { total, before, done, elsewhere, failed, left, interrupted, out_of_time } =
        summary;
    out::say(&format!(
        "{total} cells: {before} were done before, {done} done now, {elsewhere} by other \
         processes, {} failed, {left} left",
        failed.len()
    ));
    for (label, reason) in failed {
        out::say(&format!("failed: {label}: {reason}"));
    }
    if *out_of_time {
        out::say(&format!("the time budget is used up, {left} cells are left"));
    }
    if *interrupted || *left > 0 {
        out::say("run the same command again to go on");
    }
    out::say(&format!("next: quantbench report {}", dir.display()));
    // A time budget that is used up is what was asked for; the cells done tell how it went.
    let complete = *left == 0 || (*out_of_time && !interrupted);
    if failed.is_empty() && complete { Exit::Done } else { Exit::SomeFailed }
}
