//! From the names in a survey to models, methods, data and profiles.

use quantbench_core::card::{Card, Params};
use quantbench_core::names::suggestion;
use quantbench_core::row::Cell;
use quantbench_core::{Needs, Spec};
use quantbench_datasets::{DataRoots, DatasetManifest};
use quantbench_hardware::Profile;
use quantbench_methods::find;

use crate::config::model::ModelCard;
use crate::config::survey::{At, MethodEntry};
use crate::config::{Catalog, ConfigError, Survey};
use crate::plan::label;
use crate::plan::outside::{self, Outside};

/// A survey with every name resolved.
pub(crate) struct Resolved<'c> {
    pub(crate) dataset: &'c DatasetManifest,
    pub(crate) models: Vec<&'c ModelCard>,
    pub(crate) profiles: Vec<&'c Profile>,
    /// Pairs of method and spec that fit.
    pub(crate) chosen: Vec<Chosen>,
    /// Pairs that do not, with the reason.
    pub(crate) unfit: Vec<(String, String)>,
}

/// A method with complete parameters and a spec that it can do.
pub(crate) struct Chosen {
    pub(crate) card: &'static Card,
    pub(crate) params: Params,
    pub(crate) needs: Needs,
    pub(crate) spec: Spec,
    /// Names of the models that it runs on.
    pub(crate) models: Vec<String>,
    /// Numbers of calibration images, if it is granted some.
    pub(crate) images: Vec<usize>,
    /// Draws of them.
    pub(crate) draws: Vec<u64>,
    /// Seeds of the method's own randomness, if it uses some.
    pub(crate) seeds: Vec<u64>,
    /// Where the artefact comes from, if no method of this program makes it.
    pub(crate) outside: Option<Outside>,
}

impl Resolved<'_> {
    /// What a cell's artefact is made by; none for the unquantized model.
    pub(crate) fn of(&self, cell: &Cell) -> Option<&Chosen> {
        self.chosen.iter().find(|c| {
            let maker = c.outside.as_ref().map(|o| &o.maker);
            c.card.name == cell.method && maker == cell.maker.as_ref()
        })
    }
}

/// Resolves names and checks that the parts fit each other.
pub(crate) fn resolve<'c>(
    survey: &Survey,
    catalog: &'c Catalog,
    roots: &DataRoots,
) -> Result<Resolved<'c>, ConfigError> {
    let dataset = named(survey, &survey.dataset, catalog.dataset(&survey.dataset.value))?;
    let mut models = Vec::with_capacity(survey.models.len());
    for place in &survey.models {
        let model = named(survey, place, catalog.model(&place.value))?;
        if model.dataset != dataset.name {
            let (name, its) = (&model.name, &model.dataset);
            return Err(survey.fail(
                place,
                format_args!(
                    "model {name} is for data set {its}, the survey's is {}",
                    dataset.name
                ),
            ));
        }
        models.push(model);
    }
    let profiles = survey
        .profiles
        .iter()
        .map(|place| named(survey, place, catalog.profile(&place.value)))
        .collect::<Result<_, _>>()?;
    enough_images(survey, dataset)?;
    let (chosen, unfit) = pairs(survey, catalog, roots)?;
    Ok(Resolved { dataset, models, profiles, chosen, unfit })
}

/// Refuses more calibration images than the training split has.
fn enough_images(survey: &Survey, dataset: &DatasetManifest) -> Result<(), ConfigError> {
    let Some(available) = dataset.images.as_ref().map(|n| n.train) else { return Ok(()) };
    let own = survey.methods.iter().flat_map(|m| &m.calibration.images);
    match survey.calibration.images.iter().chain(own).find(|n| n.value > available) {
        Some(asked) => Err(survey.fail(
            asked,
            format_args!(
                "{} does not fit; the training split of {} has {available} images",
                asked.value, dataset.name
            ),
        )),
        None => Ok(()),
    }
}

/// Puts file and line in front of an unknown name.
fn named<'c, T>(
    survey: &Survey,
    place: &At<String>,
    found: Result<&'c T, ConfigError>,
) -> Result<&'c T, ConfigError> {
    found.map_err(|error| survey.fail(place, error))
}

type Pairs = (Vec<Chosen>, Vec<(String, String)>);

/// What an entry of the survey's methods names.
struct Named {
    card: &'static Card,
    outside: Option<Outside>,
    /// What data a spec and parameters are granted.
    needs: Box<NeedsOf>,
}

/// What data a spec and parameters are granted.
type NeedsOf = dyn Fn(&Spec, &Params) -> Needs;

