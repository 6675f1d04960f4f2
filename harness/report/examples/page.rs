//! Writes a report of invented rows, to look at a change of layout without running a survey:
//! `cargo run -p quantbench-report --example page -- FOLDER [odd]`.

use std::error::Error;
use std::path::PathBuf;

use quantbench_report::{build, terminal_table};

#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("expected the folder to write to")?);
    let rows = if args.next().is_some() { fixtures::odd() } else { fixtures::survey() };
    for (name, bytes) in build(&rows)?.files() {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)?;
    }
    eprintln!("{}", terminal_table(&rows));
    Ok(())
}
