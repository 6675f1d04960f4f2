//! Row files: reading one, reading all, and what is wrong with those that are no rows.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quantbench_core::row::{Row, SCHEMA, Status};
use rayon::prelude::*;
use serde::Deserialize;

use crate::plan::PlannedCell;
use crate::store::StoreError;

/// What kind of thing is wrong with a row file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its content is no row, or that of another cell.
    Damaged,
    /// It is a row of an older layout.
    Older,
    /// It is a row of a newer layout, which this program must not overwrite.
    Newer,
    /// It is no regular file, so that no row can be written in its place.
    NotAFile,
}

/// A row file that is not a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// What kind of thing that is.
    pub fault: Fault,
}

impl BadRow {
    /// Whether a run must not write a row in its place.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self.fault, Fault::Newer | Fault::NotAFile)
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self.fault {
            Fault::Damaged | Fault::Older => "delete it and run again",
            Fault::Newer => "use the quantbench that made it, or another run folder",
            Fault::NotAFile => "remove it and run again",
        }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a row: {}; {}", self.file.display(), self.reason, self.advice())
    }
}

/// A row, or why a file is none.
pub type Read = Result<Row, BadRow>;

/// All rows of a run folder and of published ones at one moment, by the names of their files.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The run folder first.
    folders: Vec<BTreeMap<String, Read>>,
}

impl Snapshot {
    /// Reads the row files of these folders, several at a time.
    ///
    /// # Errors
    /// A folder or file that cannot be read; what is readable and no row is kept as such.
    pub(super) fn read<'p>(folders: impl Iterator<Item = &'p Path>) -> Result<Self, StoreError> {
        let read = |folder: &Path| {
            let files = row_files(folder)?;
            let one = |path: PathBuf| Ok((stem(&path), read_row(&path)?));
            files.into_par_iter().map(one).collect::<Result<BTreeMap<_, _>, StoreError>>()
        };
        Ok(Self { folders: folders.map(read).collect::<Result<_, _>>()? })
    }

    /// The rows, each file name once, those of the run folder before published ones.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.folders.iter().enumerate().flat_map(move |(at, folder)| {
            let hidden = move |name: &String| {
                self.folders[..at].iter().any(|f| matches!(f.get(name), Some(Ok(_))))
            };
            folder
                .iter()
                .filter(move |(name, _)| !hidden(name))
                .filter_map(|(_, r)| r.as_ref().ok())
        })
    }

    /// The same rows and the files that are none.
    pub fn into_parts(self) -> (Vec<Row>, Vec<BadRow>) {
        let (mut rows, mut bad) = (BTreeMap::new(), Vec::new());
        let mut order = Vec::new();
        for (name, read) in self.folders.into_iter().flatten() {
            match read {
                Ok(_) if rows.contains_key(&name) => {}
                Ok(row) => {
                    order.push(name.clone());
                    rows.insert(name, row);
                }
                Err(broken) => bad.push(broken),
            }
        }
        (order.iter().filter_map(|name| rows.remove(name)).collect(), bad)
    }

    /// The row of a cell: a done one anywhere wins over a failed one, and a broken file counts
    /// only if no folder has a whole one.
    pub fn row(&self, cell: &str) -> Option<&Read> {
        best(self.folders.iter().filter_map(|folder| folder.get(cell)))
    }

    /// Whether a cell has a result.
    pub fn has(&self, cell: &PlannedCell) -> bool {
        let row = cell.ids.as_ref().and_then(|ids| self.row(&ids.cell));
        matches!(row, Some(Ok(row)) if row.status == Status::Done && row.cell == cell.cell)
    }

    /// Whether the run folder itself has a result of a cell.
    pub(crate) fn own_is_done(&self, cell: &str) -> bool {
        let row = self.folders.first().and_then(|folder| folder.get(cell));
        matches!(row, Some(Ok(row)) if row.status == Status::Done)
    }
}

/// Of the readings of one cell's files the one that counts.
pub(super) fn best<'r>(readings: impl Iterator<Item = &'r Read>) -> Option<&'r Read> {
    // Of equals the first counts; `max_by_key` would give the last.
    readings.min_by_key(|read| match read {
        Ok(row) if row.status == Status::Done => 0,
        Ok(_) => 1,
        Err(_) => 2,
    })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The row files of a folder by name; a folder that does not exist has none.
