//! By what a kept index recognises its files: names, sizes, times and inodes, not contents.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The identity of a list of files, and of what the manifest makes of them.
pub(crate) struct Stamp {
    /// Over what says which split of which folder this is: it names the kept file.
    place: Sha256,
    /// Over everything, sizes and times included: it must be equal.
    key: Sha256,
}

impl Stamp {
    /// Begins with what the manifest says.
    pub(crate) fn new(about: &[u8]) -> Self {
        let mut stamp = Self { place: Sha256::new(), key: Sha256::new() };
        stamp.key.update((about.len() as u64).to_le_bytes());
        stamp.key.update(about);
        stamp
    }

    /// Adds a folder or file by which the split is found again.
    pub(crate) fn place(&mut self, path: &Path) {
        self.place.update(path.as_os_str().as_bytes());
        self.place.update([0]);
    }

    /// Adds a file with its facts.
    ///
    /// The time of the last change of the inode is part of them: tools can set back the time of
    /// modification, but not that one.
    pub(crate) fn file(&mut self, path: &Path, facts: &Metadata) {
        self.key.update(path.as_os_str().as_bytes());
        self.key.update([0]);
        self.key.update(facts.len().to_le_bytes());
        self.key.update(facts.dev().to_le_bytes());
        self.key.update(facts.ino().to_le_bytes());
        for time in [facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec()] {
            self.key.update(time.to_le_bytes());
        }
    }

    /// Place and key.
    pub(crate) fn finish(self) -> ([u8; 32], [u8; 32]) {
        (self.place.finalize().into(), self.key.finalize().into())
    }
}
