//! `probe`: which 8-bit kernels this process gets, on behalf of `doctor`.

use quantbench_engine::{Runtime, byte_products};

use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;

/// Prints one line.
pub fn run() -> Outcome {
    let runtime =
        Runtime::load().map_err(|error| Failure { exit: Exit::Missing, error: error.into() })?;
    let found = byte_products(runtime).or_failed()?;
    out::line(&found.to_string())?;
    Ok(Exit::Done)
}
