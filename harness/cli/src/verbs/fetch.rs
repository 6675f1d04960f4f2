//! `fetch`: downloads what manifests and model cards name, and says what to get by hand.

mod download;
mod items;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use quantbench_datasets::DataRoots;

use crate::args::FetchArgs;
use crate::context;
use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;
use download::{Limits, download};
use items::{Item, State, Wanted};

/// Goes through what was asked for, one line each; one that fails does not keep the others back.
pub fn run(args: &FetchArgs, configs: Option<&Path>) -> Outcome {
    let catalog = context::catalog(configs)?;
    let roots = roots(args);
    let target = target(args, &roots)?;
    let wanted = items::wanted(&args.names, args.all, &catalog)?;
    let mut missing = 0;
    for one in &wanted {
        match one.state(&roots) {
            State::Here(place) => out::line(&format!("here     {}: {place}", one.title()))?,
            State::Wrong(reason) => {
                missing += 1;
                out::line(&format!("wrong    {}: {reason}", one.title()))?;
            }
            State::Absent(items) => {
                for item in &items {
                    if let Err(reason) = get(one, item, &target)? {
                        missing += 1;
                        out::line(&format!(
                            "missing  {}: {}; {}",
                            one.title(),
                            reason.trim_end_matches('.'),
                            by_hand(item, &target)
                        ))?;
                    }
                }
            }
        }
    }
    if !roots.dirs.contains(&target) && missing < wanted.len() {
        out::say(&format!("set QUANTBENCH_DATA to {}, so that it is found", target.display()));
    }
    Ok(if missing == 0 { Exit::Done } else { Exit::Missing })
}

/// Gets one file; the inner error is what kept it away.
fn get(one: &Wanted<'_>, item: &Item, target: &Path) -> Result<Result<(), String>, Failure> {
    let Some(url) = &item.url else {
        return Ok(Err(format!("no address is stated, its source is: {}", one.source())));
    };
    let path = target.join(&item.file);
    out::say(&format!("fetching {url}"));
    match download(url, &path, &item.sum, &Limits::default(), &mut |line| out::say(line)) {
        Ok(bytes) => {
            let (title, sum) = (one.title(), &item.sum);
            out::line(&format!("fetched  {title}: {} ({bytes} bytes, {sum})", path.display()))?;
            Ok(Ok(()))
        }
        Err(problem) => Ok(Err(problem.to_string())),
    }
}

/// What to do without this program.
fn by_hand(item: &Item, target: &Path) -> String {
    let what = item.url.as_deref().unwrap_or("it");
    format!("get {what} by hand, with {}, as {}", item.sum, target.join(&item.file).display())
}

/// The folders of the environment, and the one of the command line first.
fn roots(args: &FetchArgs) -> DataRoots {
    let mut roots = DataRoots::from_env();
    if let Some(to) = &args.to
        && !roots.dirs.contains(to)
    {
        roots.dirs.insert(0, to.clone());
    }
    roots
}

/// Where files go.
fn target(args: &FetchArgs, roots: &DataRoots) -> Result<PathBuf, Failure> {
    let chosen = args.to.clone().or_else(|| roots.dirs.first().cloned());
    chosen
        .ok_or_else(|| anyhow!("nowhere to put files: set QUANTBENCH_DATA, or add --to DIR"))
        .or_usage()
}
