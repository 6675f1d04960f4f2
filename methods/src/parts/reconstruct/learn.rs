//! The loop: batches of one part's inputs, forward, backward, step.

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::{Chance, relu, squared_error, total};
use quantbench_engine::autodiff::optim::{
    Adam, Group, Optimizer, Parameters, Rule, Schedule, Shape,
};
use quantbench_engine::autodiff::{Device, Gradients, Map, Tape, Value, Var};

use super::pieces::Piece;
use super::quantizers::{Drop, Learning, Quantizers, Which};
use super::rounding::Rounding;
use super::state::State;
use super::{Settings, unfit};
use crate::contract::{Context, MethodError};

/// What one part is taught.
pub(super) struct Lesson<'a> {
    pub(super) piece: &'a Piece,
    /// Its input in the network that is quantized up to here.
    pub(super) seen: &'a Map,
    /// Its input in the FP32 network.
    pub(super) float: &'a Map,
    /// Its output in the FP32 network.
    pub(super) target: &'a Map,
    /// Whether a rectified linear unit follows before outputs are compared.
    pub(super) rectified: bool,
    /// Whether weights are learned.
    pub(super) weights: bool,
    /// Which activations are quantized.
    pub(super) quantized: Which<'a>,
    pub(super) iterations: usize,
    /// Learning rate of steps; none if they are not learned.
    pub(super) steps: Option<f64>,
}

/// Learns, and adds what was learned to the state.
pub(super) fn learn(
    device: &Device,
    settings: &Settings,
    lesson: &Lesson<'_>,
    state: &mut State,
    cx: &mut Context<'_>,
) -> Result<(), MethodError> {
    let Some(mut learner) = Learner::new(settings, lesson, state)? else { return Ok(()) };
    let count = lesson.seen.shape().images;
    let batch = settings.batch.min(count);
    let seed = cx.rng.below(u64::MAX);
    for at in 0..lesson.iterations {
        if at % 64 == 0 {
            cx.step(at, lesson.iterations, "reconstruction")?;
        }
        let picked: Vec<usize> = (0..batch).map(|_| cx.rng.below(count as u64) as usize).collect();
        let mut tape = Tape::new(device);
        let vars = learner.on_tape(&mut tape);
        let loss = learner.loss(&mut tape, &vars, &picked, seed, at)?;
        if !tape.scalar(loss).is_finite() {
            let what = format!("reconstruction up to {:?}, iteration {at},", lesson.piece.output);
            return Err(MethodError::NotFinite { what });
        }
        learner.step(tape.backward(loss), &vars, at)?;
    }
    learner.finish();
    Ok(())
}

/// What is learned in a lesson.
struct Learner<'a> {
    settings: &'a Settings,
    lesson: &'a Lesson<'a>,
    state: &'a mut State,
    /// The weights that are learned.
    rounding: BTreeMap<String, Rounding>,
    variables: Option<Optimizer>,
    steps: Option<(Optimizer, Schedule)>,
    /// Parameters that are not learned, as the quantized network has them.
    still: BTreeMap<String, Tensor>,
}

/// Parameters on a tape.
struct Vars {
    /// Those of the part.
    part: BTreeMap<String, Var>,
    /// Steps of activations.
    steps: BTreeMap<String, Var>,
}

impl<'a> Learner<'a> {
    /// None if there is nothing to learn.
    fn new(
        settings: &'a Settings,
        lesson: &'a Lesson<'a>,
        state: &'a mut State,
    ) -> Result<Option<Self>, MethodError> {
        let rounding = roundings(lesson, state);
        let first = rounding.iter().map(|(n, r)| (n.clone(), r.first.clone()));
        let variables = optimizer(first, settings.rate)?;
        let steps = match lesson.steps.filter(|_| lesson.iterations > 0) {
            Some(rate) => optimizer(roots(lesson, state), 1.0)?.zip(Some(rate)),
            None => None,
        };
        let steps = match steps {
            Some((optimizer, rate)) => {
                let shape = Shape::Cosine { floor: 0.0 };
                Some((optimizer, Schedule::new(shape, rate, 0, lesson.iterations)?))
            }
            None => None,
        };
        if (variables.is_none() && steps.is_none()) || lesson.iterations == 0 {
            return Ok(None);
        }
        let mut still = state.parameters(&lesson.piece.network, true);
        still.retain(|name, _| !rounding.contains_key(name));
        Ok(Some(Self { settings, lesson, state, rounding, variables, steps, still }))
    }

