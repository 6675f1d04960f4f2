//! What this machine offers a plan: data folders, the runtime's version, the instruction set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use quantbench_core::hash::{id_of, sha256_hex};
use quantbench_datasets::{DataError, DataRoots, DatasetManifest, Part};
use quantbench_engine::Runtime;

use crate::store::write_atomic;

/// What is found on this machine.
#[derive(Debug)]
pub struct Here {
    /// Where data and models are looked for.
    pub roots: DataRoots,
    /// Version of the runtime library, or why there is none.
    pub runtime: Result<String, String>,
    /// Class of the instruction set.
    pub isa: String,
    hashes: Mutex<BTreeMap<(String, Part), String>>,
}

impl Here {
    /// Looks around: environment, runtime library, CPU.
    pub fn look() -> Self {
        let runtime = Runtime::locate().and_then(|path| Runtime::check(&path));
        let runtime = runtime.map_err(|error| error.to_string());
        Self::with(DataRoots::from_env(), runtime, quantbench_measure::isa_class())
    }

    /// As told.
    pub fn with(roots: DataRoots, runtime: Result<String, String>, isa: String) -> Self {
        Self { roots, runtime, isa, hashes: Mutex::default() }
    }

    /// Order-free hash of a split: from the manifest, else computed once and kept in the cache.
    pub fn split_hash(&self, manifest: &DatasetManifest, part: Part) -> Result<String, DataError> {
        if let Some(hashes) = &manifest.hashes {
            return Ok(hashes.of(part).clone());
        }
        let key = (manifest.name.clone(), part);
        let known = |map: &Mutex<BTreeMap<_, String>>| {
            map.lock().ok().and_then(|map| map.get(&key).cloned())
        };
        if let Some(hash) = known(&self.hashes) {
            return Ok(hash);
        }
        let file = self.cache_file(manifest, part);
        let hash = match std::fs::read_to_string(&file) {
            Ok(text) if text.len() == 64 => text,
            _ => {
                let hash = quantbench_datasets::load(manifest, part, &self.roots)?.hash;
                // Without a cache the hash is computed again the next time: slower, not wrong.
                let _ = write_atomic(&file, hash.as_bytes());
                hash
            }
        };
        if let Ok(mut map) = self.hashes.lock() {
            map.insert(key, hash.clone());
        }
        Ok(hash)
    }

    /// Where the hash of a split is kept: named by the manifest, the program, and path, size and
    /// time of every file that the split is read from.
    fn cache_file(&self, manifest: &DatasetManifest, part: Part) -> PathBuf {
        let archives = manifest.archives.iter().map(|a| &a.file);
        let files: Vec<String> = manifest
            .files
            .of(part)
            .iter()
            .chain(archives)
            .filter_map(|file| self.roots.find(file))
            .map(|path| stamp(&path))
            .collect();
        let program = std::env::current_exe().map(|p| stamp(&p)).unwrap_or_default();
        let manifest = serde_json::to_string(manifest).unwrap_or_default();
        let id = id_of(&(sha256_hex(manifest.as_bytes()), part, files, program));
        self.roots.cache.join("hashes").join(id)
    }
}

/// Path, size and time of a file.
fn stamp(path: &Path) -> String {
    let metadata = std::fs::metadata(path);
    let facts = metadata.map(|m| format!("{} {:?}", m.len(), m.modified())).unwrap_or_default();
    format!("{} {facts}", path.display())
}
