//! Where images come from, seen from a method or an evaluator: preprocessed, in order, on demand.

use thiserror::Error;

use crate::tensor::Tensor;

/// Images could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Preprocessed images in a fixed order, produced batch by batch so that memory stays bounded.
pub trait ImageSource: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimensions of one image, for example `[3, 32, 32]`.
    fn dims(&self) -> &[usize];

    /// Images `start .. start + n` (cut at the end) as a tensor `[n, C, H, W]`.
    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError>;
}

/// Images with their classes.
pub trait LabelledSource: ImageSource {
    /// Class of each image, in the order of the images.
    fn labels(&self) -> &[u16];

    /// Number of classes; every label is below it.
    fn classes(&self) -> usize;
}
