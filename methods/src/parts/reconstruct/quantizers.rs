//! The quantizers of a network while it is reconstructed.

use std::collections::BTreeMap;

use quantbench_core::{Grid, Tensor};
use quantbench_engine::autodiff::ops::{Affine, Chance, fake_quantize};
use quantbench_engine::autodiff::{Sites, Tape, Value, Var};

use super::ends;
use crate::contract::{Job, MethodError};

/// Smallest step that learning may reach, as a share of the one that it began with.
pub(super) const SMALLEST: f32 = 1e-3;

/// The grid of an activation, with a step that may be learned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activation {
    /// Step.
    pub(crate) step: f32,
    zero_point: i32,
    /// Largest code.
    pub(super) top: i32,
    first: f32,
}

/// The grids of all activations.
pub(crate) struct Activations {
    by_root: BTreeMap<String, Activation>,
    /// For each value with a grid, the one whose grid it has.
    root: BTreeMap<String, String>,
}

impl Activations {
    pub(crate) fn new(
        job: &Job<'_>,
        grids: &BTreeMap<String, Grid>,
        method: &'static str,
    ) -> Result<Self, MethodError> {
        let (mut by_root, mut root) = (BTreeMap::new(), BTreeMap::new());
        for site in &job.sites.activations {
            let Some(grid) = grids.get(&site.value) else { continue };
            let Some((0, top)) = ends(grid) else {
                let reason = format!("the grid of {:?} is not unsigned and affine", site.value);
                return Err(MethodError::Unfit { method, reason });
            };
            let owner = site.shares.map_or(&site.value, |i| &job.sites.activations[i].value);
            root.insert(site.value.clone(), owner.clone());
            let (step, zero_point) = (grid.scale[0], grid.zero_point[0]);
            let grid = Activation { step, zero_point, top, first: step };
            by_root.entry(owner.clone()).or_insert(grid);
        }
        Ok(Self { by_root, root })
    }

    /// The grid of a value and the name under which it is kept.
    pub(crate) fn of(&self, value: &str) -> Option<(&str, Activation)> {
        let root = self.root.get(value)?;
        Some((root, *self.by_root.get(root)?))
    }

    /// Sets a step.
    pub(crate) fn set(&mut self, root: &str, step: f32) {
        if let Some(grid) = self.by_root.get_mut(root) {
            grid.step = step;
        }
    }

    /// The grids with the steps of now.
    pub(crate) fn into_grids(self, mut grids: BTreeMap<String, Grid>) -> BTreeMap<String, Grid> {
        for (value, grid) in &mut grids {
            if let Some((_, now)) = self.of(value) {
                grid.scale = vec![now.step];
            }
        }
        grids
    }
}

impl Activation {
    /// The smallest step that learning may reach.
    pub(super) fn smallest(&self) -> f32 {
        self.first * SMALLEST
    }

    /// The grid for a tape.
    fn affine(&self, float: Option<(f32, Chance)>) -> Affine {
        Affine { zero_point: self.zero_point, top: self.top, rate: 1.0, float }
    }
}

/// Which values are quantized, of those that have a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Which<'a> {
    /// None.
    Nothing,
    /// This one.
    Only(&'a str),
    /// All but this one, which is quantized already or to stay as it is.
    AllBut(&'a str),
}

impl Which<'_> {
    /// Whether a value is one of them.
    pub(crate) fn has(&self, value: &str) -> bool {
        match self {
            Which::Nothing => false,
            Which::Only(one) => value == *one,
            Which::AllBut(one) => value != *one,
        }
    }
}

/// Some of an activation's numbers stay in float.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drop {
    /// Which share.
    pub(super) share: f32,
    /// Seed of the choice.
    pub(super) seed: u64,
    /// The iteration.
    pub(super) at: u64,
    /// Images of the batch before the ones at hand.
    pub(super) before: usize,
}

/// The quantizers of activations.
pub(crate) struct Quantizers<'a> {
    activations: &'a Activations,
    which: Which<'a>,
    /// Steps on the tape that are learned, by root.
    steps: Option<&'a BTreeMap<String, Var>>,
    drop: Option<Drop>,
    /// Quantizers met so far.
    met: u64,
    /// A value whose quantizer could not be applied.
    failed: Option<String>,
}

impl<'a> Quantizers<'a> {
    /// Of steps that are not learned.
    pub(crate) fn new(activations: &'a Activations, which: Which<'a>) -> Self {
        Self { activations, which, steps: None, drop: None, met: 0, failed: None }
    }

    /// Of steps of which some are learned, while some numbers stay in float.
    pub(super) fn learning(self, steps: &'a BTreeMap<String, Var>, drop: Option<Drop>) -> Self {
        Self { steps: Some(steps), drop, ..self }
    }

    /// An error if a value that was to be quantized is still in float.
    pub(crate) fn check(&self, method: &'static str) -> Result<(), MethodError> {
        match &self.failed {
            None => Ok(()),
            Some(value) => {
                let reason = format!("the grid of {value:?} has no single step");
                Err(MethodError::Unfit { method, reason })
            }
        }
    }
}

impl Sites for Quantizers<'_> {
    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        if !self.which.has(name) {
            return value;
        }
        let Some((root, grid)) = self.activations.of(name) else { return value };
        let step = match self.steps.and_then(|steps| steps.get(root)) {
            Some(step) => *step,
            None => tape.constant(Value::Flat(Tensor::new(vec![1], vec![grid.step]))),
        };
        self.met += 1;
        let chance = |d: Drop| Chance::new(d.seed, d.at, self.met).after(d.before);
        let float = self.drop.map(|d| (d.share, chance(d)));
        let done = fake_quantize(tape, value, step, grid.affine(float));
        if done.is_none() {
            self.failed.get_or_insert_with(|| name.to_string());
        }
        done.unwrap_or(value)
    }
}
