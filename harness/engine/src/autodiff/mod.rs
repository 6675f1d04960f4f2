//! Automatic differentiation: runs networks forward and backward on the CPU.

mod isa;
mod kernels;
mod map;
pub mod ops;
mod tape;

pub use isa::Isa;
pub use kernels::plan::Window;
pub use map::{BLOCK, Device, Lanes, Map, MapShape};
pub use tape::{Back, Gradients, Op, Tape, Value, Var};
