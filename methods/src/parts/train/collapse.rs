//! A training that ends in a network which answers everything alike has failed.

use quantbench_core::Tensor;
use quantbench_engine::autodiff::{Device, outputs};
use quantbench_graph::Artefact;

use crate::contract::MethodError;

/// Fewest images that a constant answer can be told by.
const ENOUGH: usize = 32;

/// An error where a trained network puts all images of a batch into one class.
pub(super) fn refuse(
    artefact: &Artefact,
    device: &Device,
    images: &Tensor,
    loss: f32,
) -> Result<(), MethodError> {
    let logits = outputs(artefact, device, images)?;
    let answers: Vec<usize> = logits.data.chunks(logits.dims[1].max(1)).map(largest).collect();
    if answers.len() < ENOUGH || answers.iter().any(|a| *a != answers[0]) {
        return Ok(());
    }
    Err(MethodError::Collapsed { images: answers.len(), class: answers[0], loss })
}

fn largest(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0)
}
