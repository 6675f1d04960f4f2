//! A split in canonical order, and the choices made from it.

use std::ops::Range;

use quantbench_core::hash;
use quantbench_core::rng::{self, Rng};
use rayon::prelude::*;

use crate::loader::{Records, check_count};
use crate::{DataError, DatasetManifest, Part};

/// Training records held back for rewards and early stopping.
pub const VALIDATION: usize = 5_000;

/// The images of a split with labels, ordered by the SHA-256 of their raw records.
///
/// File order differs between archives of the same data; the canonical order does not.
pub struct Split {
    /// Records in file order.
    bytes: Vec<u8>,
    /// Bytes of one record.
    record: usize,
    /// Label bytes in front of a record's pixels.
    label_bytes: usize,
    /// Index of each image's record, in canonical order.
    order: Vec<u32>,
    labels: Vec<u16>,
    ids: Vec<[u8; 32]>,
    /// SHA-256 over the sorted SHA-256 digests of the records: the identity of the split.
    pub hash: String,
    /// Channels, height, width.
    pub dims: [usize; 3],
    /// Number of classes.
    pub classes: usize,
}

impl Split {
    pub(crate) fn new(
        manifest: &DatasetManifest,
        part: Part,
        records: Records,
    ) -> Result<Self, DataError> {
        let Records { bytes, label_bytes, files } = records;
        let dataset = || manifest.name.clone();
        let record = label_bytes + manifest.pixels();
        let count = bytes.len() / record;
        if count == 0 {
            return Err(DataError::Empty { dataset: dataset(), part, files });
        }
        // The last label byte counts: the fine label of CIFAR-100.
        let label = |at: usize| u16::from(bytes[at * record + label_bytes - 1]);
        let classes = manifest.classes;
        if let Some(at) = (0..count).find(|at| usize::from(label(*at)) >= classes) {
            let label = label(at);
            return Err(DataError::Label { dataset: dataset(), part, record: at, label, classes });
        }
        check_count(manifest, part, count)?;
        let digests: Vec<[u8; 32]> = bytes.par_chunks_exact(record).map(hash::sha256).collect();
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.par_sort_unstable_by_key(|at| (digests[*at as usize], *at));
        let labels = order.iter().map(|at| label(*at as usize)).collect();
        let ids: Vec<[u8; 32]> = order.iter().map(|at| digests[*at as usize]).collect();
        let found = hash::order_free(digests);
        if let Some(expected) =
            manifest.hashes.as_ref().map(|h| h.of(part)).filter(|h| **h != found)
        {
            let expected = expected.clone();
            return Err(DataError::Content { dataset: dataset(), part, found, expected });
        }
        let (hash, dims) = (found, manifest.dims);
        Ok(Self { bytes, record, label_bytes, order, labels, ids, hash, dims, classes })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none; never true for a loaded split.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Class of each image in canonical order.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// SHA-256 of each image's raw record in canonical order: the images' ids.
    pub fn ids(&self) -> &[[u8; 32]] {
        &self.ids
    }

    /// Pixels of the `i`-th image in canonical order, plane by plane.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn pixels(&self, i: usize) -> &[u8] {
        let start = self.order[i] as usize * self.record;
        &self.bytes[start + self.label_bytes..start + self.record]
    }

    /// Draw `d` of `n` images: indices in canonical order, nested in `n`, the same for all
    /// methods and models.
    pub fn draw(&self, d: u64, n: usize) -> Result<Vec<usize>, DataError> {
        if n > self.len() {
            return Err(DataError::Draw { asked: n, available: self.len() });
        }
        let mut stream = Rng::from_parts(&["draw", &self.hash, &d.to_string()]);
        Ok(rng::draw(&mut stream, self.len(), n))
    }

    /// The first `n` images in canonical order, or all if there are fewer: a partial evaluation.
    pub fn first(&self, n: usize) -> Vec<usize> {
        (0..n.min(self.len())).collect()
    }

    /// The last [`VALIDATION`] images in canonical order, or all if there are fewer.
    pub fn validation(&self) -> Range<usize> {
        self.len().saturating_sub(VALIDATION)..self.len()
    }
}
