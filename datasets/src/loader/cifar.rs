//! The binary layout of CIFAR-10 and CIFAR-100: label bytes, then the planes, record by record.
//!
//! Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

use super::files;
use crate::records::{Column, Records, Source};
use crate::{DataError, DataRoots, DatasetManifest, Part};

/// Finds the files and compares their sizes with the layout; nothing is read.
pub(super) fn open(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
    label_bytes: usize,
) -> Result<Records, DataError> {
    let size = label_bytes + manifest.pixels();
    let mut files = Vec::new();
    for path in files::locate(manifest, part, roots)? {
        let meta = path.metadata().map_err(DataError::io("read", &path))?;
        if meta.len() % size as u64 != 0 {
            return Err(DataError::Layout {
                path,
                found: format!("{} bytes", meta.len()),
                expected: format!(
                    "a multiple of {size} ({label_bytes} label bytes and {:?} pixels)",
                    manifest.dims
                ),
            });
        }
        files.push((path, meta.len() as usize / size));
    }
    let count = files.iter().map(|(_, rows)| rows).sum();
    let source = Source::Files(vec![Column { files, header: 0, row: size }]);
    let origin = manifest.files.of(part).join(", ");
    Ok(Records { source, count, label_bytes, size, origin })
}
