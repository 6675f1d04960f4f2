//! What can be wrong with a run folder.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A run folder that cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No such run folder.
    #[error("there is no run folder {}; `quantbench run` makes one", .0.display())]
    None(PathBuf),
    /// A folder that cannot be made.
    #[error("cannot make the run folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        source: io::Error,
    },
    /// A file that cannot be written; nothing half-written is left.
    #[error("cannot write {}: {source}; nothing half-written was left", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        source: io::Error,
    },
    /// A claim that cannot be checked or taken.
    #[error("cannot claim cells in {}: {source}", path.display())]
    Claim {
        /// Folder of the claims.
        path: PathBuf,
        /// The reason of the operating system.
        source: io::Error,
    },
}
