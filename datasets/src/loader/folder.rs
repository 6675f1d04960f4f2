//! The layout of ImageNet: a folder for each class, a JPEG or PNG file for each image.
//!
//! The sorted names of the class folders are the classes, as in torchvision's `ImageFolder`,
//! unless the manifest names them.
//! The id of an image is the SHA-256 of its file.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use quantbench_core::hash;
use rayon::prelude::*;
use walkdir::WalkDir;

use super::files;
use crate::index::stamp::Stamp;
use crate::{DataError, DataRoots, DatasetManifest, Part};

/// Endings of image files, whatever their case; the content decides how they are decoded.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The files of a split, sorted by class and path.
pub(crate) struct Folder {
    /// The folder that holds the class folders.
    pub root: PathBuf,
    /// Paths below it.
    files: Vec<PathBuf>,
    /// Class of each file.
    pub labels: Vec<u16>,
}

/// The folder of the split, wherever it is.
pub(super) fn locate(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
) -> Result<PathBuf, DataError> {
    let wanted = manifest.files.of(part);
    let name = wanted.first().map_or("", String::as_str);
    match roots.find_folder(name) {
        Some(path) if path.is_dir() => Ok(path),
        Some(path) => {
            let advice = format!("expected the folder of the {part} split, with one of each class");
            Err(DataError::Folder { path, found: "this is no folder".to_string(), advice })
        }
        None => Err(files::missing(manifest, wanted, roots)),
    }
}

/// Lists the files of a split; none of them is read.
pub(super) fn open(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
) -> Result<Folder, DataError> {
    let root = locate(manifest, part, roots)?;
    let classes = class_folders(manifest, &root)?;
    let listed: Vec<Vec<PathBuf>> =
        classes.par_iter().map(|class| images(&root, class)).collect::<Result<_, _>>()?;
    let each = listed.iter().enumerate();
    let labels = each.flat_map(|(class, files)| vec![class as u16; files.len()]).collect();
    Ok(Folder { root, files: listed.into_iter().flatten().collect(), labels })
}

/// Names of the class folders in the order of the classes.
fn class_folders(manifest: &DatasetManifest, root: &Path) -> Result<Vec<String>, DataError> {
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(root).follow_links(true).min_depth(1).max_depth(1) {
        let entry = entry.map_err(|error| walking(root, &error))?;
        if entry.file_type().is_dir() {
            found.insert(named(entry.path(), entry.file_name().to_str())?.to_string());
        }
    }
    let wrong = |found: String, advice: &str| {
        Err(DataError::Folder { path: root.to_path_buf(), found, advice: advice.to_string() })
    };
    if let Some(names) = &manifest.class_names {
        let other = "class_names of the manifest and the class folders must be the same";
        if let Some(name) = names.iter().find(|name| !found.contains(*name)) {
            return wrong(format!("there is no folder of class {name:?}"), other);
        }
        if let Some(name) = found.iter().find(|name| !names.contains(name)) {
            return wrong(format!("folder {name:?} is of no class"), other);
        }
        return Ok(names.clone());
    }
    if found.len() != manifest.classes {
        return wrong(
            format!(
                "{} class folders, the manifest states {} classes",
                found.len(),
                manifest.classes
            ),
            "expected one folder for each class, with the images of the class in it",
        );
    }
    Ok(found.into_iter().collect())
}

/// Paths of the images of a class below the root, sorted.
fn images(root: &Path, class: &str) -> Result<Vec<PathBuf>, DataError> {
    let folder = root.join(class);
    let mut files = Vec::new();
    for entry in WalkDir::new(&folder).follow_links(true) {
        let entry = entry.map_err(|error| walking(&folder, &error))?;
        let ending = entry.path().extension().and_then(|e| e.to_str());
        let image =
            ending.is_some_and(|e| ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)));
        if !image || !entry.file_type().is_file() {
            continue;
        }
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
        named(entry.path(), below.to_str())?;
        files.push(below.to_path_buf());
    }
    if files.is_empty() {
        let found = format!("class {class:?} has no image");
        let advice = format!("expected files that end in {}", ENDINGS.join(", "));
        return Err(DataError::Folder { path: folder, found, advice });
    }
    files.sort_unstable();
    Ok(files)
}

/// Names must be UTF-8: they order the images on every platform alike.
fn named<'n>(path: &Path, name: Option<&'n str>) -> Result<&'n str, DataError> {
    name.ok_or_else(|| DataError::Folder {
        path: path.to_path_buf(),
        found: "the name is not UTF-8".to_string(),
        advice: "rename it".to_string(),
    })
}

/// A loop of links, a link to nowhere, a folder that may not be read.
fn walking(folder: &Path, error: &walkdir::Error) -> DataError {
    let path = error.path().unwrap_or(folder).to_path_buf();
    let (found, advice) = match (error.loop_ancestor(), error.io_error()) {
        (Some(above), _) => (
            format!("this link leads back to {}", above.display()),
            "remove it: no file may be found twice".to_string(),
        ),
        (None, Some(io)) => {
            (format!("cannot be read ({io})"), "make it readable, or remove it".to_string())
        }
        (None, None) => (error.to_string(), "make it readable, or remove it".to_string()),
    };
    DataError::Folder { path, found, advice }
}

impl Folder {
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Path of the file at `at` in file order.
    pub(crate) fn path(&self, at: usize) -> PathBuf {
        self.root.join(&self.files[at])
    }

    /// Adds the folder and every file with its facts.
    pub(crate) fn stamp(&self, stamp: &mut Stamp) -> Result<(), DataError> {
        let facts: Vec<Metadata> = (0..self.len())
            .into_par_iter()
            .map(|at| {
                let path = self.path(at);
                let facts = path.metadata().map_err(DataError::io("read", &path))?;
                if facts.len() == 0 {
                    return Err(DataError::Image { path, reason: "it is empty".to_string() });
                }
                Ok(facts)
            })
            .collect::<Result<_, _>>()?;
        stamp.place(&self.root);
        self.files.iter().zip(&facts).for_each(|(path, facts)| stamp.file(path, facts));
        Ok(())
    }

    /// SHA-256 of every file.
    pub(crate) fn digests(&self) -> Result<Vec<[u8; 32]>, DataError> {
        let digest = |at: usize| {
            let path = self.path(at);
            let bytes = std::fs::read(&path).map_err(DataError::io("read", &path))?;
            Ok(hash::sha256(&bytes))
        };
        (0..self.len()).into_par_iter().map(digest).collect()
    }
}