    fn on_tape(&self, tape: &mut Tape) -> Vars {
        let mut part = on_tape(tape, self.variables.as_ref());
        for (name, tensor) in &self.still {
            part.insert(name.clone(), tape.constant(Value::Flat(tensor.clone())));
        }
        Vars { part, steps: on_tape(tape, self.steps.as_ref().map(|s| &s.0)) }
    }

    /// The loss of a batch.
    fn loss(
        &self,
        tape: &mut Tape,
        vars: &Vars,
        picked: &[usize],
        seed: u64,
        at: usize,
    ) -> Result<Var, MethodError> {
        let (settings, lesson, method) = (self.settings, self.lesson, self.settings.method);
        let drop = Drop { share: settings.drop, seed, at: at as u64 };
        let drop = (settings.drop > 0.0).then_some(drop);
        let quantizers = Quantizers::new(&self.state.activations, lesson.quantized);
        let mut sites = Learning {
            quantizers: quantizers.learning(&vars.steps, drop),
            rounding: &self.rounding,
            regulariser: beta(settings, at, lesson.iterations)
                .map(|beta| (beta as f32, settings.lambda as f32)),
            indecision: Vec::new(),
        };
        let input = tape.constant(Value::Map(mixed(lesson, drop, picked)));
        let inputs = BTreeMap::from([(lesson.piece.input.clone(), input)]);
        let run = lesson.piece.network.run(tape, inputs, &vars.part, false, &mut sites)?;
        sites.quantizers.check(method)?;
        let output = run.values.get(&lesson.piece.output).copied();
        let mut output = output.ok_or_else(|| unfit(method, "a part does not give its output"))?;
        if lesson.rectified {
            output = relu(tape, output);
        }
        let target = lesson.target.gather(picked);
        let changed = "a part's output changes its shape when it is quantized";
        let error =
            squared_error(tape, output, target, None).ok_or_else(|| unfit(method, changed))?;
        let mut terms = vec![(error, 1.0)];
        terms.extend(sites.indecision.iter().map(|var| (*var, 1.0)));
        Ok(total(tape, &terms))
    }

    /// Moves everything along its gradient.
    fn step(&mut self, gradients: Gradients, vars: &Vars, at: usize) -> Result<(), MethodError> {
        let mut gradients = gradients;
        let mut take = |optimizer: &Optimizer, vars: &BTreeMap<String, Var>| {
            let all = optimizer.parameters().all().iter();
            all.map(|p| gradients.flat(*vars.get(p.name())?)).collect::<Vec<_>>()
        };
        if let Some(variables) = &mut self.variables {
            let found = take(variables, &vars.part);
            variables.step(&found, 1.0)?;
        }
        if let Some((steps, schedule)) = &mut self.steps {
            let found = take(steps, &vars.steps);
            steps.step(&found, schedule.rate(at)?)?;
            let activations = &self.state.activations;
            let smallest = |name: &str| Some(vec![activations.of(name)?.1.smallest()]);
            self.state.guarded += guard(steps, smallest);
            for parameter in steps.parameters().all() {
                self.state.activations.set(parameter.name(), parameter.value().data[0]);
            }
        }
        Ok(())
    }

    /// Takes over the weights that were learned.
    fn finish(self) {
        let Some(variables) = &self.variables else { return };
        for (name, rounding) in &self.rounding {
            let Some(at) = variables.parameters().find(name) else { continue };
            let (hard, open) = rounding.harden(variables.parameters().all()[at].value());
            if open > 0.01 {
                let note = format!("{name}: {:.1} % of the weights had not decided", 100.0 * open);
                self.state.notes.push(note);
            }
            self.state.weights.insert(name.clone(), hard);
            self.state.learned.insert(name.clone());
        }
    }
}

/// The weights whose rounding is learned.
fn roundings(lesson: &Lesson<'_>, state: &State) -> BTreeMap<String, Rounding> {
    let parameters = lesson.piece.network.parameters().iter().filter(|_| lesson.weights);
    parameters
        .filter(|(name, _)| !state.learned.contains(*name))
        .filter_map(|(name, tensor)| {
            Some((name.clone(), Rounding::new(tensor, state.weights.get(name)?)?))
        })
        .collect()
}

