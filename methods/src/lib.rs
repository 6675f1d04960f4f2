//! The methods: one file each in four family folders, behind one trait, in one list.
//!
//! Takes a folded graph, sites, parameters and the data that the method's type grants it; gives an
//! [`quantbench_graph::Artefact`].
//!
//! *Invariant*: a method never sees the store, the clock, the network, a file, the environment or
//! a profile's name. A data-free method has no value through which it could reach an image.

pub mod contract;
pub mod grant;

pub use contract::{Context, Job, Method, MethodError, Progress, Recipe};
pub use grant::{Grant, NoData, Unlabelled, UnlabelledIfAsked, Vault};
