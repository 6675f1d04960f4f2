//! How the loss curves in the numbers that grids give: Hutchinson's estimate of the trace of the
//! Hessian, with products from differences of gradients.

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_core::rng::Rng;
use quantbench_engine::autodiff::ops::cross_entropy;
use quantbench_engine::autodiff::{Back, Epoch, Gradients, Op, Sites, Tape, Value, Var, gather};

use super::grids::Curvature;
use super::sites::Running;
use super::trainer::Trainer;
use crate::contract::MethodError;
use crate::grant::Labelled;

/// Batches that are looked at.
const BATCHES: usize = 3;

/// How far numbers are moved, as a share of their root mean square.
const MOVE: f32 = 1e-2;

/// Sums over the numbers of one grid and all batches.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    /// Of signs times differences of gradients.
    trace: f64,
    gradient: f64,
    squared: f64,
}

impl Trainer<'_> {
    /// Measures the curvature at the first batches of an epoch and tells every grid.
    pub(super) fn measure(
        &mut self,
        data: &Labelled,
        order: &Epoch,
        seed: u64,
    ) -> Result<(), MethodError> {
        let mut all: BTreeMap<String, Sums> = BTreeMap::new();
        for (at, positions) in order.batches().take(BATCHES).enumerate() {
            let images = gather(data.images(), positions)?;
            let labels = data.labels(positions);
            let seed = format!("{seed} {at}");
            let mut ahead = self.gradients(&images, &labels, &seed, 1.0)?;
            let mut behind = self.gradients(&images, &labels, &seed, -1.0)?;
            for (name, leaf) in &ahead.leaves {
                let Some(other) = behind.leaves.get(name) else { continue };
                let pair = (leaf.take(&mut ahead.gradients), other.take(&mut behind.gradients));
                let (Some(a), Some(b)) = pair else { continue };
                add(all.entry(name.clone()).or_default(), leaf, &a, &b);
            }
        }
        for (name, grid) in self.placed.named_mut() {
            let Some(sums) = all.get(&name) else { continue };
            let mean = sums.gradient / sums.count;
            let deviation = (sums.squared / sums.count - mean * mean).max(0.0).sqrt();
            grid.curvature(Curvature { trace: sums.trace / sums.count, deviation });
        }
        Ok(())
    }

    /// Gradients at what grids give, moved along random signs.
    fn gradients(
        &mut self,
        images: &Tensor,
        labels: &[u16],
        seed: &str,
        way: f32,
    ) -> Result<Moved, MethodError> {
        let mut tape = Tape::new(&self.device);
        let image = self.image(&mut tape, images)?;
        let vars = self.on_tape(&mut tape);
        let inputs = BTreeMap::from([(self.network.input().to_string(), image)]);
        let running = Running::new(&mut self.placed, Some(&vars));
        let mut sites = Moving { running, seed, way, leaves: BTreeMap::new() };
        let run = self.network.run(&mut tape, inputs, &vars, true, &mut sites)?;
        let (leaves, fault) = (sites.leaves, sites.running.fault);
        if let Some(fault) = fault {
            return Err(fault);
        }
        let logits = run.values.get(self.network.output());
        let loss = logits.and_then(|logits| cross_entropy(&mut tape, *logits, labels, 0.0));
        let loss = loss.ok_or_else(|| self.no_logits())?;
        Ok(Moved { gradients: tape.backward(loss), leaves })
    }
}

/// Gradients, and where they are.
struct Moved {
    gradients: Gradients,
    leaves: BTreeMap<String, Leaf>,
}

/// What was added to what a grid gives.
struct Leaf {
    var: Var,
    /// The direction of each number.
    signs: Vec<i8>,
    /// How far numbers were moved.
    step: f32,
    is_map: bool,
}

impl Leaf {
    /// The gradient in the order of the signs.
    fn take(&self, gradients: &mut Gradients) -> Option<Vec<f32>> {
        if self.is_map {
            gradients.map(self.var).map(|m| m.to_tensor().data)
        } else {
            gradients.flat(self.var).map(|t| t.data)
        }
    }
}

fn add(sums: &mut Sums, leaf: &Leaf, ahead: &[f32], behind: &[f32]) {
    for ((a, b), sign) in ahead.iter().zip(behind).zip(&leaf.signs) {
        let gradient = f64::from(a + b) / 2.0;
        sums.count += 1.0;
        sums.trace += f64::from(*sign) * f64::from(a - b) / f64::from(2.0 * leaf.step);
        sums.gradient += gradient;
        sums.squared += gradient * gradient;
    }
}

/// The grids, and after each a small move along random signs.
struct Moving<'r, 'a, 'g> {
    running: Running<'a, 'g>,
    seed: &'r str,
    way: f32,
    leaves: BTreeMap<String, Leaf>,
}

impl Moving<'_, '_, '_> {
    /// A value of a grid, moved.
    fn moved(&mut self, tape: &mut Tape, name: String, value: Var) -> Var {
        let (tensor, is_map) = match tape.value(value) {
            Value::Map(map) => (map.to_tensor(), true),
            Value::Flat(tensor) => (tensor.clone(), false),
        };
        let squares: f64 = tensor.data.iter().map(|v| f64::from(*v).powi(2)).sum();
        let root = (squares / tensor.data.len().max(1) as f64).sqrt() as f32;
        let step = if root > 0.0 { MOVE * root } else { MOVE };
        let signs = signs(self.seed, &name, tensor.data.len());
        let along = tensor.data.iter().zip(&signs);
        let data = along.map(|(v, s)| v + self.way * step * f32::from(*s)).collect();
        let tensor = Tensor::new(tensor.dims, data);
        let moved = match tape.value(value) {
            Value::Map(map) => map.device().map(&tensor).map(Value::Map),
            Value::Flat(_) => Some(Value::Flat(tensor)),
        };
        let Some(moved) = moved else { return value };
        let leaf = tape.variable(Value::Flat(Tensor::new(vec![0], Vec::new())));
        let moved = tape.push(&[value, leaf], moved, Twice { value, leaf });
        self.leaves.insert(name, Leaf { var: leaf, signs, step, is_map });
        moved
    }
}

/// Plus and minus one at random, the same for the same names.
fn signs(seed: &str, name: &str, count: usize) -> Vec<i8> {
    const BITS: u32 = 32;
    let mut rng = Rng::from_parts(&["curvature", seed, name]);
    let mut signs = Vec::with_capacity(count + BITS as usize);
    while signs.len() < count {
        let bits = rng.below(1 << BITS);
        signs.extend((0..BITS).map(|i| if bits >> i & 1 == 1 { 1i8 } else { -1 }));
    }
    signs.truncate(count);
    signs
}

impl Sites for Moving<'_, '_, '_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let quantized = self.running.weight(tape, name, value);
        if quantized == value {
            return value;
        }
        self.moved(tape, format!("weight {name}"), quantized)
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let quantized = self.running.value(tape, name, value);
        if quantized == value {
            return value;
        }
        self.moved(tape, format!("value {name}"), quantized)
    }
}

/// A sum of two, each of which gets all of the gradient.
struct Twice {
    value: Var,
    leaf: Var,
}

impl Op for Twice {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let copy = match &gradient {
            Value::Map(map) => Value::Map(map.copy()),
            Value::Flat(tensor) => Value::Flat(tensor.clone()),
        };
        back.give(self.leaf, copy);
        back.give(self.value, gradient);
    }
}
