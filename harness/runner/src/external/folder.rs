//! The folder that a command gets: the model, the job, and the images that it is granted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use quantbench_core::{LabelledSource, Params, SourceError, Spec};
use serde::Serialize;
use thiserror::Error;

/// Version of `job.json` and of `report.json`.
pub(super) const SCHEMA: u32 = 1;

/// Images that are preprocessed at a time.
const BATCH: usize = 64;

/// A folder that cannot be filled.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A file that cannot be written.
    #[error("cannot write {file} for the command: {source}")]
    Write {
        /// Its name.
        file: &'static str,
        /// The reason of the operating system.
        source: io::Error,
    },
    /// Images that cannot be read.
    #[error("calibration images: {0}")]
    Source(#[from] SourceError),
}

/// What a command is asked to do, as `job.json`.
#[derive(Debug, Serialize)]
pub(super) struct Job<'a> {
    pub(super) schema: u32,
    /// Name of the method.
    pub(super) method: &'a str,
    /// What is asked.
    pub(super) spec: SpecPart,
    /// All parameters, defaults filled in.
    pub(super) params: &'a Params,
    /// Seed of the method's randomness; null for a method without any.
    pub(super) seed: Option<u64>,
    /// Threads that it may use.
    pub(super) threads: usize,
    /// The model's one input.
    pub(super) input: Input<'a>,
    /// Name of the logits.
    pub(super) output: &'a str,
    /// The images granted; null for none.
    pub(super) calibration: Option<Calibration>,
}

/// Widths and rules; 32 bits stand for FP32.
#[derive(Debug, Serialize)]
pub(super) struct SpecPart {
    bits: String,
    weights: u8,
    ternary: bool,
    activations: u8,
    sites: String,
    image: u8,
    first_last_weights: u8,
    last_activations: u8,
    /// Layers that stay in FP32, by the names of their nodes.
    exclude: Vec<String>,
    /// Layers with widths of their own.
    layer_bits: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// Dimensions of one image; the batch comes before them.
    pub(super) dims: Vec<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct Calibration {
    pub(super) images: usize,
    pub(super) file: &'static str,
    /// Null where no labels are granted.
    pub(super) labels: Option<&'static str>,
}

impl From<&Spec> for SpecPart {
    fn from(spec: &Spec) -> Self {
        Self {
            bits: spec.bits.to_string(),
            weights: spec.bits.weights.get(),
            ternary: spec.bits.ternary,
            activations: spec.bits.activations.get(),
            sites: spec.sites.to_string(),
            image: spec.image_bits().get(),
            first_last_weights: spec.first_last_weight_bits().get(),
            last_activations: spec.last_activation_bits().get(),
            exclude: spec.exclude.iter().cloned().collect(),
            layer_bits: spec.layer_bits.iter().map(|(l, b)| (l.clone(), b.to_string())).collect(),
        }
    }
}

/// Fills the folder; images are written batch by batch, so that memory stays bounded.
pub(super) fn fill(
    folder: &Path,
    model: &[u8],
    job: &Job<'_>,
    images: Option<&dyn LabelledSource>,
) -> Result<(), FolderError> {
    let write = |file: &'static str| move |source| FolderError::Write { file, source };
    std::fs::write(folder.join("model.onnx"), model).map_err(write("model.onnx"))?;
    let json = serde_json::to_vec_pretty(job).map_err(|e| write("job.json")(e.into()))?;
    std::fs::write(folder.join("job.json"), json).map_err(write("job.json"))?;
    let (Some(images), Some(granted)) = (images, &job.calibration) else { return Ok(()) };
    let file = File::create(folder.join(granted.file)).map_err(write("calibration.npy"))?;
    put_images(&mut BufWriter::new(file), images)?;
    if let Some(name) = granted.labels {
        let bytes = npy_labels(images.labels());
        std::fs::write(folder.join(name), bytes).map_err(write("labels.npy"))?;
    }
    Ok(())
}

fn put_images(out: &mut impl Write, images: &dyn LabelledSource) -> Result<(), FolderError> {
    let wrong = |source| FolderError::Write { file: "calibration.npy", source };
    let dims: Vec<usize> = std::iter::once(images.len()).chain(images.dims().to_vec()).collect();
    out.write_all(&npy_head("<f4", &dims)).map_err(wrong)?;
    for start in (0..images.len()).step_by(BATCH) {
        let batch = images.batch(start, BATCH)?;
        let bytes: Vec<u8> = batch.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        out.write_all(&bytes).map_err(wrong)?;
    }
    out.flush().map_err(wrong)
}

fn npy_labels(labels: &[u16]) -> Vec<u8> {
    let mut bytes = npy_head("<i8", &[labels.len()]);
    bytes.extend(labels.iter().flat_map(|&l| i64::from(l).to_le_bytes()));
    bytes
}

/// Head of a `.npy` file, version 1.0: magic, version, length, a Python dictionary, padded so
/// that the data begin at a multiple of 64 bytes.
fn npy_head(kind: &str, dims: &[usize]) -> Vec<u8> {
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    // With a comma behind it also a single dimension is a tuple.
    let dims = dims.join(", ");
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({dims},), }}");
    let before = 10;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    text.push_str(&" ".repeat(length - 1 - text.len()));
    text.push('\n');
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend((length as u16).to_le_bytes());
    head.extend(text.as_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_array_is_aligned_and_says_what_follows() {
        for dims in [vec![3], vec![1024, 3, 32, 32], vec![1; 40]] {
            let head = npy_head("<f4", &dims);
            assert_eq!(head.len() % 64, 0);
            assert_eq!(&head[..8], b"\x93NUMPY\x01\x00");
            let length = usize::from(u16::from_le_bytes([head[8], head[9]]));
            assert_eq!(length + 10, head.len());
            assert_eq!(head.last(), Some(&b'\n'));
        }
        let text = String::from_utf8_lossy(&npy_head("<i8", &[7])).into_owned();
        assert!(
            text.contains("{'descr': '<i8', 'fortran_order': False, 'shape': (7,), }"),
            "{text}"
        );
        let labels = npy_labels(&[1, 2]);
        let head = npy_head("<i8", &[2]).len();
        assert_eq!(labels[head..], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }
}
