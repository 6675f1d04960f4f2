//! A report of many invented rows, for `/usr/bin/time -v`: rows in, bytes of all files out.
//!
//!     cargo run --release -p quantbench-report --example many -- 100000
#![allow(clippy::print_stdout)] // It is a program.

#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use std::error::Error;
use std::io::{self, Write};

use quantbench_core::Family;
use quantbench_report::{Content, Folder, Stored, write_to};

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).ok_or("expected the number of rows")?.parse()?;
    let mut rows = Vec::with_capacity(count + 5);
    let mut add = |made: fixtures::Made| {
        for mut row in fixtures::rows(vec![made]) {
            // As long as those of stored rows.
            row.ids.artefact = format!("{:032x}", rows.len());
            row.ids.eval.clone_from(&row.ids.artefact);
            row.observed.commit = format!("{:040x}", 1);
            rows.push(row);
        }
    };
    let widths = ["w8a8", "w6a6", "w4a4", "w3a3", "w2a2"];
    // Five models, forty methods, five widths: a thousand groups; draws fill the rest.
    for i in 0..count {
        let (model, method) = (i % 5, i / 5 % 40);
        let (width, draw) = (widths[i / 200 % 5], (i / 1000) as u64);
        let family = Family::ALL[method % 4];
        let correct = 9000 - (method as u64) * 20 - (i / 200 % 5) as u64 * 300 + draw % 7;
        let row =
            fixtures::row(&format!("m{model}"), &format!("method{method}"), family, width, correct);
        add(if draw > 0 { row.draw(draw) } else { row });
    }
    for model in 0..5 {
        add(fixtures::fp32(&format!("m{model}"), 9173));
    }
    let start = std::time::Instant::now();
    let mut folder = Counted::default();
    write_to(&Stored { rows: &rows, ..Stored::default() }, &mut folder)?;
    let seconds = start.elapsed().as_secs_f64();
    folder.0.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (name, bytes) in folder.0.iter().take(5) {
        println!("{bytes:>12} {name}");
    }
    let bytes: usize = folder.0.iter().map(|(_, bytes)| bytes).sum();
    println!("{} rows: {bytes} bytes in {seconds:.2} s", rows.len());
    Ok(())
}

/// Names and sizes of files that nobody keeps.
#[derive(Default)]
struct Counted(Vec<(String, usize)>);

impl Folder for Counted {
    fn file(&mut self, name: &str, content: &mut Content<'_>) -> io::Result<()> {
        let mut size = Size(0);
        content(&mut size)?;
        self.0.push((name.to_string(), size.0));
        Ok(())
    }
}

struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
