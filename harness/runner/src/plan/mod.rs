//! A plan: defaults merged, names resolved, the matrix expanded, ids known.

pub mod estimate;
pub mod here;
pub mod identity;
mod label;
mod resolve;

use std::time::Duration;

use quantbench_core::card::Params;
use quantbench_core::row::{Cell, FP32};
use quantbench_core::{Bits, Needs, SitesRule, Spec};
use quantbench_datasets::{DatasetManifest, Part, present};
use serde::Serialize;

use crate::config::model::ModelCard;
use crate::config::survey::DeployedRule;
use crate::config::{Catalog, ConfigError, Survey};
use here::Here;
use identity::{CellIds, Sources, ids};
use resolve::{Chosen, Resolved, resolve};

/// Which part of a survey is wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only cells whose label contains this text.
    pub only: Option<String>,
    /// Only the first so many test images, in canonical order.
    pub images: Option<usize>,
    /// No cell starts after this time.
    pub time_budget: Option<Duration>,
}

/// One cell of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCell {
    /// For people: `model/method/spec/draw`.
    pub label: String,
    /// What is asked.
    pub cell: Cell,
    /// Its ids; none where the data or the runtime that they depend on is missing.
    pub ids: Option<CellIds>,
}

impl PlannedCell {
    /// Whether this is the unquantized model.
    pub fn is_fp32(&self) -> bool {
        self.cell.method == FP32
    }
}

/// An expanded survey.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Name of the survey.
    pub survey: String,
    /// Its summary.
    pub summary: Option<String>,
    /// Name of the data set.
    pub dataset: String,
    /// Images per forward pass of the evaluation.
    pub batch: usize,
    /// Test images that every cell is evaluated on, if known.
    pub test_images: Option<usize>,
    /// The cells: first the FP32 model of each model, then draw by draw.
    pub cells: Vec<PlannedCell>,
    /// Pairs of method and spec that are left out, with the reason.
    pub unfit: Vec<(String, String)>,
    /// What is missing on this machine; with anything here the plan cannot run.
    pub missing: Vec<String>,
    /// What else there is to say.
    pub remarks: Vec<String>,
    /// Why this is only a part of the survey, if it is.
    pub partial: Option<String>,
    /// No cell starts after this time.
    pub time_budget: Option<Duration>,
}

/// Expands a survey on this machine.
pub fn plan(survey: &Survey, catalog: &Catalog, filter: &Filter) -> Result<Plan, ConfigError> {
    plan_here(survey, catalog, filter, &Here::look())
}

/// Expands a survey on a machine as described.
pub fn plan_here(
    survey: &Survey,
    catalog: &Catalog,
    filter: &Filter,
    here: &Here,
) -> Result<Plan, ConfigError> {
    let resolved = resolve(survey, catalog)?;
    let test_images = test_images(filter, resolved.dataset)?;
    let mut plan = Plan {
        survey: survey.name.clone(),
        summary: survey.summary.clone(),
        dataset: resolved.dataset.name.clone(),
        batch: survey.batch,
        test_images: test_images.or(resolved.dataset.images.as_ref().map(|n| n.test)),
        cells: Vec::new(),
        unfit: resolved.unfit.clone(),
        missing: Vec::new(),
        remarks: remarks(survey, &resolved),
        partial: None,
        time_budget: filter.time_budget,
    };
    for (model, cell) in cells(survey, &resolved, test_images) {
        plan.cells.push(PlannedCell { label: label::of(&cell), cell, ids: None });
        let sources = sources(model, &resolved, here, survey.batch, &mut plan.missing);
        if let (Some(sources), Some(last)) = (sources, plan.cells.last_mut()) {
            last.ids = Some(ids(&last.cell, &sources.borrowed()));
        }
    }
    keep_only(&mut plan, filter)?;
    plan.partial = partial(filter, test_images);
    for model in &resolved.models {
        let used = plan.cells.iter().any(|c| c.cell.model == model.name);
        if let (true, Err(error)) = (used, model.locate(&here.roots)) {
            plan.missing.push(error.to_string());
        }
    }
    absent_data(&mut plan, resolved.dataset, here);
    Ok(plan)
}

/// Adds the splits that the cells read and that are not on this machine to what is missing.
fn absent_data(plan: &mut Plan, dataset: &DatasetManifest, here: &Here) {
    let granted = plan.cells.iter().any(|c| c.cell.needs != Needs::Nothing);
    for part in [Part::Test].into_iter().chain(granted.then_some(Part::Train)) {
        if let Err(error) = present(dataset, part, &here.roots) {
            let text = error.to_string();
            if !plan.missing.contains(&text) {
                plan.missing.push(text);
            }
        }
    }
}

/// The cells in the order in which they run, each with its model.
fn cells<'c>(
    survey: &Survey,
    resolved: &Resolved<'c>,
    test_images: Option<usize>,
) -> Vec<(&'c ModelCard, Cell)> {
    let plain = |model: &ModelCard| Cell {
        model: model.name.clone(),
        dataset: resolved.dataset.name.clone(),
        method: FP32.to_string(),
        method_version: 1,
        family: None,
        needs: Needs::Nothing,
        params: Params::new(),
        spec: None,
        calibration_images: 0,
        draw: None,
        seed: None,
        test_images,
        deployed: false,
    };
    let mut out: Vec<(&ModelCard, Cell)> = resolved.models.iter().map(|m| (*m, plain(m))).collect();
    // Draw by draw: a run that is stopped early has whole comparisons on its first draw.
    for (round, draw) in survey.calibration.draws.iter().enumerate() {
        for model in &resolved.models {
            for Chosen { method, params, needs, spec } in &resolved.chosen {
                let card = method.card();
                let granted = *needs != Needs::Nothing;
                if !granted && round > 0 {
                    continue;
                }
                let cell = Cell {
                    method: card.name.to_string(),
                    method_version: card.version,
                    family: Some(card.family),
                    needs: *needs,
                    params: params.clone(),
                    spec: Some(spec.clone()),
                    calibration_images: if granted { survey.calibration.images.value } else { 0 },
                    draw: granted.then_some(*draw),
                    deployed: wants_deployed(survey, resolved, spec),
                    ..plain(model)
                };
                if card.stochastic {
                    let seeded = |seed| (*model, Cell { seed: Some(seed), ..cell.clone() });
                    out.extend(survey.seeds.iter().copied().map(seeded));
                } else {
                    out.push((model, cell));
                }
            }
        }
    }
    out
}

