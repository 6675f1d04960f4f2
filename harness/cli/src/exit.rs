//! Exit codes, and the one place where an error becomes one.

use std::fmt;
use std::process::ExitCode;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All done.
    Done = 0,
    /// Some cells failed.
    SomeFailed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Something is missing here: data, runtime, CPU feature.
    Missing = 3,
    /// Results differ under `--check`.
    Differs = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error that knows its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What to print: one chain, no full stop.
    pub error: anyhow::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// What every verb returns.
pub type Outcome = Result<Exit, Failure>;

/// Gives an error its exit code.
pub trait OrExit<T> {
    /// Wrong usage or configuration.
    fn or_usage(self) -> Result<T, Failure>;
    /// The work itself failed.
    fn or_failed(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|e| Failure { exit: Exit::Usage, error: e.into() })
    }

    fn or_failed(self) -> Result<T, Failure> {
        self.map_err(|e| Failure { exit: Exit::SomeFailed, error: e.into() })
    }
}
