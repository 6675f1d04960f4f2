//! Automatic differentiation: runs networks forward and backward on the CPU.

mod augment;
mod batches;
mod isa;
mod kernels;
mod map;
mod network;
pub mod nn;
pub mod ops;
pub mod optim;
mod quantizers;
mod tape;

pub use augment::{Augment, AugmentError, Flip};
pub use batches::{BatchError, Epoch, Epochs, Last, gather};
pub use isa::Isa;
pub use kernels::plan::Window;
pub use map::{BLOCK, Device, Lanes, Map, MapShape};
pub use network::{Network, NetworkError, Run, RunningMoments, Sites, Unchanged};
pub use quantizers::{Quantizers, outputs};
pub use tape::{Back, Gradients, Op, Tape, Value, Var};
