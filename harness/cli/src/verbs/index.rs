//! `index`: one page over the run folders of a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use quantbench_report::index::{Folder, page};
use quantbench_report::{Findings, Stored};
use quantbench_runner::{Store, write_atomic};

use crate::args::IndexArgs;
use crate::context::rows_of;
use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;

/// Prints the page, or writes it.
pub fn run(args: &IndexArgs) -> Outcome {
    let name = args.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut all = Vec::new();
    for folder in folders(&args.dir)? {
        let rows = rows_of(&Store::open(&folder).or_usage()?)?;
        let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push((format!("{name}/{own}"), rows));
    }
    let mut findings = Vec::new();
    for (path, rows) in &all {
        let stored = Stored { rows, ..Stored::default() };
        let found = Findings::without_figures(&stored).with_context(|| format!("folder {path}"));
        findings.push((path, found.or_usage()?));
    }
    let folders: Vec<Folder<'_, '_>> = findings
        .iter()
        .map(|(path, findings)| Folder { path: (*path).clone(), findings })
        .collect();
    let text = page(&folders, &format!("quantbench index {}", args.dir.display()));
    match &args.out {
        None => out::line(&text)?,
        Some(path) => write_atomic(path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
            .or_failed()?,
    }
    Ok(Exit::Done)
}

/// The folders that hold rows, by name.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read {}; expected a folder of run folders", dir.display()))
        .or_usage()?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.join("rows").is_dir()).collect();
    folders.sort();
    if folders.is_empty() {
        let error = anyhow!("{}: no folder in it holds rows; expected run folders", dir.display());
        return Err(error).or_usage();
    }
    Ok(folders)
}
