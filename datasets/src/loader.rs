//! From a manifest to the raw records of a split.

mod cifar;
mod files;
mod idx;

use crate::manifest::Loader;
use crate::{DataError, DataRoots, DatasetManifest, Part, Split, shapes};

/// Records as they lie in the files, each with its label bytes in front.
pub(crate) struct Records {
    /// All records, one after the other.
    pub bytes: Vec<u8>,
    /// Label bytes in front of each record.
    pub label_bytes: usize,
    /// Files that they came from, for error messages.
    pub files: String,
}

/// Whether the files of a split are on this machine, unpacked or in an archive; nothing is read or
/// unpacked.
///
/// # Errors
/// As [`load`] where it finds no file, or something else in the place of one.
pub fn present(manifest: &DatasetManifest, part: Part, roots: &DataRoots) -> Result<(), DataError> {
    match manifest.loader {
        Loader::Shapes10 => Ok(()),
        Loader::Cifar10 | Loader::Cifar100 | Loader::Idx => files::present(manifest, part, roots),
    }
}

/// Loads a split: finds its files (unpacking an archive if need be), reads and checks them.
///
/// Checked are sizes and headers, labels, the number of images and the order-free hash where the
/// manifest states them.
pub fn load(manifest: &DatasetManifest, part: Part, roots: &DataRoots) -> Result<Split, DataError> {
    let records = match manifest.loader {
        Loader::Cifar10 => cifar::read(manifest, part, roots, 1)?,
        Loader::Cifar100 => cifar::read(manifest, part, roots, 2)?,
        Loader::Idx => idx::read(manifest, part, roots)?,
        Loader::Shapes10 => {
            Records { bytes: shapes::records(part), label_bytes: 1, files: "computed".to_string() }
        }
    };
    Split::new(manifest, part, records)
}

/// Compares a number of images with the one that the manifest states, if it states one.
pub(crate) fn check_count(
    manifest: &DatasetManifest,
    part: Part,
    found: usize,
) -> Result<(), DataError> {
    match manifest.images.as_ref().map(|n| *n.of(part)) {
        Some(expected) if expected != found => {
            Err(DataError::Count { dataset: manifest.name.clone(), part, found, expected })
        }
        _ => Ok(()),
    }
}
