//! The IDX layout of MNIST: big-endian headers, images and labels in files of their own.
//!
//! LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
//! A record is the label byte followed by the pixels, as in the layout of CIFAR-10.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::files;
use crate::records::{Column, Records, Source};
use crate::{DataError, DataRoots, DatasetManifest, Part};

/// Unsigned bytes with three dimensions: images, height, width.
const IMAGES: u32 = 0x0803;
/// Unsigned bytes with one dimension: labels.
const LABELS: u32 = 0x0801;

/// Finds the two files and compares their headers with the manifest.
pub(super) fn open(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
) -> Result<Records, DataError> {
    let paths = files::locate(manifest, part, roots)?;
    let origin = manifest.files.of(part).join(", ");
    let [_, height, width] = manifest.dims;
    let size = 1 + height * width;
    let [images, labels] = paths.as_slice() else {
        // The manifest's check makes sure of two files; an empty split is the honest answer.
        let source = Source::Files(Vec::new());
        return Ok(Records { source, count: 0, label_bytes: 1, size, origin });
    };
    let (image_count, pixels) = column(images, IMAGES, &[height, width])?;
    let (label_count, classes) = column(labels, LABELS, &[])?;
    if image_count != label_count {
        return Err(DataError::Layout {
            path: labels.clone(),
            found: format!("{label_count} labels"),
            expected: format!("{image_count}, one for each image of {}", images.display()),
        });
    }
    let source = Source::Files(vec![classes, pixels]);
    Ok(Records { source, count: image_count, label_bytes: 1, size, origin })
}

/// Number of items of a file and where they lie, after checking magic number, dimensions and size.
fn column(path: &Path, magic: u32, item: &[usize]) -> Result<(usize, Column), DataError> {
    let wrong = |found: String, expected: String| {
        Err(DataError::Layout { path: path.to_path_buf(), found, expected })
    };
    let mut file = File::open(path).map_err(DataError::io("read", path))?;
    let length = file.metadata().map_err(DataError::io("read", path))?.len() as usize;
    let mut header = vec![0; 8 + 4 * item.len()];
    let Some(size) = length.checked_sub(header.len()) else {
        let expected = format!("a header of {} bytes", header.len());
        return wrong(format!("{length} bytes"), expected);
    };
    file.read_exact(&mut header).map_err(DataError::io("read", path))?;
    let words: Vec<u32> = header
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        .collect();
    if words[0] != magic {
        return wrong(format!("magic number {:#010x}", words[0]), format!("{magic:#010x}"));
    }
    let found: Vec<usize> = words[2..].iter().map(|w| *w as usize).collect();
    if found != item {
        let expected = format!("{item:?}, as the manifest states");
        return wrong(format!("items of {found:?}"), expected);
    }
    let (count, row) = (words[1] as usize, item.iter().product::<usize>());
    let expected = row.saturating_mul(count);
    if size != expected {
        let found = format!("{size} bytes after the header");
        return wrong(found, format!("{expected} for {count} items"));
    }
    let files = vec![(path.to_path_buf(), count)];
    Ok((count, Column { files, header: header.len(), row }))
}
