//! Chosen images of a split, preprocessed batch by batch.

use std::sync::Arc;

use quantbench_core::{ImageSource, LabelledSource, SourceError, Tensor};

use crate::{DataError, Preprocess, Split};

/// Images of a split in a chosen order; the split's bytes are shared, tensors are made on demand.
pub struct Images {
    split: Arc<Split>,
    indices: Vec<usize>,
    labels: Vec<u16>,
    tables: Vec<[f32; 256]>,
}

impl Images {
    /// The images at `indices` of the canonical order, for example a draw.
    pub fn new(
        split: Arc<Split>,
        indices: Vec<usize>,
        preprocess: &Preprocess,
    ) -> Result<Self, DataError> {
        let tables = preprocess.tables(split.dims[0])?;
        if let Some(index) = indices.iter().find(|i| **i >= split.len()) {
            return Err(DataError::Draw { asked: index + 1, available: split.len() });
        }
        let labels = indices.iter().map(|i| split.labels()[*i]).collect();
        Ok(Self { split, indices, labels, tables })
    }

    /// All images in canonical order.
    pub fn all(split: Arc<Split>, preprocess: &Preprocess) -> Result<Self, DataError> {
        let indices = (0..split.len()).collect();
        Self::new(split, indices, preprocess)
    }

    /// The split that the images belong to.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// Indices into the split's canonical order.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl ImageSource for Images {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn dims(&self) -> &[usize] {
        &self.split.dims
    }

    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let end = start.saturating_add(n).min(self.indices.len());
        let chosen = self.indices.get(start..end).unwrap_or_default();
        let [channels, height, width] = self.split.dims;
        let plane = height * width;
        let mut data = Vec::with_capacity(chosen.len() * channels * plane);
        for index in chosen {
            let pixels = self.split.pixels(*index);
            for (bytes, table) in pixels.chunks_exact(plane).zip(&self.tables) {
                data.extend(bytes.iter().map(|byte| table[usize::from(*byte)]));
            }
        }
        Ok(Tensor::new(vec![chosen.len(), channels, height, width], data))
    }
}

impl LabelledSource for Images {
    fn labels(&self) -> &[u16] {
        &self.labels
    }

    fn classes(&self) -> usize {
        self.split.classes
    }
}
