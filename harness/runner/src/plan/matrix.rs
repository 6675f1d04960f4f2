//! The matrix of a survey: model x method x spec x calibration images x draw x seed.

use std::collections::HashSet;

use quantbench_core::card::Params;
use quantbench_core::row::{Cell, FP32};
use quantbench_core::{Bits, Needs, SitesRule, Spec};

use crate::config::Survey;
use crate::config::model::ModelCard;
use crate::config::survey::DeployedRule;
use crate::plan::resolve::{Chosen, Resolved};

/// The expanded matrix.
pub(super) struct Matrix<'c> {
    /// The cells in the order in which they run, each with its model.
    pub(super) cells: Vec<(&'c ModelCard, Cell)>,
    /// Cells that several entries of a method ask for, beyond the first time.
    pub(super) merged: usize,
}

/// Expands a survey; a cell that several entries ask for is there once.
///
/// Draw by draw: a run that is stopped early has whole comparisons on its first draw.
pub(super) fn matrix<'c>(
    survey: &Survey,
    resolved: &Resolved<'c>,
    test_images: Option<usize>,
) -> Matrix<'c> {
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
        maker: None,
    };
    let mut out =
        Matrix { cells: resolved.models.iter().map(|m| (*m, plain(m))).collect(), merged: 0 };
    let mut seen = HashSet::new();
    for (round, draw) in draws(survey, resolved).into_iter().enumerate() {
        for model in &resolved.models {
            for chosen in resolved.chosen.iter().filter(|c| c.models.contains(&model.name)) {
                let card = chosen.card;
                for (images, draw) in calibrations(chosen, round, draw) {
                    let cell = Cell {
                        method: card.name.to_string(),
                        method_version: card.version,
                        family: Some(card.family),
                        needs: chosen.needs,
                        params: chosen.params.clone(),
                        spec: Some(chosen.spec.clone()),
                        calibration_images: images,
                        draw,
                        deployed: wants_deployed(survey, resolved, &chosen.spec),
                        maker: chosen.outside.as_ref().map(|o| o.maker.clone()),
                        ..plain(model)
                    };
                    for cell in seeded(cell, card.stochastic.then_some(&chosen.seeds)) {
                        // A cell has no total order and no hash; its text has both.
                        if seen.insert(format!("{cell:?}")) {
                            out.cells.push((*model, cell));
                        } else {
                            out.merged += 1;
                        }
                    }
                }
            }
        }
    }
    out
}

/// A cell, once for each seed if its method uses some.
fn seeded(cell: Cell, seeds: Option<&Vec<u64>>) -> Vec<Cell> {
    match seeds {
        Some(seeds) => {
            seeds.iter().map(|seed| Cell { seed: Some(*seed), ..cell.clone() }).collect()
        }
        None => vec![cell],
    }
}

impl Matrix<'_> {
    /// Whether cells differ in the number of images that they are granted.
    pub(super) fn has_several_calibrations(&self) -> bool {
        let granted = self.cells.iter().filter(|(_, c)| c.draw.is_some());
        granted.map(|(_, c)| c.calibration_images).collect::<HashSet<_>>().len() > 1
    }
}

/// All draws: the survey's first, then those that only some methods have.
fn draws(survey: &Survey, resolved: &Resolved<'_>) -> Vec<u64> {
    let mut out = survey.calibration.draws.clone();
    for draw in resolved.chosen.iter().flat_map(|c| &c.draws) {
        if !out.contains(draw) {
            out.push(*draw);
        }
    }
    out
}

/// Numbers of images and draw of a method in a round; without a grant it runs once, in the first.
fn calibrations(chosen: &Chosen, round: usize, draw: u64) -> Vec<(usize, Option<u64>)> {
    match (chosen.needs, round) {
        (Needs::Nothing, 0) => vec![(0, None)],
        (Needs::Nothing, _) => Vec::new(),
        _ if chosen.draws.contains(&draw) => {
            chosen.images.iter().map(|n| (*n, Some(draw))).collect()
        }
        _ => Vec::new(),
    }
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
