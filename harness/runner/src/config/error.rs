//! What can be wrong with a configuration file.

use std::path::PathBuf;

use quantbench_datasets::DataError;
use quantbench_hardware::ProfileError;
use thiserror::Error;

/// A configuration that cannot be read or resolved.
///
/// Every message names the file, the line where there is one, the key, what was expected and the
/// nearest known name.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// Text that is not YAML.
    #[error("{origin}{}: not valid YAML: {message}", at(*line))]
    Syntax {
        /// File.
        origin: String,
        /// Line, counted from one.
        line: Option<usize>,
        /// The parser's message.
        message: String,
    },
    /// A key or value that does not fit.
    #[error("{origin}{}: {message}", at(*line))]
    Key {
        /// File.
        origin: String,
        /// Line, counted from one.
        line: Option<usize>,
        /// Path of keys, the value, what was expected.
        message: String,
    },
    /// A name that no configuration knows.
    #[error("unknown {kind} {name:?}{suggestion}")]
    Unknown {
        /// `model`, `method`, `data set` or `profile`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Near match and known names, ready to print.
        suggestion: String,
    },
    /// A method with add-ons that are none, or an add-on without a method.
    #[error(transparent)]
    Method(#[from] quantbench_methods::UnknownMethod),
    /// A method name that neither the program nor a card knows.
    #[error("there is no method {name:?}{suggestion}")]
    NoMethod {
        /// The name.
        name: String,
        /// Near match and known names, ready to print.
        suggestion: String,
    },
    /// Two files of one folder that define the same name.
    #[error("{kind} {name:?} is defined twice, in {} and in {}; rename one", first.display(), second.display())]
    Duplicate {
        /// `model`, `data set`, `profile` or `external method`.
        kind: &'static str,
        /// The name.
        name: String,
        /// File read first.
        first: PathBuf,
        /// File read second.
        second: PathBuf,
    },
    /// An option that does not fit the survey.
    #[error("{option}: {message}")]
    Option {
        /// The option as typed on the command line.
        option: &'static str,
        /// What does not fit and what would.
        message: String,
    },
    /// A data set's manifest.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A target's profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

fn at(line: Option<usize>) -> String {
    line.map(|l| format!(":{l}")).unwrap_or_default()
}
