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
