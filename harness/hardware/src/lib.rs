//! Targets: what a piece of hardware can execute.
//!
//! Takes a profile (YAML under `configs/hardware/`) and answers whether a spec runs on it and,
//! if not, which nearest spec would. Nothing here executes anything.
//!
//! *Invariant*: a method never sees a profile; one that needs a cost gets a
//! [`quantbench_core::CostModel`] and no more.

mod check;
mod profile;

pub use check::Unfit;
pub use profile::{Execution, Limits, Profile, ProfileError};
