//! Layers for networks that are written here rather than loaded, such as the generators of
//! data-free methods.
//!
//! Layers add their tensors to [`Parameters`] when they are made, so that an [`Optimizer`] trains
//! them, and know them by index. Where numbers begin is as in PyTorch 2; a seeded stream decides.
//!
//! [`Parameters`]: super::optim::Parameters
//! [`Optimizer`]: super::optim::Optimizer

mod batch_norm;
mod conv;
mod embedding;
mod init;
mod linear;
mod on_tape;
#[cfg(test)]
mod tests;
mod upsample;

pub use batch_norm::BatchNorm;
pub use conv::Conv;
pub use embedding::Embedding;
pub use init::{Init, normal};
pub use linear::Linear;
pub use on_tape::OnTape;
pub use upsample::Upsample;
