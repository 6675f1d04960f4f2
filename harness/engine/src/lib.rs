//! Runs graphs on ONNX Runtime: predictions, logits, intermediate values.
//!
//! Takes bytes of an ONNX model and an [`ImageSource`](quantbench_core::ImageSource); gives
//! predicted classes, accuracies, logits and, for calibration, the values inside a network.
//! The runtime is a library that is found and loaded at run time, see [`Runtime`].
//!
//! *Invariant*: this room reads no clock (callers measure; times of operators are the runtime's
//! own), knows no method and no data set, and its results do not depend on the number of threads.

pub mod autodiff;
pub mod cap;
mod engine;
mod error;
mod evaluate;
mod integer;
mod library;
mod locate;
mod operators;
pub mod packed;
mod part;
mod probe;
mod runtime;
mod session;
mod stream;
mod tapping;
#[cfg(test)]
mod testing;
mod turns;

pub use engine::Engine;
pub use error::{EngineError, RuntimeError};
pub use evaluate::{Evaluation, evaluate};
pub use integer::count_integer_layers;
pub use operators::{OperatorTime, operator_times};
pub use part::{Feed, Part};
pub use probe::{ByteProducts, byte_products};
pub use runtime::Runtime;
pub use session::{Each, Optimisation, Options, Session};
