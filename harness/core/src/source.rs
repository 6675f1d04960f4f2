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

    /// Whether these are all the images that a method was granted, in their order, so that what was
    /// seen on them before holds for them again. A part of them, or images made by the method, are
    /// not.
    fn granted(&self) -> Option<&dyn Granted> {
        None
    }

    /// Images `start .. start + n` (cut at the end) as a tensor `[n, C, H, W]`.
    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError>;
}

/// All images of a grant.
pub trait Granted {
    /// Counts every image as read once more: what a pass over them gives was at hand.
    fn count_pass(&self);
}

/// Images with their classes.
pub trait LabelledSource: ImageSource {
    /// Class of each image, in the order of the images.
    fn labels(&self) -> &[u16];

    /// Number of classes; every label is below it.
    fn classes(&self) -> usize;
}