/// The steps of a part's activations that are learned, by root.
fn roots(lesson: &Lesson<'_>, state: &State) -> BTreeMap<String, Tensor> {
    let activations = &state.activations;
    let input = activations.of(&lesson.piece.input).map(|(root, _)| root);
    let values = lesson.piece.network.values().filter(|v| *v != lesson.piece.input);
    values
        .filter_map(|value| activations.of(value))
        // A grid that the input shares is not this piece's to change.
        .filter(|(root, _)| Some(*root) != input)
        .map(|(root, grid)| (root.to_string(), Tensor::new(vec![1], vec![grid.step])))
        .collect()
}

/// Adam for parameters with a rate each as a multiple of that of a step; none without any.
fn optimizer(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    rate: f64,
) -> Result<Option<Optimizer>, MethodError> {
    let mut parameters = Parameters::new();
    let group = parameters.add_group(Group { name: "all".to_string(), rate, weight_decay: 0.0 })?;
    for (name, tensor) in tensors {
        parameters.add(group, &name, tensor)?;
    }
    if parameters.all().is_empty() {
        return Ok(None);
    }
    Ok(Some(Optimizer::new(Rule::Adam(Adam::default()), parameters)?))
}

/// Keeps parameters at or above the smallest values that they may have, in the optimizer itself,
/// so that it goes on from there; gives how often that was needed.
fn guard(optimizer: &mut Optimizer, smallest: impl Fn(&str) -> Option<Vec<f32>>) -> usize {
    let mut guarded = 0;
    for (name, values) in optimizer.values_mut() {
        let Some(smallest) = smallest(name) else { continue };
        for (value, smallest) in values.iter_mut().zip(smallest) {
            if *value < smallest {
                *value = smallest;
                guarded += 1;
            }
        }
    }
    guarded
}

fn on_tape(tape: &mut Tape, optimizer: Option<&Optimizer>) -> BTreeMap<String, Var> {
    let all = optimizer.iter().flat_map(|o| o.parameters().all());
    all.map(|p| (p.name().to_string(), tape.parameter(p.value()))).collect()
}

/// The inputs of a batch, some numbers from the FP32 network.
fn mixed(lesson: &Lesson<'_>, drop: Option<Drop>, picked: &[usize]) -> Map {
    let seen = lesson.seen.gather(picked);
    let Some(drop) = drop else { return seen };
    let float = lesson.float.gather(picked);
    let chance = Chance::new(drop.seed, drop.at, 0);
    chance.mix(&float, &seen, drop.share).unwrap_or(seen)
}

/// The exponent of the regulariser; none during the warm-up.
fn beta(settings: &Settings, at: usize, iterations: usize) -> Option<f64> {
    let (first, last) = settings.beta;
    let (at, all) = (at as f64, iterations as f64);
    let warm = settings.warm_up * all;
    (at >= warm).then(|| first + (last - first) * (at - warm) / (all - warm).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_parameter_goes_on_from_its_smallest_value() {
        let tensors = [("a", 1.0f32), ("b", 1.0)];
        let tensors = tensors.map(|(n, v)| (n.to_string(), Tensor::new(vec![1], vec![v])));
        let mut optimizer = optimizer(tensors, 0.7).unwrap().unwrap();
        let smallest = |name: &str| (name == "a").then(|| vec![0.5f32]);
        let down = Some(Tensor::new(vec![1], vec![1.0]));
        let up = Some(Tensor::new(vec![1], vec![-8.0]));
        optimizer.step(&[down.clone(), down], 1.0).unwrap();
        assert_eq!(guard(&mut optimizer, smallest), 1);
        let values = |o: &Optimizer| [0, 1].map(|i| o.parameters().all()[i].value().data[0]);
        assert_eq!(values(&optimizer)[0], 0.5);
        assert!((values(&optimizer)[1] - 0.3).abs() < 1e-5);
        // Without writing back, the next step would begin below.
        optimizer.step(&[up, None], 1.0).unwrap();
        assert_eq!(guard(&mut optimizer, smallest), 0);
        assert!(values(&optimizer)[0] > 0.9);
    }
}
