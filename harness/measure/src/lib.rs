//! What this machine is, and what a piece of work costs on it: wall time, CPU time, memory,
//! latency.
//!
//! Takes nothing and gives [`Machine`](quantbench_core::row::Machine) and
//! [`MethodCost`](quantbench_core::row::MethodCost), the observed part of a row.
//!
//! *Invariant*: nothing that is measured here enters the `result` part of a row; only
//! [`isa_class`] enters an id, and it depends on the CPU's features alone.

mod children;
mod isa;
mod latency;
mod machine;
mod meter;
mod procfs;
mod sys;

pub use children::{Children, children};
pub use isa::{isa_class, isa_features};
pub use latency::{Repeats, Timed, interleaved};
pub use machine::machine;
pub use meter::Meter;
pub use procfs::load;
