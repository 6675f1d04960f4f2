//! The run folder: artefacts, rows, predictions, statistics, claims, logs.

mod asked;
mod checkpoints;
pub mod claims;
mod costs;
pub mod disk;
mod error;
mod facts;
pub mod histograms;
pub mod owner;
pub mod predictions;
mod rows;
pub mod statistics;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quantbench_core::Histograms;
use quantbench_core::hash::sha256_hex;
use quantbench_core::row::{Row, Status};

pub use asked::{Asked, missing};
pub use checkpoints::Counted;
use claims::Claims;
pub use error::StoreError;
pub use facts::ArtefactFacts;
pub use rows::{BadRow, Fault, Read, Snapshot};
use rows::{best, files_of, read_row};

use disk::{Disk, RealDisk, create_folder, remove_leftovers, write_whole, write_whole_of};
use statistics::Kept;

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

/// Ending of an artefact in our own format.
const PACKED: &str = "qba";
/// Ending of one that an external method left.
const FOREIGN: &str = "onnx";

/// How the name of a file of histograms ends.
const HISTOGRAMS: &str = ".json.z";

const FOLDERS: [&str; 9] = [
    "artefacts",
    "costs",
    "rows",
    "predictions",
    "statistics",
    "histograms",
    "checkpoints",
    "claims",
    "logs",
];

