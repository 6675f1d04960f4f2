//! Finds the files of a split, unpacking an archive where only that is there.

use std::path::{Path, PathBuf};

use crate::{DataError, DataRoots, DatasetManifest, Part, archive};

/// Paths of the split's files, in the manifest's order.
///
/// All of them come from one folder: a folder of the user's, else what was unpacked before, else
/// what an archive gives now.
pub(super) fn locate(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
) -> Result<Vec<PathBuf>, DataError> {
    let wanted = manifest.files.of(part);
    if let Some(paths) = plain(manifest, wanted, roots)? {
        return Ok(paths);
    }
    for archive in &manifest.archives {
        let Some(path) = roots.find(&archive.file) else { continue };
        regular(&path, "an archive")?;
        if !archive::folder(manifest, archive, &roots.cache).is_dir() {
            archive::unpack(manifest, archive, &path, &roots.cache)?;
        }
        if let Some(paths) = unpacked_files(manifest, wanted, roots) {
            return Ok(paths);
        }
    }
    Err(missing(manifest, wanted, roots))
}

/// Whether [`locate`] would find the split's files; archives are taken at their word.
pub(super) fn present(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
) -> Result<(), DataError> {
    let wanted = manifest.files.of(part);
    if plain(manifest, wanted, roots)?.is_some() {
        return Ok(());
    }
    let mut packed = Vec::new();
    for archive in &manifest.archives {
        let Some(path) = roots.find(&archive.file) else { continue };
        regular(&path, "an archive")?;
        if !archive::folder(manifest, archive, &roots.cache).is_dir() {
            packed.push(archive);
        }
    }
    let is_there = |file: &String| {
        unpacked(manifest, file, roots).is_some()
            || packed.iter().any(|a| a.is_tar() || a.single() == Some(file.as_str()))
    };
    if wanted.iter().all(is_there) { Ok(()) } else { Err(missing(manifest, wanted, roots)) }
}

/// The files as they lie in a folder of the user's, else as they were unpacked before.
fn plain(
    manifest: &DatasetManifest,
    wanted: &[String],
    roots: &DataRoots,
) -> Result<Option<Vec<PathBuf>>, DataError> {
    for folder in roots.search_path() {
        if let Some(paths) = all_in(manifest, &folder, wanted)? {
            return Ok(Some(paths));
        }
    }
    Ok(unpacked_files(manifest, wanted, roots))
}

/// The files if the folder holds all of them; an error if a directory is in the place of one.
fn all_in(
    manifest: &DatasetManifest,
    folder: &Path,
    wanted: &[String],
) -> Result<Option<Vec<PathBuf>>, DataError> {
    let paths: Vec<PathBuf> = wanted.iter().map(|file| folder.join(file)).collect();
    if paths.iter().any(|path| !path.exists()) {
        return Ok(None);
    }
    for path in &paths {
        regular(path, &format!("a file of data set {}", manifest.name))?;
    }
    Ok(Some(paths))
}

fn regular(path: &Path, expected: &str) -> Result<(), DataError> {
    if path.is_file() {
        return Ok(());
    }
    Err(DataError::NotAFile { path: path.to_path_buf(), expected: expected.to_string() })
}

/// The files among what was unpacked from any of the manifest's archives.
fn unpacked_files(
    manifest: &DatasetManifest,
    wanted: &[String],
    roots: &DataRoots,
) -> Option<Vec<PathBuf>> {
    wanted.iter().map(|file| unpacked(manifest, file, roots)).collect()
}

fn unpacked(manifest: &DatasetManifest, file: &str, roots: &DataRoots) -> Option<PathBuf> {
    let folders = manifest.archives.iter().map(|a| archive::folder(manifest, a, &roots.cache));
    folders.map(|folder| folder.join(file)).find(|path| path.is_file())
}

pub(super) fn missing(
    manifest: &DatasetManifest,
    wanted: &[String],
    roots: &DataRoots,
) -> DataError {
    let nowhere = |file: &&String| roots.find(file).is_none();
    let file = wanted.iter().find(nowhere).or(wanted.first()).cloned().unwrap_or_default();
    let published = manifest.archives.iter().filter_map(|a| a.url.as_deref().map(|url| (a, url)));
    let fetch: Vec<String> =
        published.map(|(archive, url)| format!("{url} as {}", archive.file)).collect();
    let advice = if fetch.is_empty() {
        "put its files into a folder and set QUANTBENCH_DATA to that folder".to_string()
    } else {
        // Data sets of one archive offer alternatives, those of single files need all of them.
        format!("fetch {} into a folder and set QUANTBENCH_DATA to that folder", fetch.join(", "))
    };
    DataError::Missing { dataset: manifest.name.clone(), file, looked: roots.described(), advice }
}
