//! What this machine offers a plan: data folders, the runtime's version, the instruction set.

use std::collections::BTreeMap;
use std::sync::Mutex;

use quantbench_datasets::{DataError, DataRoots, DatasetManifest, Part};
use quantbench_engine::Runtime;

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

    /// Order-free hash of a split: from the manifest, else by loading it, which is
    /// quick where its canonical order is in the cache.
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
        let hash = quantbench_datasets::load(manifest, part, &self.roots)?.hash;
        if let Ok(mut map) = self.hashes.lock() {
            map.insert(key, hash.clone());
        }
        Ok(hash)
    }
}