fn method(
    survey: &Survey,
    entry: &MethodEntry,
    catalog: &Catalog,
    roots: &DataRoots,
) -> Result<Named, ConfigError> {
    let name = &entry.name;
    if let Some(artefact) = &entry.artefact {
        let models = models_of(survey, entry)?;
        let (card, outside) = outside::file(survey, entry, artefact, &models, (catalog, roots))?;
        return Ok(Named { card, outside: Some(outside), needs: Box::new(|_, _| Needs::Nothing) });
    }
    if let Ok(method) = find(&name.value) {
        let needs = Box::new(|spec: &Spec, params: &Params| method.needs(spec, params));
        return Ok(Named { card: method.card(), outside: None, needs });
    }
    let external = catalog.external(&name.value).map_err(|unknown| survey.fail(name, unknown))?;
    let outside = outside::command(external).map_err(|problem| survey.fail(name, problem))?;
    let needs = external.needs;
    Ok(Named { card: external.card, outside: Some(outside), needs: Box::new(move |_, _| needs) })
}

/// All pairs of method and spec: those that fit and those that do not.
fn pairs(survey: &Survey, catalog: &Catalog, roots: &DataRoots) -> Result<Pairs, ConfigError> {
    let mut seen: Vec<(&MethodEntry, Params)> = Vec::new();
    let (mut chosen, mut unfit) = (Vec::new(), Vec::new());
    for entry in &survey.methods {
        let Named { card, outside, needs } = method(survey, entry, catalog, roots)?;
        let params = card
            .resolve(&entry.params.value)
            .map_err(|problem| survey.fail(&entry.params, problem))?;
        refuse_twin(survey, entry, &params, &seen)?;
        let models = models_of(survey, entry)?;
        for place in entry.specs.as_ref().unwrap_or(&survey.specs) {
            let spec = place.value.clone();
            match card.fits_spec(&spec) {
                Ok(()) => chosen.push(Chosen {
                    card,
                    params: params.clone(),
                    needs: needs(&spec, &params),
                    spec,
                    models: models.clone(),
                    images: plain(&entry.calibration.images),
                    draws: entry.calibration.draws.clone(),
                    seeds: entry.seeds.as_ref().unwrap_or(&survey.seeds).clone(),
                    outside: outside.clone(),
                }),
                Err(reason) if entry.specs.is_some() => return Err(survey.fail(place, reason)),
                Err(reason) => {
                    let method = label::method(card.name, &params, Some(card));
                    let label = format!("{method}/{}", label::spec(&spec));
                    if !unfit.iter().any(|(known, _)| *known == label) {
                        unfit.push((label, reason));
                    }
                }
            }
        }
        seen.push((entry, params));
    }
    if chosen.is_empty() {
        let reasons: Vec<String> = unfit.iter().map(|(l, r)| format!("{l}: {r}")).collect();
        return Err(ConfigError::Key {
            origin: survey.origin.clone(),
            line: survey.specs.first().and_then(|s| s.line),
            message: format!("no method can do any of the specs ({})", reasons.join("; ")),
        });
    }
    Ok((chosen, unfit))
}

/// Refuses an entry that asks for nothing but what another one asks for.
fn refuse_twin(
    survey: &Survey,
    entry: &MethodEntry,
    params: &Params,
    seen: &[(&MethodEntry, Params)],
) -> Result<(), ConfigError> {
    let same = |(other, its): &&(&MethodEntry, Params)| {
        let values = |e: &MethodEntry| {
            let specs = plain(e.specs.as_ref().unwrap_or(&survey.specs));
            let models = plain(e.models.as_ref().unwrap_or(&survey.models));
            let seeds = e.seeds.as_ref().unwrap_or(&survey.seeds).clone();
            (specs, models, seeds, plain(&e.calibration.images), e.calibration.draws.clone())
        };
        other.name.value == entry.name.value && its == params && values(other) == values(entry)
    };
    match seen.iter().find(same) {
        Some((first, _)) => Err(survey.fail(
            &entry.name,
            format_args!(
                "is the same method with the same parameters as {}; name it once",
                first.name.key
            ),
        )),
        None => Ok(()),
    }
}

/// The models that a method runs on: all of the survey's, or those that its entry names.
fn models_of(survey: &Survey, entry: &MethodEntry) -> Result<Vec<String>, ConfigError> {
    let all = plain(&survey.models);
    let Some(own) = &entry.models else { return Ok(all) };
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    for place in own {
        if !all.contains(&place.value) {
            return Err(survey.fail(
                place,
                format_args!(
                    "{:?} is not among the models of the survey{}",
                    place.value,
                    suggestion(&place.value, &known)
                ),
            ));
        }
    }
    Ok(plain(own))
}

fn plain<T: Clone>(places: &[At<T>]) -> Vec<T> {
    places.iter().map(|at| at.value.clone()).collect()
}
