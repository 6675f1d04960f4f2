//! Writes a report of invented rows, to look at a change of layout without running a survey:
//! `cargo run -p quantbench-report --example page -- FOLDER [odd|curve|ROWS]`,
//! with the folder of row files of some run as ROWS.

use std::error::Error;
use std::path::{Path, PathBuf};

use quantbench_report::{Stored, build_with, terminal_table};

#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

/// The rows in a folder.
fn stored(folder: &Path) -> Result<Vec<quantbench_core::Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        rows.push(serde_json::from_slice(&std::fs::read(entry?.path())?)?);
    }
    Ok(rows)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("expected the folder to write to")?);
    let rows = match args.next().as_deref() {
        None => fixtures::survey(),
        Some("odd") => fixtures::odd(),
        Some("curve") => fixtures::curve(),
        Some(folder) => stored(Path::new(folder))?,
    };
    let invented = rows.iter().any(|r| r.ids.eval.starts_with("eval:"));
    let histograms = if invented { fixtures::histograms(&rows) } else { Vec::new() };
    let costs = if invented { fixtures::costs(&rows) } else { Vec::new() };
    for (name, bytes) in build_with(&Stored {
        rows: &rows,
        histograms: &histograms,
        costs: &costs,
        ..Stored::default()
    })?
    .files()
    {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)?;
    }
    eprintln!("{}", terminal_table(&rows));
    Ok(())
}
