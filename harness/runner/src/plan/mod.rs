//! A plan: defaults merged, names resolved, the matrix expanded, ids known.

pub mod estimate;
pub mod here;
pub mod identity;
mod label;
mod matrix;
mod only;
mod outside;
mod resolve;

use std::time::Duration;

use quantbench_core::row::{Cell, FP32};
use quantbench_core::{Needs, Paper, Spec};
use quantbench_datasets::{DatasetManifest, Part, present};
use serde::Serialize;

use crate::config::model::ModelCard;
use crate::config::{Catalog, ConfigError, Survey};
use crate::external::Foreign;
use crate::store::Asked;
use here::Here;
use identity::{CellIds, Sources, ids};
use matrix::{Matrix, matrix};
use resolve::{Resolved, resolve};

/// Which part of a survey is wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Patterns that a cell must match, all of them: `key=value,value` with a key of model,
    /// method, bits, calibration and draw, else a text that its label contains.
    pub only: Vec<String>,
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
    /// Where its artefact comes from, if no method of this program makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
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
    /// Which cells of the survey these are, if not all: the run folder stays incomplete.
    pub selected: Option<String>,
    /// Why the rows are those of a partial run, if they are: never to be published.
    pub partial: Option<String>,
    /// All that the survey asks for, on all test images.
    #[serde(skip)]
    pub survey_cells: Vec<Asked>,
    /// No cell starts after this time.
    pub time_budget: Option<Duration>,
    /// First draw and first seed, whose artefacts get histograms; none if the survey wants none.
    pub histograms: Option<(u64, u64)>,
    /// Tables and figures that the survey wants in its report.
    #[serde(skip)]
    pub paper: Paper,
}

impl Plan {
    /// Whether histograms are stored beside the artefact of a cell: for the first draw and seed
    /// of each model, method and spec.
    pub fn wants_histograms(&self, cell: &Cell) -> bool {
        self.histograms.is_some_and(|(draw, seed)| {
            cell.method != FP32
                && cell.draw.is_none_or(|d| d == draw)
                && cell.seed.is_none_or(|s| s == seed)
        })
    }
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
    let resolved = resolve(survey, catalog, &here.roots)?;
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
        selected: selected(filter),
        partial: test_images.map(|n| format!("the first {n} test images")),
        survey_cells: Vec::new(),
        time_budget: filter.time_budget,
        histograms: survey
            .histograms
            .then(|| survey.calibration.draws.first().copied().zip(survey.seeds.first().copied()))
            .flatten(),
        paper: survey.paper.clone(),
    };
    let matrix = matrix(survey, &resolved, test_images);
    plan.remarks.extend(merged(&matrix));
    let several = matrix.has_several_calibrations();
    for (model, cell) in matrix.cells {
        let chosen = resolved.of(&cell);
        let label = label::of(&cell, several, chosen.map(|c| c.card));
        let whole = Cell { test_images: None, ..cell.clone() };
        plan.survey_cells.push(Asked { label: label.clone(), cell: whole });
        let outside = chosen.and_then(|c| c.outside.as_ref());
        let foreign = outside.map(|o| o.foreign.clone());
        plan.cells.push(PlannedCell { label, cell, ids: None, foreign });
        if let Some(missing) = outside.and_then(|o| o.missing.as_ref()) {
            if !plan.missing.contains(missing) {
                plan.missing.push(missing.clone());
            }
            continue;
        }
        let sources = sources(model, &resolved, here, survey.batch, &mut plan.missing);
        if let (Some(sources), Some(last)) = (sources, plan.cells.last_mut()) {
            last.ids = Some(ids(&last.cell, &sources.borrowed()));
        }
    }
    only::keep(&mut plan, &filter.only)?;
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

/// Which cells of the survey are run, if not all.
fn selected(filter: &Filter) -> Option<String> {
    let budget = filter
        .time_budget
        .map(|t| format!("cells started within {}", humantime::format_duration(t)));
    let parts: Vec<String> =
        [only::described(&filter.only), budget].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What the reader of a plan should know.
fn remarks(survey: &Survey, resolved: &Resolved<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let stochastic = resolved.chosen.iter().any(|c| c.card.stochastic);
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

fn merged(matrix: &Matrix<'_>) -> Option<String> {
    (matrix.merged > 0)
        .then(|| format!("methods: {} cells that several entries ask for run once", matrix.merged))
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
