//! The methods: one file each in four family folders, behind one trait, in one list.
//!
//! Takes a folded graph, sites, parameters and the data that the method's type grants it; gives an
//! [`quantbench_graph::Artefact`].
//!
//! *Invariant*: a method never sees the store, the clock, the network, a file, the environment or
//! a profile's name. A data-free method has no value through which it could reach an image.

pub mod contract;
pub mod data_dependent;
pub mod data_free;
pub mod extremely_low_bit;
pub mod grant;
pub mod mixed_precision;
pub mod parts;
pub mod statistics;

use thiserror::Error;

pub use contract::{Context, Job, Method, MethodError, Progress, Recipe};
pub use grant::{Grant, NoData, Unlabelled, UnlabelledIfAsked, Vault};
pub use statistics::{Ask, Found, Gather, Statistics};

/// Every method, in the order of the alphabet.
pub static ALL: &[&dyn Method] = &[
    &data_dependent::aciq::Aciq,
    &data_dependent::entropy::Entropy,
    &data_dependent::lp::Lp,
    &data_dependent::minmax::MinMax,
    &data_dependent::mse::Mse,
    &data_dependent::percentile::Percentile,
    &mixed_precision::sensitivity::Sensitivity,
    &mixed_precision::sensitivity_noise::SensitivityNoise,
    &data_free::squant::SQuant,
    &extremely_low_bit::twn::Twn,
];

/// A method name that is not in [`ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no method {name:?}{}", quantbench_core::names::suggestion(name, &names()))]
pub struct UnknownMethod {
    /// The name asked for.
    pub name: String,
}

/// The names of all methods.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|m| m.card().name).collect()
}

/// The method of that name.
pub fn find(name: &str) -> Result<&'static dyn Method, UnknownMethod> {
    ALL.iter()
        .find(|m| m.card().name == name)
        .copied()
        .ok_or_else(|| UnknownMethod { name: name.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_gets_a_near_match() {
        assert_eq!(find("twn").map(|m| m.card().name), Ok("twn"));
        let error = find("squnt").err().unwrap().to_string();
        assert!(error.contains("no method \"squnt\"; did you mean \"squant\"?"), "{error}");
    }
}
