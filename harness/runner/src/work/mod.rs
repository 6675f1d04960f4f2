//! The work of one cell; the same code serves `run`, `quantize`, `eval` and `inspect`.

pub mod assess;
pub mod cell;
pub mod error;
mod foreign;
pub mod histograms;
pub mod inspect;
pub mod keeping;
pub mod make;
pub mod note;
pub mod order;
pub mod shared;
pub mod single;

pub use error::WorkError;
