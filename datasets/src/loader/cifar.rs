//! The binary layout of CIFAR-10 and CIFAR-100: label bytes, then the planes, record by record.
//!
//! Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

use std::fs::File;
use std::io::Read;

use super::{Records, check_count, files};
use crate::{DataError, DataRoots, DatasetManifest, Part};

pub(super) fn read(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
    label_bytes: usize,
) -> Result<Records, DataError> {
    let record = label_bytes + manifest.pixels();
    let paths = files::locate(manifest, part, roots)?;
    let mut sizes = Vec::with_capacity(paths.len());
    for path in &paths {
        let meta = path.metadata().map_err(DataError::io("read", path))?;
        if meta.len() % record as u64 != 0 {
            return Err(DataError::Layout {
                path: path.clone(),
                found: format!("{} bytes", meta.len()),
                expected: format!(
                    "a multiple of {record} ({label_bytes} label bytes and {:?} pixels)",
                    manifest.dims
                ),
            });
        }
        sizes.push(meta.len() as usize);
    }
    let size: usize = sizes.iter().sum();
    // Before memory for them is asked for: a wrong file may be of any size.
    check_count(manifest, part, size / record)?;
    let mut bytes = vec![0; size];
    let mut rest = bytes.as_mut_slice();
    for (path, size) in paths.iter().zip(sizes) {
        let (this, after) = rest.split_at_mut(size);
        let read = File::open(path).and_then(|mut file| file.read_exact(this));
        read.map_err(DataError::io("read", path))?;
        rest = after;
    }
    Ok(Records { bytes, label_bytes, files: manifest.files.of(part).join(", ") })
}