fn row_files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    files_of(folder, ".json")
}

/// The files of a folder whose names end so, by name; a folder that does not exist has none.
pub(super) fn files_of(folder: &Path, end: &str) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::Read { path: folder.to_path_buf(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The layout of a row that is otherwise not looked at.
#[derive(Deserialize)]
struct Layout {
    schema: u64,
}

pub(super) fn read_row(path: &Path) -> Result<Read, StoreError> {
    let bad = |fault, reason| Ok(Err(BadRow { file: path.to_path_buf(), reason, fault }));
    let failed = |source| StoreError::Read { path: path.to_path_buf(), source };
    // Reading a pipe would wait for its writer.
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return bad(Fault::NotAFile, "it is a folder".to_string()),
        Ok(found) if !found.is_file() => {
            return bad(Fault::NotAFile, "it is not a regular file".to_string());
        }
        Ok(_) => {}
        // A link that points nowhere, or a file that was just removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return bad(Fault::Damaged, "there is nothing behind its name".to_string());
        }
        Err(error) => return Err(failed(error)),
    }
    let bytes = fs::read(path).map_err(failed)?;
    match serde_json::from_slice::<Row>(&bytes) {
        Ok(row) if row.schema == SCHEMA => return Ok(Ok(row)),
        Ok(_) => {}
        Err(error) => {
            if let Err(place) = std::str::from_utf8(&bytes) {
                let at = place.valid_up_to();
                return bad(Fault::Damaged, format!("it is not UTF-8 text at byte {at}"));
            }
            let version = serde_json::from_slice::<Layout>(&bytes).ok().map(|l| l.schema);
            if version.is_none_or(|v| v == u64::from(SCHEMA)) {
                return bad(Fault::Damaged, error.to_string());
            }
        }
    }
    let found = serde_json::from_slice::<Layout>(&bytes).map_or(0, |l| l.schema);
    let fault = if found > u64::from(SCHEMA) { Fault::Newer } else { Fault::Older };
    bad(fault, format!("its layout has version {found}, this quantbench reads {SCHEMA}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(path: &Path) -> (Fault, String) {
        let bad = read_row(path).unwrap().unwrap_err();
        (bad.fault, bad.reason)
    }

    #[test]
    fn what_is_no_row_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = |content: &[u8]| {
            let path = folder.path().join("x.json");
            fs::write(&path, content).unwrap();
            reason(&path)
        };
        let (damaged, newer, older) = (Fault::Damaged, Fault::Newer, Fault::Older);
        for (content, fault, expected) in [
            (&b""[..], damaged, "EOF while parsing a value"),
            (b"{\"schema\": 1, \"survey\": \"a", damaged, "EOF while parsing a string"),
            (b"{\"schema\": 1, \"survey\": \"\xff\"}", damaged, "it is not UTF-8 text at byte 25"),
            (b"{\"schema\": 1, \"zzz\": 2}", damaged, "unknown field `zzz`"),
            (b"[]", damaged, "invalid length 0"),
            (b"{\"schema\": 2, \"zzz\": 2}", newer, "its layout has version 2, this quantbench"),
            (b"{\"schema\": 0, \"zzz\": 2}", older, "its layout has version 0, this quantbench"),
        ] {
            let (found, text) = file(content);
            assert_eq!(found, fault, "{text}");
            assert!(text.starts_with(expected), "{text}\nshould start with {expected}");
        }
        let path = folder.path().join("folder.json");
        fs::create_dir(&path).unwrap();
        assert_eq!(reason(&path), (Fault::NotAFile, "it is a folder".to_string()));
    }

    #[test]
    #[cfg(unix)]
    fn pipes_are_not_waited_for_and_links_may_point_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket.json");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(reason(&path), (Fault::NotAFile, "it is not a regular file".to_string()));
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(folder.path().join("nothing"), &link).unwrap();
        assert_eq!(reason(&link).0, Fault::Damaged);
    }
}
