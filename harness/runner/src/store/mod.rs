//! The run folder: artefacts, rows, predictions, claims, logs.

pub mod claims;
pub mod disk;
pub mod owner;
pub mod predictions;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quantbench_core::hash::sha256_hex;
use quantbench_core::row::{Machine, MethodCost, Row, SCHEMA, Status};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use claims::Claims;
use disk::{Disk, RealDisk, create_folder, remove_leftovers, write_whole};

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

/// A row file that is not a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(f, "{file} is not a row: {}; delete it and run again", self.reason)
    }
}

/// What is known about a stored artefact besides its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Making {
    /// SHA-256 of the artefact's bytes.
    pub sha256: String,
    /// Calibration images that the method read.
    pub images_read: u64,
    /// Labels that the method read.
    pub labels_read: u64,
    /// Images that the method made itself.
    pub synthetic_images: u64,
    /// Cost of the method when it made the artefact.
    pub cost: MethodCost,
    /// Threads of the runtime at that time.
    pub threads: usize,
    /// The machine that made it.
    pub machine: Machine,
}

/// A run folder, with further folders of rows that count as done.
#[derive(Clone)]
pub struct Store {
    dir: PathBuf,
    published: Vec<PathBuf>,
    disk: Arc<dyn Disk>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.dir)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

const FOLDERS: [&str; 5] = ["artefacts", "rows", "predictions", "claims", "logs"];

