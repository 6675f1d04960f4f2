//! A method and add-ons, composed into a method.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use quantbench_core::card::{Card, Family, Param, Params};
use quantbench_core::{Needs, Spec};
use quantbench_graph::Artefact;

use super::{ADD_ONS, AddOn, PLUS};
use crate::contract::{Context, Job, Method, MethodError};
use crate::grant::{Grant, Unlabelled, Vault};

/// A method followed by add-ons.
struct Composed {
    base: &'static dyn Method,
    add_ons: Vec<&'static dyn AddOn>,
    card: &'static Card,
}

/// The method that applies the add-ons of these names, in this order, to what `base` gives.
/// `None` if there is no such add-on or one is named twice.
///
/// Cards live as long as the program: each composition that is asked for is made once and kept.
/// There are only as many as there are methods times orders of add-ons.
pub fn composed(base: &'static dyn Method, names: &[&str]) -> Option<&'static dyn Method> {
    static KNOWN: Mutex<BTreeMap<String, &'static Composed>> = Mutex::new(BTreeMap::new());
    let mut add_ons: Vec<&'static dyn AddOn> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return None;
        }
        add_ons.push(*ADD_ONS.iter().find(|a| a.card().name == *name)?);
    }
    let mut whole = base.card().name.to_string();
    for name in names {
        whole.push(PLUS);
        whole.push_str(name);
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let made = known.entry(whole).or_insert_with(|| {
        let card = Box::leak(Box::new(card(base.card(), &add_ons)));
        Box::leak(Box::new(Composed { base, add_ons, card }))
    });
    Some(*made)
}

/// The card of a composition.
fn card(base: &Card, add_ons: &[&'static dyn AddOn]) -> Card {
    let joined = |a: &str, between: &str, b: &str| -> &'static str {
        String::leak(format!("{a}{between}{b}"))
    };
    let mut card = base.clone();
    for add_on in add_ons.iter().map(|a| a.card()) {
        card.name = joined(card.name, &PLUS.to_string(), add_on.name);
        // A change of either raises it, and no two pairs of versions share one.
        card.version = card.version * 100 + add_on.version;
        card.summary = joined(card.summary, "; then ", add_on.summary);
        card.when = joined(card.when, &format!("; the add-on {} ", add_on.name), add_on.when);
        card.paper = joined(card.paper, "; ", add_on.paper);
        card.cite = joined(card.cite, ",", add_on.cite);
        card.params = Vec::leak([card.params, add_on.params].concat());
        card.departures = Vec::leak([card.departures, add_on.departures].concat());
    }
    if card.family == Family::DataFree && !add_ons.is_empty() {
        // It is granted images.
        card.family = Family::DataDependent;
    }
    card
}

/// The parameters of one part of a composition.
fn own(params: &Params, of: &[Param]) -> Params {
    let names = of.iter().map(|p| p.name);
    names.filter_map(|name| Some((name.to_string(), params.get(name)?.clone()))).collect()
}

impl Method for Composed {
    fn card(&self) -> &'static Card {
        self.card
    }

    fn grant(&self) -> Needs {
        at_least_images(self.base.grant())
    }

    fn needs(&self, spec: &Spec, params: &Params) -> Needs {
        at_least_images(self.base.needs(spec, &own(params, self.base.card().params)))
    }

    fn run(
        &self,
        job: &Job<'_>,
        vault: &Vault,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let name = self.card.name;
        let unfit = |reason| MethodError::Unfit { method: name, reason };
        self.card.fits(job.spec.bits).map_err(unfit)?;
        let data = Unlabelled::take(vault, true, name)?;
        let params = own(job.params, self.base.card().params);
        cx.reference = None;
        let mut artefact = self.base.run(&Job { params: &params, ..*job }, vault, cx)?;
        let reference = cx.reference.take();
        let reference = reference.as_ref().unwrap_or(job.graph);
        for add_on in &self.add_ons {
            let params = own(job.params, add_on.card().params);
            let job = Job { params: &params, ..*job };
            artefact = add_on.apply(&job, artefact, reference, data.images(), cx)?;
        }
        Ok(artefact)
    }
}

fn at_least_images(needs: Needs) -> Needs {
    match needs {
        Needs::Nothing | Needs::Unlabelled | Needs::UnlabelledIfAsked => Needs::Unlabelled,
        more @ (Needs::Labelled | Needs::WithValidation) => more,
    }
}
