//! A report of many invented rows, for `/usr/bin/time -v`: rows in, bytes of all files out.
//!
//!     cargo run --release -p quantbench-report --example many -- 100000
#![allow(clippy::print_stdout)] // It is a program.

#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use std::error::Error;

use quantbench_core::Family;
use quantbench_report::build;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).ok_or("expected the number of rows")?.parse()?;
    let mut made = Vec::with_capacity(count);
    let widths = ["w8a8", "w6a6", "w4a4", "w3a3", "w2a2"];
    // Five models, forty methods, five widths: a thousand groups; draws fill the rest.
    for i in 0..count {
        let (model, method) = (i % 5, i / 5 % 40);
        let (width, draw) = (widths[i / 200 % 5], (i / 1000) as u64);
        let family = Family::ALL[method % 4];
        let correct = 9000 - (method as u64) * 20 - (i / 200 % 5) as u64 * 300 + draw % 7;
        let row =
            fixtures::row(&format!("m{model}"), &format!("method{method}"), family, width, correct);
        made.push(if draw > 0 { row.draw(draw) } else { row });
    }
    for model in 0..5 {
        made.push(fixtures::fp32(&format!("m{model}"), 9173));
    }
    let rows = fixtures::rows(made);
    let start = std::time::Instant::now();
    let report = build(&rows)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut files = report.into_files();
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    files.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
    for (name, bytes) in files.iter().take(5) {
        println!("{:>12} {name}", bytes.len());
    }
    println!("{} rows: {bytes} bytes in {:.2} s", rows.len(), seconds);
    Ok(())
}