/// Integer kernels exist for 8 bits where every operator lies between two quantized values.
fn wants_deployed(survey: &Survey, resolved: &Resolved<'_>, spec: &Spec) -> bool {
    let eight = spec.widths().all(|bits| {
        !bits.ternary && bits.weights == Bits::EIGHT && bits.activations == Bits::EIGHT
    });
    survey.deployed == DeployedRule::Auto
        && eight
        && spec.sites == SitesRule::Deployable
        && (resolved.profiles.is_empty() || resolved.profiles.iter().any(|p| p.check(spec).is_ok()))
}

/// The number of test images of a partial run, none for the whole test set.
fn test_images(filter: &Filter, dataset: &DatasetManifest) -> Result<Option<usize>, ConfigError> {
    let all = dataset.images.as_ref().map(|n| n.test);
    let wrong = |message| Err(ConfigError::Option { option: "--images", message });
    match (filter.images, all) {
        (Some(0), _) => wrong("0 does not fit; expected at least 1 test image".to_string()),
        (Some(n), Some(all)) if n > all => wrong(format!(
            "{n} does not fit; data set {} has {all} test images, leave the option out for all",
            dataset.name
        )),
        (Some(n), Some(all)) if n == all => Ok(None),
        (n, _) => Ok(n),
    }
}

/// Keeps the cells that `--only` names, and the FP32 cells that they need.
fn keep_only(plan: &mut Plan, filter: &Filter) -> Result<(), ConfigError> {
    let Some(text) = &filter.only else { return Ok(()) };
    let models: Vec<String> = plan
        .cells
        .iter()
        .filter(|c| c.label.contains(text.as_str()))
        .map(|c| c.cell.model.clone())
        .collect();
    if models.is_empty() {
        let some: Vec<&str> = plan.cells.iter().rev().take(3).map(|c| c.label.as_str()).collect();
        let message =
            format!("no cell's label contains {text:?}; labels are like {}", some.join(", "));
        return Err(ConfigError::Option { option: "--only", message });
    }
    plan.cells.retain(|c| {
        c.label.contains(text.as_str()) || (c.is_fp32() && models.contains(&c.cell.model))
    });
    Ok(())
}

fn partial(filter: &Filter, test_images: Option<usize>) -> Option<String> {
    let parts: Vec<String> = [
        filter.only.as_ref().map(|text| format!("only cells with {text:?}")),
        test_images.map(|n| format!("the first {n} test images")),
        filter
            .time_budget
            .map(|t| format!("cells started within {}", humantime::format_duration(t))),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What the reader of a plan should know.
fn remarks(survey: &Survey, resolved: &Resolved<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let stochastic = resolved.chosen.iter().any(|c| c.method.card().stochastic);
    if survey.seeds.len() > 1 && !stochastic {
        out.push(
            "seeds: no method of this survey uses randomness of its own; each cell runs once"
                .to_string(),
        );
    }
    let mut specs: Vec<Spec> = Vec::new();
    for chosen in &resolved.chosen {
        if !specs.contains(&chosen.spec) {
            specs.push(chosen.spec.clone());
        }
    }
    for profile in &resolved.profiles {
        let unfit = specs.iter().filter_map(|spec| profile.check(spec).err());
        out.extend(unfit.map(|u| format!("simulated only: {u}")));
    }
    out
}

/// What enters the ids of a model's cells.
struct Known<'a> {
    model: &'a ModelCard,
    train: String,
    test: String,
    runtime: &'a str,
    isa: &'a str,
    batch: usize,
}

impl Known<'_> {
    fn borrowed(&self) -> Sources<'_> {
        Sources {
            model_sha256: &self.model.sha256,
            preprocess: &self.model.preprocess,
            train: &self.train,
            test: &self.test,
            runtime: self.runtime,
            isa: self.isa,
            batch: self.batch,
        }
    }
}

/// The sources of ids, or none, with what is missing added to `missing` once.
fn sources<'a>(
    model: &'a ModelCard,
    resolved: &Resolved<'a>,
    here: &'a Here,
    batch: usize,
    missing: &mut Vec<String>,
) -> Option<Known<'a>> {
    let mut note = |text: String| {
        if !missing.contains(&text) {
            missing.push(text);
        }
    };
    let mut hash = |part| match here.split_hash(resolved.dataset, part) {
        Ok(hash) => Some(hash),
        Err(error) => {
            note(error.to_string());
            None
        }
    };
    let (train, test) = (hash(Part::Train)?, hash(Part::Test)?);
    match &here.runtime {
        Ok(runtime) => Some(Known { model, train, test, runtime, isa: &here.isa, batch }),
        Err(error) => {
            note(error.clone());
            None
        }
    }
}

#[cfg(test)]
mod tests;
