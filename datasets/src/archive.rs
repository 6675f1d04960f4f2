//! Archives: verified once, unpacked once into the cache, then reused.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use md5::Md5;
use quantbench_core::hash::hex;
use sha2::{Digest, Sha256};

use crate::DataError;
use crate::manifest::{Archive, DatasetManifest};

/// Folder in the cache that holds the unpacked files: named by the checksum, so that a changed
/// archive never meets old files.
pub(crate) fn folder(manifest: &DatasetManifest, archive: &Archive, cache: &Path) -> PathBuf {
    let sum = archive.sha256.as_ref().or(archive.md5.as_ref()).map_or("", String::as_str);
    cache.join("datasets").join(&manifest.name).join(&sum[..sum.len().min(16)])
}

/// Verifies the archive at `path` and unpacks the manifest's files into the cache.
///
/// Another process may do the same at the same time: each fills a folder of its own, and the
/// first to rename it wins.
pub(crate) fn unpack(
    manifest: &DatasetManifest,
    archive: &Archive,
    path: &Path,
    cache: &Path,
) -> Result<(), DataError> {
    verify(archive, path)?;
    let target = folder(manifest, archive, cache);
    let parent = target.parent().unwrap_or(cache);
    fs::create_dir_all(parent).map_err(DataError::io("create the cache folder", parent))?;
    remove_stale(parent);
    let work = WorkFolder::create(parent)?;
    extract(manifest, archive, path, &work.0)?;
    match fs::rename(&work.0, &target) {
        Err(_) if target.is_dir() => Ok(()),
        done => done.map_err(DataError::io("rename the unpacked folder to", &target)),
    }
}

/// How the names of folders begin into which archives are being unpacked.
const WORK: &str = ".unpacking-";

/// After a day, whoever filled a working folder was killed.
const STALE: Duration = Duration::from_hours(24);

/// Removes what killed processes left half-unpacked.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let work = entry.file_name().to_str().is_some_and(|name| name.starts_with(WORK));
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if work && age.is_some_and(|age| age > STALE) {
            // One that cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder that is removed when dropped, unless it was renamed before.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn create(parent: &Path) -> Result<Self, DataError> {
        let mut attempt = 0_u32;
        loop {
            let path = parent.join(format!("{WORK}{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(e) => return Err(DataError::io("create", &path)(e)),
            }
        }
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Compares the archive's checksum with the manifest's.
fn verify(archive: &Archive, path: &Path) -> Result<(), DataError> {
    // One without a checksum was refused when the manifest was parsed.
    archive.sum().map_or(Ok(()), |sum| sum.check(path))
}

/// The stated checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// SHA-256, 64 lower-case hexadecimal digits.
    Sha256(String),
    /// MD5, 32 lower-case hexadecimal digits.
    Md5(String),
}

impl Sum {
    /// Reads the file and compares.
    ///
    /// # Errors
    /// [`DataError::Checksum`] with both sums, [`DataError::Io`] if the file cannot be read.
    pub fn check(&self, path: &Path) -> Result<(), DataError> {
        let (kind, expected, found) = match self {
            Self::Sha256(sum) => ("SHA-256", sum, checksum::<Sha256>(path)?),
            Self::Md5(sum) => ("MD5", sum, checksum::<Md5>(path)?),
        };
        if found == *expected {
            return Ok(());
        }
        let expected = expected.clone();
        Err(DataError::Checksum { path: path.to_path_buf(), kind, found, expected })
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha256(sum) => write!(f, "SHA-256 {sum}"),
            Self::Md5(sum) => write!(f, "MD5 {sum}"),
        }
    }
}

fn checksum<D: Digest>(path: &Path) -> Result<String, DataError> {
    let read = || -> io::Result<String> {
        let (mut file, mut digest) = (File::open(path)?, D::new());
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(&digest.finalize())),
                n => digest.update(&buffer[..n]),
            }
        }
    };
    read().map_err(DataError::io("read", path))
}

/// Unpacks by the ending of the archive's name.
fn extract(
    manifest: &DatasetManifest,
    archive: &Archive,
    path: &Path,
    target: &Path,
) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let packed = BufReader::with_capacity(1 << 18, file);
    let name = archive.file.as_str();
    let reader: Box<dyn Read> = if name.strip_suffix(".xz").is_some() {
        Box::new(XzReader::new(packed, true))
    } else {
        Box::new(GzDecoder::new(packed))
    };
    match archive.single().filter(|_| !archive.is_tar()) {
        Some(inner) => write(reader, path, &target.join(inner)),
        None => extract_tar(manifest, reader, path, target),
    }
}

/// Unpacks the regular files that the manifest names; refuses the whole archive if any entry
/// leads outside the target folder.
fn extract_tar(
    manifest: &DatasetManifest,
    reader: Box<dyn Read>,
    path: &Path,
    target: &Path,
) -> Result<(), DataError> {
    let broken = |e: io::Error| damaged(path, &e);
    let mut tar = tar::Archive::new(reader);
    for entry in tar.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let link = entry.link_name().map_err(broken)?;
        if escapes(&name) || link.is_some_and(|link| escapes(&link)) {
            let entry = name.display().to_string();
            return Err(DataError::Escape { path: path.to_path_buf(), entry });
        }
        let name: PathBuf = name.components().filter(|c| *c != Component::CurDir).collect();
        let mut wanted = manifest.files.train.iter().chain(&manifest.files.test);
        if entry.header().entry_type().is_file() && wanted.any(|file| Path::new(file) == name) {
            write(entry, path, &target.join(&name))?;
        }
    }
    Ok(())
}

/// Whether a path is absolute or climbs.
fn escapes(path: &Path) -> bool {
    path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
}

fn damaged(path: &Path, error: &io::Error) -> DataError {
    let reason = format!("cannot be unpacked, it is truncated or damaged ({error})");
    DataError::Archive { path: path.to_path_buf(), reason }
}

/// Writes one unpacked file and tells errors of reading from errors of writing.
fn write(mut from: impl Read, archive: &Path, to: &Path) -> Result<(), DataError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(DataError::io("create", parent))?;
    }
    let mut file = File::create(to).map_err(DataError::io("create", to))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = from.read(&mut buffer).map_err(|e| damaged(archive, &e))?;
        if n == 0 {
            return file.sync_all().map_err(DataError::io("write", to));
        }
        io::Write::write_all(&mut file, &buffer[..n]).map_err(DataError::io("write", to))?;
    }
}
