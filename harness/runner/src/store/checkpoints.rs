//! What an interrupted method left: its own bytes, and what the runner had counted by then.

use std::path::PathBuf;

use quantbench_core::hash::sha256_hex;
use quantbench_core::row::{BestEpoch, MethodCost};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};

/// What the runner had counted when a method left a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Images that the method had read.
    pub images_read: u64,
    /// Labels that it had read.
    pub labels_read: u64,
    /// What it had cost.
    pub cost: MethodCost,
    /// The best of the epochs that were looked at.
    pub best: Option<BestEpoch>,
}

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    sha256: String,
    counted: Counted,
}

impl Store {
    fn checkpoint_path(&self, artefact: &str) -> PathBuf {
        self.dir.join("checkpoints").join(format!("{artefact}.bin"))
    }

    /// The checkpoint on the way to an artefact, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is not as it was written: the message names the file.
    pub fn checkpoint(&self, artefact: &str) -> Result<Option<(Counted, Vec<u8>)>, String> {
        let path = self.checkpoint_path(artefact);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("checkpoint {}: {error}", path.display())),
        };
        let damaged = || {
            let path = path.display();
            format!("checkpoint {path} is damaged; remove it to begin this cell again")
        };
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(damaged)?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|_| damaged())?;
        let rest = bytes[end + 1..].to_vec();
        if sha256_hex(&rest) != head.sha256 {
            return Err(damaged());
        }
        Ok(Some((head.counted, rest)))
    }

    /// Keeps a checkpoint in place of the one before.
    pub fn put_checkpoint(
        &self,
        artefact: &str,
        counted: Counted,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.checkpoint_path(artefact);
        let head = Head { sha256: sha256_hex(bytes), counted };
        let mut whole = serde_json::to_vec(&head)
            .map_err(|source| StoreError::Write { path: path.clone(), source: source.into() })?;
        whole.push(b'\n');
        whole.extend_from_slice(bytes);
        self.write(&path, &whole)
    }

    /// Removes the checkpoint of an artefact that is there now.
    pub fn drop_checkpoint(&self, artefact: &str) {
        // One that cannot be removed does no harm: the artefact is found first.
        let _ = std::fs::remove_file(self.checkpoint_path(artefact));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_until_it_is_dropped_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        assert_eq!(store.checkpoint("a"), Ok(None));
        let counted = Counted { images_read: 7, ..Counted::default() };
        store.put_checkpoint("a", counted, b"one\ntwo").unwrap();
        assert_eq!(store.checkpoint("a"), Ok(Some((counted, b"one\ntwo".to_vec()))));
        let path = store.checkpoint_path("a");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = store.checkpoint("a").unwrap_err();
        assert!(error.contains("a.bin is damaged"), "{error}");
        store.drop_checkpoint("a");
        assert_eq!(store.checkpoint("a"), Ok(None));
    }
}
