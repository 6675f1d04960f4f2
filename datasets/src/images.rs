//! Chosen images of a split, preprocessed batch by batch.

use std::sync::Arc;

use quantbench_core::{ImageSource, LabelledSource, SourceError, Tensor};
use rayon::prelude::*;

use crate::{DataError, Preprocess, Raster, Split};

/// Images of a split in a chosen order; tensors are made on demand.
///
/// Of records the raw bytes are held; image files are read and decoded again for each batch, in
/// parallel, so that a split of any size needs the memory of one batch.
pub struct Images {
    split: Arc<Split>,
    indices: Vec<usize>,
    labels: Vec<u16>,
    preprocess: Preprocess,
    tables: Vec<[f32; 256]>,
    dims: [usize; 3],
    held: Option<Vec<u8>>,
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
        let held = split.pixels(&indices)?;
        let (preprocess, dims) = (preprocess.clone(), preprocess.dims(split.dims));
        Ok(Self { split, indices, labels, preprocess, tables, dims, held })
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

    /// Writes the values of one image, plane by plane.
    fn normalise(&self, pixels: &[u8], into: &mut [f32]) {
        let plane = self.dims[1] * self.dims[2];
        let planes = pixels.chunks_exact(plane).zip(into.chunks_exact_mut(plane));
        for ((bytes, values), table) in planes.zip(&self.tables) {
            for (value, byte) in values.iter_mut().zip(bytes) {
                *value = table[usize::from(*byte)];
            }
        }
    }

    /// Reads, decodes, scales and crops the `k`-th chosen image.
    fn fitted(&self, k: usize) -> Result<Raster, DataError> {
        let [channels, height, width] = self.split.dims;
        let raw = match &self.held {
            Some(held) => {
                let size = channels * height * width;
                let data = held[k * size..(k + 1) * size].to_vec();
                Raster { channels, height, width, data }
            }
            None => self.split.image(self.indices[k])?,
        };
        let whole = raw.dims();
        let fitted = self.preprocess.fit(raw);
        match fitted.filter(|raster| raster.dims() == self.dims) {
            Some(raster) => Ok(raster),
            None => Err(DataError::Size {
                what: self.split.name_of(self.indices[k]),
                preprocess: self.preprocess.id(),
                found: whole,
                expected: self.dims,
            }),
        }
    }
}

impl ImageSource for Images {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let end = start.saturating_add(n).min(self.indices.len());
        let start = start.min(end);
        let [channels, height, width] = self.dims;
        let size = channels * height * width;
        let mut data = vec![0.0; (end - start) * size];
        match &self.held {
            Some(held) if !self.preprocess.reshapes() => {
                let pixels = held[start * size..end * size].chunks_exact(size);
                for (pixels, values) in pixels.zip(data.chunks_exact_mut(size)) {
                    self.normalise(pixels, values);
                }
            }
            _ => data
                .par_chunks_exact_mut(size)
                .enumerate()
                .try_for_each(|(at, values)| {
                    self.normalise(&self.fitted(start + at)?.data, values);
                    Ok(())
                })
                .map_err(|error: DataError| SourceError(error.to_string()))?,
        }
        Ok(Tensor::new(vec![end - start, channels, height, width], data))
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