impl Store {
    /// Opens a run folder that exists, to read from.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        if dir.is_dir() { Ok(Self::view(dir)) } else { Err(StoreError::None(dir.to_path_buf())) }
    }

    /// Opens a run folder for writing and creates it if need be; removes what killed processes
    /// left half-written.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        let store = Self::view(dir);
        for folder in FOLDERS {
            let path = dir.join(folder);
            create_folder(&path)
                .map_err(|source| StoreError::Folder { path: dir.to_path_buf(), source })?;
            remove_leftovers(&path);
        }
        Ok(store)
    }

    /// A run folder to read from; one that does not exist is empty.
    pub fn view(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), published: Vec::new(), disk: Arc::new(RealDisk) }
    }

    /// The same store with a read-only folder of rows (`results/published/<survey>/rows`) that
    /// count as done.
    #[must_use]
    pub fn with_published(mut self, rows: &Path) -> Self {
        self.published.push(rows.to_path_buf());
        self
    }

    /// The same store writing to another disk.
    #[must_use]
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The claims of this folder.
    pub fn claims(&self) -> Claims {
        Claims::new(&self.dir.join("claims"))
    }

    /// Where a cell's row is written.
    pub fn row_path(&self, cell: &str) -> PathBuf {
        self.dir.join("rows").join(format!("{cell}.json"))
    }

    /// Where a worker's diagnostics go.
    pub fn log_path(&self, cell: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{cell}.log"))
    }

    fn artefact_path(&self, id: &str) -> PathBuf {
        self.dir.join("artefacts").join(format!("{id}.qba"))
    }

    fn predictions_path(&self, eval: &str) -> PathBuf {
        self.dir.join("predictions").join(format!("{eval}.bin"))
    }

    /// All rows, those of the run folder before published ones, and the files that are none.
    pub fn rows(&self) -> Result<(Vec<Row>, Vec<BadRow>), StoreError> {
        let (mut rows, mut bad, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        let own = self.dir.join("rows");
        for folder in std::iter::once(&own).chain(&self.published) {
            for path in row_files(folder)? {
                let name = path.file_name().map(std::ffi::OsStr::to_os_string);
                match read_row(&path)? {
                    Ok(row) if seen.insert(name) => rows.push(row),
                    Ok(_) => {}
                    Err(broken) => bad.push(broken),
                }
            }
        }
        Ok((rows, bad))
    }

    /// The row of a cell, from the run folder or a published one.
    ///
    /// A done row anywhere wins over a failed one; a broken file is reported only if no folder
    /// has a whole one.
    pub fn row(&self, cell: &str) -> Result<Option<Result<Row, BadRow>>, StoreError> {
        let own = self.dir.join("rows");
        let mut found: Option<Result<Row, BadRow>> = None;
        for folder in std::iter::once(&own).chain(&self.published) {
            let path = folder.join(format!("{cell}.json"));
            if !path.exists() {
                continue;
            }
            match (read_row(&path)?, &found) {
                (Ok(row), _) if row.status == Status::Done => return Ok(Some(Ok(row))),
                (Ok(row), None | Some(Err(_))) => found = Some(Ok(row)),
                (Err(bad), None) => found = Some(Err(bad)),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether a cell has a result.
    pub fn has(&self, cell: &str) -> bool {
        matches!(self.row(cell), Ok(Some(Ok(row))) if row.status == Status::Done)
    }

    /// A stamp that changes whenever a cell's row in the run folder is written.
    pub fn stamp(&self, cell: &str) -> Option<String> {
        fs::read(self.row_path(cell)).ok().map(|bytes| sha256_hex(&bytes))
    }

    /// Writes a cell's row.
    pub fn put_row(&self, cell: &str, row: &Row) -> Result<(), StoreError> {
        let mut json = serde_json::to_vec_pretty(row).map_err(|error| StoreError::Write {
            path: self.row_path(cell),
            source: error.into(),
        })?;
        json.push(b'\n');
        self.write(&self.row_path(cell), &json)
    }

    /// An artefact's bytes, unless it is not there or was damaged.
    pub fn artefact(&self, id: &str) -> Option<(Vec<u8>, Making)> {
        let path = self.artefact_path(id);
        let making: Making =
            serde_json::from_slice(&fs::read(path.with_extension("json")).ok()?).ok()?;
        let bytes = fs::read(&path).ok()?;
        (sha256_hex(&bytes) == making.sha256).then_some((bytes, making))
    }

    /// Writes an artefact; what is known about it comes first, so that bytes without it are none.
    pub fn put_artefact(&self, id: &str, bytes: &[u8], making: &Making) -> Result<(), StoreError> {
        let path = self.artefact_path(id);
        let facts = path.with_extension("json");
        let json = serde_json::to_vec_pretty(making)
            .map_err(|error| StoreError::Write { path: facts.clone(), source: error.into() })?;
        self.write(&facts, &json)?;
        self.write(&path, bytes)
    }

    /// The predicted classes of an evaluation, unless they are not there or were damaged.
    pub fn predictions(&self, eval: &str) -> Option<Vec<u16>> {
        predictions::unpack(&fs::read(self.predictions_path(eval)).ok()?)
    }

    /// Writes the predicted classes of an evaluation.
    pub fn put_predictions(&self, eval: &str, classes: &[u16]) -> Result<(), StoreError> {
        let path = self.predictions_path(eval);
        let bytes = predictions::pack(classes)
            .map_err(|source| StoreError::Write { path: path.clone(), source })?;
        self.write(&path, &bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        write_whole(self.disk.as_ref(), path, bytes)
            .map_err(|source| StoreError::Write { path: path.to_path_buf(), source })
    }
}

/// Writes a file whole or not at all, and its folder if need be.
///
/// # Errors
/// The reason without the file's name, which the caller adds.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        create_folder(folder)?;
    }
    write_whole(&RealDisk, path, bytes)
}

/// The row files of a folder by name; a folder that does not exist has none.
fn row_files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::Read { path: folder.to_path_buf(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_row(path: &Path) -> Result<Result<Row, BadRow>, StoreError> {
    let bytes =
        fs::read(path).map_err(|source| StoreError::Read { path: path.to_path_buf(), source })?;
    let bad = |reason: String| Ok(Err(BadRow { file: path.to_path_buf(), reason }));
    let version = serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .and_then(|v| v.get("schema").and_then(serde_json::Value::as_u64));
    if let Some(found) = version.filter(|v| *v != u64::from(SCHEMA)) {
        return bad(format!("its layout has version {found}, this quantbench reads {SCHEMA}"));
    }
    match serde_json::from_slice::<Row>(&bytes) {
        Ok(row) => Ok(Ok(row)),
        Err(error) => bad(error.to_string()),
    }
}
