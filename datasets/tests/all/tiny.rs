//! Tiny data sets on disk.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use quantbench_datasets::{
    DataError, DataRoots, DatasetManifest, Loader, Part, Parts, Split, load,
};
use tempfile::TempDir;

/// Pixels of one image: three channels of 2x2.
pub const PIXELS: usize = 12;

/// Records of the CIFAR-10 layout: label `i % 3`, pixels that count up from `first`.
pub fn records(first: u8, count: u8) -> Vec<u8> {
    let record = |i: u8| {
        std::iter::once(i % 3).chain((0..PIXELS as u8).map(move |p| p.wrapping_add(first + 20 * i)))
    };
    (0..count).flat_map(record).collect()
}

/// A manifest of two training files and a test file in the layout of CIFAR-10.
pub fn manifest() -> DatasetManifest {
    DatasetManifest {
        name: "tiny".into(),
        summary: "Tiny.".into(),
        loader: Loader::Cifar10,
        classes: 3,
        class_names: None,
        dims: [3, 2, 2],
        files: Parts {
            train: vec!["tiny/a.bin".into(), "tiny/b.bin".into()],
            test: vec!["tiny/t.bin".into()],
        },
        archives: Vec::new(),
        images: None,
        hashes: None,
        source: "generated".into(),
        licence: "none stated".into(),
    }
}

/// A temporary folder with `user/` as the only root and `cache/` as the cache.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(place.0.path().join("user")).unwrap();
        place
    }

    pub fn roots(&self) -> DataRoots {
        DataRoots { dirs: vec![self.0.path().join("user")], cache: self.0.path().join("cache") }
    }

    /// Writes a file below the user's folder.
    pub fn put(&self, file: &str, bytes: &[u8]) {
        let path = self.0.path().join("user").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes the three files of [`manifest`].
    pub fn put_all(&self) {
        self.put("tiny/a.bin", &records(0, 4));
        self.put("tiny/b.bin", &records(100, 3));
        self.put("tiny/t.bin", &records(50, 5));
    }

    pub fn load(&self, manifest: &DatasetManifest, part: Part) -> Result<Split, DataError> {
        load(manifest, part, &self.roots())
    }

    /// The message of the error that loading the training split must give.
    pub fn complaint(&self, manifest: &DatasetManifest) -> String {
        match self.load(manifest, Part::Train) {
            Ok(split) => panic!("loaded {} images", split.len()),
            Err(error) => error.to_string(),
        }
    }

    /// Names of everything in the cache but the kept orders, sorted.
    pub fn cached(&self) -> Vec<String> {
        fn walk(dir: &Path, base: &Path, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() && std::fs::read_dir(&path).unwrap().next().is_some() {
                    walk(&path, base, out);
                } else {
                    out.push(path.strip_prefix(base).unwrap().display().to_string());
                }
            }
        }
        let cache = self.0.path().join("cache");
        let mut out = Vec::new();
        walk(&cache, &cache, &mut out);
        out.retain(|name| !name.starts_with("index/"));
        out.sort();
        out
    }
}

impl Place {
    /// The files with kept orders.
    pub fn kept(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path().join("cache/index"));
        let mut kept: Vec<PathBuf> =
            entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        kept.sort();
        kept
    }
}

/// A tar of the given entries; names are written raw, so that they may be hostile.
pub fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    quantbench_core::hash::sha256_hex(bytes)
}
