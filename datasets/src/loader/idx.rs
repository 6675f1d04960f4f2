//! The IDX layout of MNIST: big-endian headers, images and labels in files of their own.
//!
//! LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
//! A record is the label byte followed by the pixels, as in the layout of CIFAR-10.

use std::fs;
use std::path::Path;

use super::{Records, files};
use crate::{DataError, DataRoots, DatasetManifest, Part};

/// Unsigned bytes with three dimensions: images, height, width.
const IMAGES: u32 = 0x0803;
/// Unsigned bytes with one dimension: labels.
const LABELS: u32 = 0x0801;

pub(super) fn read(
    manifest: &DatasetManifest,
    part: Part,
    roots: &DataRoots,
) -> Result<Records, DataError> {
    let paths = files::locate(manifest, part, roots)?;
    let [images, labels] = paths.as_slice() else {
        // The manifest's check makes sure of two files; an empty split is the honest answer.
        return Ok(Records { bytes: Vec::new(), label_bytes: 1, files: String::new() });
    };
    let [_, height, width] = manifest.dims;
    let (image_count, pixels) = body(images, IMAGES, &[height, width])?;
    let (label_count, classes) = body(labels, LABELS, &[])?;
    if image_count != label_count {
        return Err(DataError::Layout {
            path: labels.clone(),
            found: format!("{label_count} labels"),
            expected: format!("{image_count}, one for each image of {}", images.display()),
        });
    }
    let mut bytes = Vec::with_capacity(pixels.len() + classes.len());
    for (label, image) in classes.iter().zip(pixels.chunks_exact(height * width)) {
        bytes.push(*label);
        bytes.extend_from_slice(image);
    }
    Ok(Records { bytes, label_bytes: 1, files: manifest.files.of(part).join(", ") })
}

/// Number of items and their bytes, after checking magic number, dimensions and size.
fn body(path: &Path, magic: u32, item: &[usize]) -> Result<(usize, Vec<u8>), DataError> {
    let mut bytes = fs::read(path).map_err(DataError::io("read", path))?;
    let wrong = |found: String, expected: String| {
        Err(DataError::Layout { path: path.to_path_buf(), found, expected })
    };
    let header = 8 + 4 * item.len();
    if bytes.len() < header {
        return wrong(format!("{} bytes", bytes.len()), format!("a header of {header} bytes"));
    }
    let words: Vec<u32> = bytes[..header]
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        .collect();
    if words[0] != magic {
        return wrong(format!("magic number {:#010x}", words[0]), format!("{magic:#010x}"));
    }
    let found: Vec<usize> = words[2..].iter().map(|w| *w as usize).collect();
    if found != item {
        return wrong(format!("items of {found:?}"), format!("{item:?}, as the manifest states"));
    }
    let count = words[1] as usize;
    let size = item.iter().product::<usize>().saturating_mul(count);
    if bytes.len() - header != size {
        let found = format!("{} bytes after the header", bytes.len() - header);
        return wrong(found, format!("{size} for {count} items"));
    }
    bytes.drain(..header);
    Ok((count, bytes))
}
