//! From a manifest to a split.

mod cifar;
mod files;
pub(crate) mod folder;
mod idx;

use crate::manifest::Loader;
use crate::records::{Records, Source};
use crate::split::Body;
use crate::{DataError, DataRoots, DatasetManifest, Part, Split, shapes};

/// Whether the files of a split are on this machine, unpacked or in an archive; nothing is read or
/// unpacked.
///
/// # Errors
/// As [`load`] where it finds no file, or something else in the place of one.
pub fn present(manifest: &DatasetManifest, part: Part, roots: &DataRoots) -> Result<(), DataError> {
    match manifest.loader {
        Loader::Shapes10 => Ok(()),
        Loader::Cifar10 | Loader::Cifar100 | Loader::Idx => files::present(manifest, part, roots),
        Loader::Folder => folder::locate(manifest, part, roots).map(|_| ()),
    }
}

/// Loads a split: finds its files (unpacking an archive if need be) and takes their canonical
/// order, from the cache where the files are still the same.
///
/// Checked are sizes and headers, labels, the number of images and the order-free hash where the
/// manifest states them.
pub fn load(manifest: &DatasetManifest, part: Part, roots: &DataRoots) -> Result<Split, DataError> {
    let body = match manifest.loader {
        Loader::Cifar10 => Body::Records(cifar::open(manifest, part, roots, 1)?),
        Loader::Cifar100 => Body::Records(cifar::open(manifest, part, roots, 2)?),
        Loader::Idx => Body::Records(idx::open(manifest, part, roots)?),
        Loader::Folder => Body::Folder(folder::open(manifest, part, roots)?),
        Loader::Shapes10 => Body::Records(Records {
            source: Source::Shapes(part),
            count: shapes::count(part),
            label_bytes: 1,
            size: shapes::RECORD,
            origin: "computed".to_string(),
        }),
    };
    Split::new(manifest, part, body, &roots.cache)
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
