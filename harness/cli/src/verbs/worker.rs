//! `worker`: one cell, on behalf of `run`.

use std::process::ExitCode;

/// Reads an order from standard input and does it.
pub fn run() -> ExitCode {
    ExitCode::from(quantbench_runner::worker_main() as u8)
}
