//! The quantizers of a network while it is reconstructed.

use std::collections::BTreeMap;

use quantbench_core::{Grid, QuantTensor, Tensor};
use quantbench_engine::autodiff::ops::{Affine, Chance, fake_quantize};
use quantbench_engine::autodiff::{Sites, Tape, Value, Var};

use super::ends;
use super::rounding::{Rounding, soften};
use crate::contract::{Job, MethodError};

/// Smallest step that learning may reach, as a share of the one that it began with.
const SMALLEST: f32 = 1e-3;

/// The grid of an activation, with a step that may be learned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    /// Step.
    pub(super) step: f32,
    zero_point: i32,
    top: i32,
    first: f32,
}

/// The grids of all activations.
pub(super) struct Activations {
    by_root: BTreeMap<String, Activation>,
    /// For each value with a grid, the one whose grid it has.
    root: BTreeMap<String, String>,
}

impl Activations {
    pub(super) fn new(job: &Job<'_>, grids: &BTreeMap<String, Grid>) -> Result<Self, MethodError> {
        let (mut by_root, mut root) = (BTreeMap::new(), BTreeMap::new());
        for site in &job.sites.activations {
            let Some(grid) = grids.get(&site.value) else { continue };
            let Some((0, top)) = ends(grid) else {
                let reason = format!("the grid of {:?} is not unsigned and affine", site.value);
                return Err(MethodError::Unfit { method: "reconstruction", reason });
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
    pub(super) fn of(&self, value: &str) -> Option<(&str, Activation)> {
        let root = self.root.get(value)?;
        Some((root, *self.by_root.get(root)?))
    }

    /// Sets a learned step, or the smallest one that is allowed; gives whether that was needed.
    pub(super) fn set(&mut self, root: &str, step: f32) -> bool {
        let Some(grid) = self.by_root.get_mut(root) else { return false };
        let smallest = grid.first * SMALLEST;
        let guarded = step < smallest || step.is_nan();
        grid.step = if guarded { smallest } else { step };
        guarded
    }

    /// The grids with the steps of now.
    pub(super) fn into_grids(self, mut grids: BTreeMap<String, Grid>) -> BTreeMap<String, Grid> {
        for (value, grid) in &mut grids {
            if let Some((_, now)) = self.of(value) {
                grid.scale = vec![now.step];
            }
        }
        grids
    }
}

impl Activation {
    /// The grid for a tape, the gradient of its step times `rate`.
    fn affine(&self, float: Option<(f32, Chance)>) -> Affine {
        Affine { zero_point: self.zero_point, top: self.top, rate: 1.0, float }
    }
}

/// Quantizers that are not learned.
pub(super) struct Fixed<'a> {
    weights: Option<&'a BTreeMap<String, QuantTensor>>,
    activations: Option<&'a Activations>,
    /// A value that is quantized already.
    input: &'a str,
}

impl<'a> Fixed<'a> {
    pub(super) fn new(
        weights: &'a BTreeMap<String, QuantTensor>,
        activations: &'a Activations,
        with_weights: bool,
        with_activations: bool,
        input: &'a str,
    ) -> Self {
        Self {
            weights: with_weights.then_some(weights),
            activations: with_activations.then_some(activations),
            input,
        }
    }
}

impl Sites for Fixed<'_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        match self.weights.and_then(|w| w.get(name)) {
            Some(weights) => tape.constant(Value::Flat(weights.dequantize())),
            None => value,
        }
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        if name == self.input {
            return value;
        }
        let Some((_, grid)) = self.activations.and_then(|a| a.of(name)) else { return value };
        let step = tape.constant(Value::Flat(Tensor::new(vec![1], vec![grid.step])));
        fake_quantize(tape, value, step, grid.affine(None)).unwrap_or(value)
    }
}

/// Quantizers while they are learned.
pub(super) struct Learning<'a> {
    /// Rounding variables on the tape, by weight.
    pub(super) rounding: &'a BTreeMap<String, (&'a Rounding, Var)>,
    /// Weights that are not learned.
    pub(super) weights: &'a BTreeMap<String, QuantTensor>,
    /// Grids of activations; none while these are in float.
    pub(super) activations: Option<&'a Activations>,
    /// Steps on the tape that are learned, by root.
    pub(super) steps: &'a BTreeMap<String, Var>,
    /// A value that is quantized already.
    pub(super) input: &'a str,
    /// Share of an activation's numbers that stay in float, the seed and the iteration.
    pub(super) drop: Option<(f32, u64, u64)>,
    /// Quantizers met so far.
    pub(super) met: u64,
    /// Exponent and weight of the regulariser, where there is one now.
    pub(super) regulariser: Option<(f32, f32)>,
    /// The regularisers of the weights met so far.
    pub(super) indecision: Vec<Var>,
}

impl Sites for Learning<'_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        if let Some((rounding, var)) = self.rounding.get(name) {
            let (soft, indecision) = soften(tape, *var, rounding, self.regulariser);
            self.indecision.extend(indecision);
            return soft;
        }
        Fixed { weights: Some(self.weights), activations: None, input: "" }
            .weight(tape, name, value)
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        if name == self.input {
            return value;
        }
        let Some((root, grid)) = self.activations.and_then(|a| a.of(name)) else { return value };
        let step = match self.steps.get(root) {
            Some(step) => *step,
            None => tape.constant(Value::Flat(Tensor::new(vec![1], vec![grid.step]))),
        };
        self.met += 1;
        let met = self.met;
        let float = self.drop.map(|(share, seed, at)| (share, Chance::new(seed, at, met)));
        fake_quantize(tape, value, step, grid.affine(float)).unwrap_or(value)
    }
}
