//! The methods: one file each in four family folders, behind one trait, in one list.
//!
//! Takes a folded graph, sites, parameters and the data that the method's type grants it; gives an
//! [`quantbench_graph::Artefact`].
//!
//! *Invariant*: a method never sees the store, the clock, the network, a file, the environment or
//! a profile's name. A data-free method has no value through which it could reach an image.

pub mod add_on;
pub mod contract;
pub mod data_dependent;
pub mod data_free;
pub mod extremely_low_bit;
pub mod grant;
pub mod keeper;
pub mod mixed_precision;
pub mod parts;
pub mod statistics;

use quantbench_core::names::{nearest, suggestion};
use thiserror::Error;

pub use add_on::{ADD_ONS, AddOn};
pub use contract::{Context, Job, Method, MethodError, Progress, Recipe};
pub use grant::{Grant, Labelled, NoData, Unlabelled, UnlabelledIfAsked, Vault};
pub use keeper::Keeper;
pub use statistics::{Ask, Found, Gather, Statistics};

/// Every method, in the order of the alphabet.
pub static ALL: &[&dyn Method] = &[
    &data_dependent::aciq::Aciq,
    &data_dependent::adaquant::AdaQuant,
    &data_dependent::adaround::AdaRound,
    &data_dependent::apot::APoT,
    &data_dependent::brecq::Brecq,
    &extremely_low_bit::bwn::Bwn,
    &data_free::dfq::Dfq,
    &data_dependent::dorefa::DoReFa,
    &data_dependent::dsq::Dsq,
    &data_dependent::entropy::Entropy,
    &data_dependent::ewgs::Ewgs,
    &data_dependent::gptq::Gptq,
    &data_dependent::jacob::Jacob,
    &data_dependent::lapq::Lapq,
    &data_dependent::lp::Lp,
    &data_dependent::lq_nets::LqNets,
    &data_dependent::lsq::Lsq,
    &data_dependent::lsq_plus::LsqPlus,
    &data_dependent::minmax::MinMax,
    &data_dependent::mse::Mse,
    &data_dependent::n2uq::N2Uq,
    &data_dependent::obq::Obq,
    &data_dependent::pact::Pact,
    &data_dependent::pd_quant::PdQuant,
    &data_dependent::percentile::Percentile,
    &data_dependent::qdrop::QDrop,
    &data_dependent::qil::Qil,
    &mixed_precision::sensitivity::Sensitivity,
    &mixed_precision::sensitivity_noise::SensitivityNoise,
    &data_free::squant::SQuant,
    &extremely_low_bit::twn::Twn,
];

/// A name that is neither a method of [`ALL`] nor one followed by add-ons.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no method {name:?}{}", hint(name))]
pub struct UnknownMethod {
    /// The name asked for.
    pub name: String,
}

/// The names of all methods, without add-ons.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|m| m.card().name).collect()
}

/// The method of that name: one of [`ALL`], or one followed by [`add_on::ADD_ONS`] as in
/// `minmax+bias-correction`.
pub fn find(name: &str) -> Result<&'static dyn Method, UnknownMethod> {
    let mut parts = name.split(add_on::PLUS);
    let base = parts.next().unwrap_or_default();
    let add_ons: Vec<&str> = parts.collect();
    let found = ALL.iter().copied().find(|m| m.card().name == base);
    let found = match (found, &add_ons[..]) {
        (base, []) => base,
        (base, add_ons) => base.and_then(|base| add_on::composed(base, add_ons)),
    };
    found.ok_or_else(|| UnknownMethod { name: name.to_string() })
}

/// What the asker most likely meant.
fn hint(name: &str) -> String {
    let (methods, add_ons) = (names(), add_on::names());
    if add_ons.contains(&name) {
        return format!("; it is an add-on, put a method in front as in {}+{name}", methods[0]);
    }
    let Some((base, rest)) = name.split_once(add_on::PLUS) else {
        return suggestion(name, &methods);
    };
    let mut near: Vec<Option<&str>> = vec![nearest(base, &methods)];
    for part in rest.split(add_on::PLUS) {
        let part = nearest(part, &add_ons);
        // One that is there already was named twice.
        if part.is_none() || !near.contains(&part) {
            near.push(part);
        }
    }
    let known = format!("methods: {}; add-ons: {}", methods.join(", "), add_ons.join(", "));
    match near.into_iter().collect::<Option<Vec<&str>>>() {
        Some(parts) => format!("; did you mean {:?}? ({known})", parts.join("+")),
        None => format!("; {known}"),
    }
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
    #[test]
    fn names_with_add_ons_are_found_and_their_typos_too() {
        let name = "minmax+bias-correction";
        let method = find(name).unwrap();
        assert_eq!((method.card().name, method.card().version), (name, 101));
        assert!(std::ptr::eq(method.card(), find(name).unwrap().card()));
        let message = |name: &str| find(name).err().unwrap().to_string();
        for typo in [
            "minmax+bias-corection",
            "minmx+bias-correction",
            "minmax+bias-correction+bias-correction",
        ] {
            let text = message(typo);
            assert!(text.contains(&format!("{typo:?}; did you mean {name:?}?")), "{text}");
        }
        assert!(message("minmax+zzz").contains("add-ons: bias-correction"));
        assert!(message("minmax+").contains("; methods: "));
        assert!(message("bias-correction").contains("it is an add-on"));
    }
}
