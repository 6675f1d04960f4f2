//! The IDX layout of MNIST: big-endian headers, images and labels in files of their own.
//!
//! LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
//! A record is the label byte followed by the pixels, as in the layout of CIFAR-10.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Records, check_count, files};
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
    let (image_count, pixels) = Body::open(images, IMAGES, &[height, width])?;
    let (label_count, classes) = Body::open(labels, LABELS, &[])?;
    if image_count != label_count {
        return Err(DataError::Layout {
            path: labels.clone(),
            found: format!("{label_count} labels"),
            expected: format!("{image_count}, one for each image of {}", images.display()),
        });
    }
    // Before memory for them is asked for: a wrong file may be of any size.
    check_count(manifest, part, image_count)?;
    let (pixels, classes) = (pixels.read()?, classes.read()?);
    let mut bytes = Vec::with_capacity(pixels.len() + classes.len());
    for (label, image) in classes.iter().zip(pixels.chunks_exact(height * width)) {
        bytes.push(*label);
        bytes.extend_from_slice(image);
    }
    Ok(Records { bytes, label_bytes: 1, files: manifest.files.of(part).join(", ") })
}

/// The bytes behind the header of a file, not yet read.
struct Body<'p> {
    path: &'p Path,
    file: File,
    size: usize,
}

impl<'p> Body<'p> {
    /// Number of items and their bytes, after checking magic number, dimensions and size.
    fn open(path: &'p Path, magic: u32, item: &[usize]) -> Result<(usize, Self), DataError> {
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
        let count = words[1] as usize;
        let expected = item.iter().product::<usize>().saturating_mul(count);
        if size != expected {
            let found = format!("{size} bytes after the header");
            return wrong(found, format!("{expected} for {count} items"));
        }
        Ok((count, Self { path, file, size }))
    }

    fn read(mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = vec![0; self.size];
        self.file.read_exact(&mut bytes).map_err(DataError::io("read", self.path))?;
        Ok(bytes)
    }
}