impl Store {
    /// Opens a run folder that exists, to read from.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        if dir.is_dir() { Ok(Self::view(dir)) } else { Err(StoreError::None(dir.to_path_buf())) }
    }

    /// Opens a run folder for writing and creates it if need be; sweeps it.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        let store = Self::view(dir);
        for folder in FOLDERS {
            let path = dir.join(folder);
            create_folder(&path)
                .map_err(|source| StoreError::Folder { path: dir.to_path_buf(), source })?;
        }
        store.sweep();
        Ok(store)
    }

    /// Removes what killed processes left behind, half-written files and claims; those of living
    /// ones stay.
    pub fn sweep(&self) {
        // A claim that cannot be removed now goes stale by itself.
        let _ = self.claims().sweep();
        for folder in FOLDERS {
            remove_leftovers(&self.dir.join(folder));
        }
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

    fn artefact_path(&self, id: &str, ending: &str) -> PathBuf {
        self.dir.join("artefacts").join(format!("{id}.{ending}"))
    }

    fn statistics_path(&self, id: &str) -> PathBuf {
        self.dir.join("statistics").join(format!("{id}.bin"))
    }

    fn predictions_path(&self, eval: &str) -> PathBuf {
        self.dir.join("predictions").join(format!("{eval}.bin"))
    }

    /// Every row at this moment.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let own = self.dir.join("rows");
        let folders = std::iter::once(&own).chain(&self.published);
        Snapshot::read(folders.map(PathBuf::as_path))
    }

    /// All rows, those of the run folder before published ones, and the files that are none.
    pub fn rows(&self) -> Result<(Vec<Row>, Vec<BadRow>), StoreError> {
        Ok(self.snapshot()?.into_parts())
    }

    /// The row of a cell, from the run folder or a published one, as [`Snapshot::row`] chooses.
    pub fn row(&self, cell: &str) -> Result<Option<Read>, StoreError> {
        let own = self.dir.join("rows");
        let mut readings = Vec::new();
        for folder in std::iter::once(&own).chain(&self.published) {
            let path = folder.join(format!("{cell}.json"));
            if path.exists() {
                readings.push(read_row(&path)?);
            }
        }
        Ok(best(readings.iter()).cloned())
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

    /// Copies a cell's done row from a published folder, unless the run folder has one.
    ///
    /// The bytes are copied: numbers that are read and written again may differ in the last digit.
    pub fn adopt(&self, cell: &str) -> Result<(), StoreError> {
        if self.published.is_empty() || Self::view(&self.dir).has(cell) {
            return Ok(());
        }
        for folder in &self.published {
            let path = folder.join(format!("{cell}.json"));
            if path.exists() && matches!(read_row(&path)?, Ok(row) if row.status == Status::Done) {
                let bytes = fs::read(&path).map_err(|source| StoreError::Read { path, source })?;
                return self.write(&self.row_path(cell), &bytes);
            }
        }
        Ok(())
    }

    /// An artefact's bytes, unless it is not there or was damaged.
    pub fn artefact(&self, id: &str) -> Option<(Vec<u8>, ArtefactFacts)> {
        Self::held(&self.artefact_path(id, PACKED))
    }

    /// The ONNX file of an external method, unless it is not there or was damaged.
    pub fn foreign(&self, id: &str) -> Option<(Vec<u8>, ArtefactFacts)> {
        Self::held(&self.artefact_path(id, FOREIGN))
    }

    fn held(path: &Path) -> Option<(Vec<u8>, ArtefactFacts)> {
        let facts: ArtefactFacts =
            serde_json::from_slice(&fs::read(path.with_extension("json")).ok()?).ok()?;
        let bytes = fs::read(path).ok()?;
        (sha256_hex(&bytes) == facts.sha256).then_some((bytes, facts))
    }

    /// Writes an artefact; what is known about it comes first, so that bytes without it are none.
    pub fn put_artefact(
        &self,
        id: &str,
        bytes: &[u8],
        facts: &ArtefactFacts,
    ) -> Result<(), StoreError> {
        self.keep(&self.artefact_path(id, PACKED), bytes, facts)
    }

    /// Writes the ONNX file of an external method, as [`Store::put_artefact`] does.
    pub fn put_foreign(
        &self,
        id: &str,
        bytes: &[u8],
        facts: &ArtefactFacts,
    ) -> Result<(), StoreError> {
        self.keep(&self.artefact_path(id, FOREIGN), bytes, facts)
    }

    fn keep(&self, path: &Path, bytes: &[u8], facts: &ArtefactFacts) -> Result<(), StoreError> {
        let beside = path.with_extension("json");
        let json = serde_json::to_vec_pretty(facts)
            .map_err(|error| StoreError::Write { path: beside.clone(), source: error.into() })?;
        self.write(&beside, &json)?;
        self.write(path, bytes)
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

    /// The labels of a test split in canonical order, unless they are not there or were damaged.
    pub fn labels(&self, test_data: &str) -> Option<Vec<u16>> {
        self.predictions(&labels_name(test_data))
    }

    /// Writes the labels of a test split once, so that a report can tell which predictions are
    /// right.
    pub fn put_labels(&self, test_data: &str, labels: &[u16]) -> Result<(), StoreError> {
        if self.labels(test_data).is_some_and(|kept| kept == labels) {
            return Ok(());
        }
        self.put_predictions(&labels_name(test_data), labels)
    }

    /// Kept summaries of activations, unless they are not there or were damaged.
    pub fn statistics(&self, id: &str) -> Option<Kept> {
        Kept::read(&fs::read(self.statistics_path(id)).ok()?)
    }

    /// Writes summaries of activations.
    pub fn put_statistics(&self, id: &str, kept: &Kept) -> Result<(), StoreError> {
        self.write(&self.statistics_path(id), &kept.write())
    }

    fn histograms_path(&self, artefact: &str) -> PathBuf {
        self.dir.join("histograms").join(format!("{artefact}{HISTOGRAMS}"))
    }

    /// The histograms of an artefact, unless they are not there or were damaged.
    pub fn histograms(&self, artefact: &str) -> Option<Histograms> {
        histograms::unpack(&fs::read(self.histograms_path(artefact)).ok()?).ok()
    }

    /// Writes the histograms of an artefact.
    pub fn put_histograms(&self, artefact: &str, all: &Histograms) -> Result<(), StoreError> {
        let path = self.histograms_path(artefact);
        let bytes = histograms::pack(all)
            .map_err(|source| StoreError::Write { path: path.clone(), source })?;
        self.write(&path, &bytes)
    }

    /// All histograms of the run folder by file name, and the files that are none; a folder
    /// without histograms has none.
    pub fn all_histograms(&self) -> Result<(Vec<Histograms>, Vec<BadRow>), StoreError> {
        let (mut all, mut bad) = (Vec::new(), Vec::new());
        for file in files_of(&self.dir.join("histograms"), HISTOGRAMS)? {
            let bytes = fs::read(&file)
                .map_err(|source| StoreError::Read { path: file.clone(), source })?;
            match histograms::unpack(&bytes) {
                Ok(one) => all.push(one),
                Err(reason) => bad.push(BadRow { file, reason, fault: Fault::Damaged }),
            }
        }
        Ok((all, bad))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        write_whole(self.disk.as_ref(), path, bytes)
            .map_err(|source| StoreError::Write { path: path.to_path_buf(), source })
    }
}

/// Labels lie beside predictions, named by their split.
fn labels_name(test_data: &str) -> String {
    format!("labels-{}", test_data.get(..32).unwrap_or(test_data))
}

/// Writes a file whole or not at all, and its folder if need be.
///
/// # Errors
/// The reason without the file's name, which the caller adds.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_of(path, &mut |file| file.write_all(bytes))
}

/// As [`write_atomic`], of what `content` writes.
///
/// # Errors
/// As there, and those of `content`.
pub fn write_atomic_of(
    path: &Path,
    content: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        create_folder(folder)?;
    }
    write_whole_of(&RealDisk, path, content)
}

#[cfg(test)]
mod tests {
    use super::disk::tests::FullDisk;
    use super::*;
    use quantbench_core::row::{Cell, Ids, Machine, MethodCost, Observed, SCHEMA};

    fn row(reason: Option<&str>) -> Row {
        Row {
            schema: SCHEMA,
            survey: "tiny".into(),
            cell: Cell {
                model: "m".into(),
                dataset: "d".into(),
                method: "fp32".into(),
                method_version: 1,
                family: None,
                needs: quantbench_core::Needs::Nothing,
                params: quantbench_core::Params::new(),
                spec: None,
                calibration_images: 0,
                draw: None,
                seed: None,
                test_images: None,
                deployed: false,
                maker: None,
            },
            ids: Ids::default(),
            status: if reason.is_some() { Status::Failed } else { Status::Done },
            reason: reason.map(str::to_string),
            result: None,
            observed: Observed::default(),
        }
    }

