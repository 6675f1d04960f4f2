//! Targets: what a piece of hardware can execute, and what a network costs on it by a model.
//!
//! Takes a profile (YAML under `configs/hardware/`) and answers whether a spec runs on it and, if
//! not, which nearest spec would; takes a [`Workload`] made from a graph or an artefact and gives
//! cycles, traffic, energy and time ([`Profile::cost`]). Nothing here executes anything.
//!
//! *Invariant*: a method never sees a profile; one that needs a cost gets a
//! [`quantbench_core::CostModel`] and no more.

mod check;
pub mod constants;
pub mod cost;
mod modelled;
mod profile;
mod roofline;
mod rows;
mod target;
mod workload;

pub use check::Unfit;
pub use cost::{CostError, CostSection, ModelName, TargetModel};
pub use modelled::{Bound, Energy, Flow, Level, ModelledCost, ModelledLayer, Operand, Totals};
pub use profile::{Execution, Limits, Profile, ProfileError};
pub use roofline::{Roofline, SpeedUp, ceiling};
pub use target::TargetCost;
pub use workload::{Bytes, Work, WorkKind, Workload, WorkloadError};