    fn facts(bytes: &[u8]) -> ArtefactFacts {
        ArtefactFacts {
            sha256: sha256_hex(bytes),
            images_read: 3,
            labels_read: 0,
            synthetic_images: 0,
            best_epoch: None,
            notes: vec![],
            evidence: quantbench_core::Evidence::default(),
            cost: MethodCost::default(),
            shared_cpu_s: 0.0,
            reported: None,
            confinement: None,
            threads: 2,
            jobs: 1,
            machine: Machine::default(),
        }
    }

    #[test]
    fn a_published_row_is_copied_byte_for_byte_unless_a_done_one_is_there() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let published = Store::create(other.path()).unwrap();
        for cell in ["a", "b", "c"] {
            published.put_row(cell, &row(None)).unwrap();
        }
        published.put_row("d", &row(Some("why"))).unwrap();
        let mut bytes = fs::read(published.row_path("a")).unwrap();
        bytes.extend(b"\n\n");
        fs::write(published.row_path("a"), &bytes).unwrap();
        let store = Store::create(own.path()).unwrap().with_published(&other.path().join("rows"));
        let mine = Row { survey: "mine".into(), ..row(None) };
        store.put_row("b", &mine).unwrap();
        store.put_row("c", &row(Some("failed here"))).unwrap();
        for cell in ["a", "b", "c", "d", "e"] {
            store.adopt(cell).unwrap();
        }
        let own = Store::view(own.path());
        assert_eq!(fs::read(own.row_path("a")).unwrap(), bytes);
        assert_eq!(own.row("b").unwrap().unwrap().unwrap(), mine);
        assert!(own.has("c"), "a done row replaces a failed one");
        assert!(own.row("d").unwrap().is_none(), "failed rows are not copied");
        assert!(own.row("e").unwrap().is_none());
    }

    #[test]
    fn artefacts_and_predictions_come_back_and_damaged_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        assert!(store.artefact("a").is_none());
        store.put_artefact("a", b"bytes", &facts(b"bytes")).unwrap();
        assert_eq!(store.artefact("a"), Some((b"bytes".to_vec(), facts(b"bytes"))));
        fs::write(store.artefact_path("a", PACKED), b"byte").unwrap();
        assert!(store.artefact("a").is_none());
        store.put_predictions("e", &[3, 1, 4]).unwrap();
        assert_eq!(store.predictions("e"), Some(vec![3, 1, 4]));
        fs::write(store.predictions_path("e"), b"QBPRED1\n").unwrap();
        assert!(store.predictions("e").is_none());
    }

    #[test]
    fn histograms_come_back_and_damaged_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        assert_eq!(store.all_histograms().unwrap(), (Vec::new(), Vec::new()));
        let one = Histograms { artefact: "a".into(), images: 0, layers: Vec::new() };
        store.put_histograms("a", &one).unwrap();
        store.put_histograms("b", &one).unwrap();
        fs::write(store.histograms_path("b"), b"none").unwrap();
        assert_eq!(store.histograms("a"), Some(one.clone()));
        assert_eq!(store.histograms("b"), None);
        let (all, bad) = store.all_histograms().unwrap();
        assert_eq!((all, bad[0].file.clone()), (vec![one], store.histograms_path("b")));
        assert_eq!(Store::view(Path::new("/nowhere")).all_histograms().unwrap().0, []);
    }

    #[test]
    fn a_done_row_wins_wherever_it_lies() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let published = Store::create(other.path()).unwrap();
        published.put_row("c", &row(None)).unwrap();
        let store = Store::create(own.path()).unwrap();
        assert!(store.row("c").unwrap().is_none());
        store.put_row("c", &row(Some("why"))).unwrap();
        assert!(!store.has("c"));
        let both = store.clone().with_published(&other.path().join("rows"));
        assert!(both.has("c"));
        fs::write(store.row_path("c"), b"{}").unwrap();
        assert!(both.has("c"));
        let (rows, bad) = both.rows().unwrap();
        assert_eq!((rows.len(), bad.len()), (1, 1));
        assert!(store.row("c").unwrap().unwrap().is_err());
        assert!(Store::view(Path::new("/nowhere/at/all")).rows().unwrap().0.is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_device_is_not_replaced_and_the_error_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let path = store.row_path("c");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let text = store.put_row("c", &row(None)).unwrap_err().to_string();
        let start = format!("cannot write {}: there is something of this name", path.display());
        assert!(text.starts_with(&start), "{text}");
        assert!(path.exists() && !path.is_file());
    }

    #[test]
    fn on_a_full_disk_every_write_says_so_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap().on_disk(Arc::new(FullDisk { room: 9 }));
        for error in [
            store.put_row("c", &row(None)).unwrap_err(),
            store.put_predictions("e", &[1; 1000]).unwrap_err(),
            store.put_artefact("a", b"bytes", &facts(b"bytes")).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("cannot write "), "{text}");
            assert!(text.contains("No space left on device"), "{text}");
        }
        for part in FOLDERS {
            assert_eq!(fs::read_dir(folder.path().join(part)).unwrap().count(), 0, "{part}");
        }
    }
}
