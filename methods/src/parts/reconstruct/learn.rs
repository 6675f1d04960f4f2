//! The loop: batches of one part's inputs, forward, backward, step.

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::{Chance, picked_error, total};
use quantbench_engine::autodiff::optim::{
    Adam, Group, Optimizer, Parameters, Rule, Schedule, Shape,
};
use quantbench_engine::autodiff::{Device, Gradients, Map, Tape, Value, Var};
use rayon::prelude::*;

use super::difference::Behind;
use super::learnable::{Learnable, Start};
use super::pieces::Piece;
use super::quantizers::{Drop, Quantizers, Which};
use super::settings::{Rounds, Settings, Teach};
use super::state::State;
use super::unfit;
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
    /// The bias, if that is to be learned with the weights.
    pub(super) bias: Option<&'a str>,
    /// Which activations are quantized.
    pub(super) quantized: Which<'a>,
    pub(super) iterations: usize,
    /// How steps of activations are learned; none if they are not.
    pub(super) steps: Option<(Shape, f64)>,
    /// The network behind, where its output counts.
    pub(super) behind: Option<&'a Behind<'a>>,
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
        // On a worker as a whole: handing over every operation on its own costs more than small ones
        // take.
        rayon::scope(|_| learner.iterate(device, &picked, seed, at))?;
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
    weights: BTreeMap<String, Learnable>,
    variables: Option<Optimizer>,
    steps: Option<(Optimizer, Schedule)>,
    /// Parameters that are not learned, as the quantized network has them.
    still: BTreeMap<String, Tensor>,
}

/// Variables on the tape of a batch.
struct Vars {
    /// Those of the part's parameters.
    part: BTreeMap<String, Var>,
    /// Steps of activations.
    steps: BTreeMap<String, Var>,
}

/// What some images of a batch read in place of parameters, and get gradients for.
#[derive(Clone, Copy)]
struct Read<'a> {
    name: &'a str,
    value: &'a Tensor,
    /// Whether it is the step of an activation.
    step: bool,
}

/// Images of a batch.
#[derive(Clone, Copy)]
struct Images<'a> {
    /// Their positions among all.
    picked: &'a [usize],
    /// Those of the batch before them.
    before: usize,
    /// Those of the batch.
    of: usize,
}

/// Images that go forward and backward together, as one task: few, so that what they make of each
/// other's maps is still in the cache. Gradients are added in order, whatever computed them.
const TOGETHER: usize = 8;

impl<'a> Learner<'a> {
    /// None if there is nothing to learn.
    fn new(
        settings: &'a Settings,
        lesson: &'a Lesson<'a>,
        state: &'a mut State,
    ) -> Result<Option<Self>, MethodError> {
        let weights = learnables(settings, lesson, state);
        let mut starts: Vec<Start> =
            weights.iter().flat_map(|(name, l)| l.starts(name, &settings.teach)).collect();
        if !starts.is_empty() {
            starts.extend(bias(settings, lesson, state));
        }
        let variables = optimizer(starts)?;
        let schedule = lesson.steps.clone().filter(|_| lesson.iterations > 0);
        let steps = match schedule {
            Some((shape, rate)) => optimizer(roots(lesson, state))?
                .map(|o| Schedule::new(shape, rate, 0, lesson.iterations).map(|s| (o, s)))
                .transpose()?,
            None => None,
        };
        if (variables.is_none() && steps.is_none()) || lesson.iterations == 0 {
            return Ok(None);
        }
        let mut still = state.parameters(&lesson.piece.network, true);
        let learned = variables.iter().flat_map(|v| v.parameters().all());
        learned.for_each(|p| drop(still.remove(p.name())));
        Ok(Some(Self { settings, lesson, state, weights, variables, steps, still }))
    }

    /// One batch forward and backward, and a step.
    fn iterate(
        &mut self,
        device: &Device,
        picked: &[usize],
        seed: u64,
        at: usize,
    ) -> Result<(), MethodError> {
        let mut tape = Tape::new(device);
        let vars = Vars {
            part: on_tape(&mut tape, self.variables.as_ref()),
            steps: on_tape(&mut tape, self.steps.as_ref().map(|s| &s.0)),
        };
        let regulariser = regulariser(&self.settings.teach, at, self.lesson.iterations);
        let (weights, indecision) = self.weights_on_tape(&mut tape, &vars, regulariser);
        let read = |(name, var, step)| (var, Read { name, value: tape.flat(var), step });
        // Those of weights' grids are read through the weights.
        let known = self.lesson.piece.network.parameters();
        let part = vars.part.iter().filter(|(name, _)| known.contains_key(*name));
        let part = part.map(|(name, var)| (name, weights.get(name).unwrap_or(var), false));
        let steps = vars.steps.iter().map(|(name, var)| (name, var, true));
        let all = part.chain(steps).map(|(name, var, step)| read((name.as_str(), *var, step)));
        let (read_vars, reads): (Vec<Var>, Vec<Read<'_>>) = all.unzip();
        let drop = Drop { share: self.settings.drop, seed, at: at as u64, before: 0 };
        let drop = (self.settings.drop > 0.0).then_some(drop);
        let of = picked.len();
        let parts = picked.par_chunks(TOGETHER).enumerate().map(|(i, picked)| {
            let images = Images { picked, before: i * TOGETHER, of };
            self.some_images(device, &reads, images, drop)
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let mut loss: f32 = indecision.iter().map(|var| tape.scalar(*var)).sum();
        let mut sums: Vec<Option<Tensor>> = vec![None; reads.len()];
        for (more, gradients) in parts {
            loss += more;
            for (sum, more) in sums.iter_mut().zip(gradients) {
                match (sum, more) {
                    (Some(sum), Some(more)) => {
                        sum.data.iter_mut().zip(&more.data).for_each(|(s, m)| *s += m);
                    }
                    (sum, more) => *sum = more,
                }
            }
        }
        if !loss.is_finite() {
            let output = &self.lesson.piece.output;
            let what = format!("reconstruction up to {output:?}, iteration {at},");
            return Err(MethodError::NotFinite { what });
        }
        let one = || Value::Flat(Tensor::new(vec![1], vec![1.0]));
        let given = read_vars.into_iter().zip(sums);
        let given = given.filter_map(|(var, sum)| Some((var, Value::Flat(sum?))));
        let given = given.chain(indecision.into_iter().map(|var| (var, one()))).collect();
        self.step(tape.backward_from(given), &vars, at)
    }

    /// The weights that the variables give, and their regularisers.
    fn weights_on_tape(
        &self,
        tape: &mut Tape,
        vars: &Vars,
        regulariser: Option<(f32, f32)>,
    ) -> (BTreeMap<String, Var>, Vec<Var>) {
        let mut indecision = Vec::new();
        let mut weights = BTreeMap::new();
        for (name, learnable) in &self.weights {
            let Some(variable) = vars.part.get(name) else { continue };
            let (soft, more) = learnable.on_tape(tape, name, *variable, &vars.part, regulariser);
            weights.insert(name.clone(), soft);
            indecision.extend(more);
        }
        (weights, indecision)
    }

    /// The loss of some images of a batch, and the gradients of what they read.
    fn some_images(
        &self,
        device: &Device,
        reads: &[Read<'_>],
        images: Images<'_>,
        drop: Option<Drop>,
    ) -> Result<(f32, Vec<Option<Tensor>>), MethodError> {
        let (lesson, method) = (self.lesson, self.settings.method);
        let mut tape = Tape::new(device);
        let vars: Vec<Var> = reads.iter().map(|r| tape.parameter(r.value)).collect();
        let named = |step: bool| {
            let these = reads.iter().zip(&vars).filter(move |(r, _)| r.step == step);
            these.map(|(r, var)| (r.name.to_string(), *var)).collect::<BTreeMap<_, _>>()
        };
        let (mut part, steps) = (named(false), named(true));
        for (name, tensor) in &self.still {
            part.insert(name.clone(), tape.constant(Value::Flat(tensor.clone())));
        }
        let drop = drop.map(|drop| Drop { before: images.before, ..drop });
        let quantizers = Quantizers::new(&self.state.activations, lesson.quantized);
        let mut sites = quantizers.learning(&steps, drop);
        let Images { picked, of, .. } = images;
        let output = self.forward(&mut tape, &part, mixed(lesson, drop, picked), &mut sites)?;
        let error = picked_error(&mut tape, output, lesson.target, picked, of, lesson.rectified);
        let changed = "a part's output changes its shape when it is quantized";
        let mut terms = vec![(error.ok_or_else(|| unfit(method, changed))?, 1.0)];
        if let Some(behind) = lesson.behind {
            // Without numbers of the FP32 network's in its input.
            let output = self.forward(&mut tape, &part, lesson.seen.gather(picked), &mut sites)?;
            let (loss, weight) = behind.loss(&mut tape, output, picked, method)?;
            terms.push((loss, weight * picked.len() as f32 / of as f32));
        }
        let loss = total(&mut tape, &terms);
        let value = tape.scalar(loss);
        let mut gradients = tape.backward(loss);
        Ok((value, vars.into_iter().map(|var| gradients.flat(var)).collect()))
    }

    /// The output of the part.
    fn forward(
        &self,
        tape: &mut Tape,
        parameters: &BTreeMap<String, Var>,
        input: Map,
        sites: &mut Quantizers<'_>,
    ) -> Result<Var, MethodError> {
        let piece = self.lesson.piece;
        let input = tape.constant(Value::Map(input));
        let inputs = BTreeMap::from([(piece.input.clone(), input)]);
        let run = piece.network.run(tape, inputs, parameters, false, sites)?;
        sites.check(self.settings.method)?;
        let output = run.values.get(&piece.output).copied();
        output.ok_or_else(|| unfit(self.settings.method, "a part does not give its output"))
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
            let weights = &self.weights;
            self.state.guarded +=
                guard(variables, |v| weights.iter().find_map(|(n, l)| l.smallest(n, v)));
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
        let state = self.state;
        if let Some(variables) = &self.variables {
            let learned = variables.parameters();
            for (name, learnable) in &self.weights {
                let Some((hard, open)) = learnable.harden(name, learned) else { continue };
                if open > 0.01 {
                    let open = 100.0 * open;
                    state.notes.push(format!("{name}: {open:.1} % of the weights had not decided"));
                }
                state.weights.insert(name.clone(), hard);
                state.learned.insert(name.clone());
            }
            for bias in self.lesson.bias.into_iter().filter(|b| learned.find(b).is_some()) {
                let value = learned.find(bias).map(|at| learned.all()[at].value().clone());
                state.biases.extend(value.map(|v| (bias.to_string(), v)));
                state.learned.insert(bias.to_string());
            }
        }
        if let (Some((steps, _)), Which::Only(_)) = (&self.steps, self.lesson.quantized) {
            let roots = steps.parameters().all().iter().map(|p| p.name().to_string());
            state.learned.extend(roots);
        }
    }
}

/// The weights that are learned.
fn learnables(
    settings: &Settings,
    lesson: &Lesson<'_>,
    state: &State,
) -> BTreeMap<String, Learnable> {
    let parameters = lesson.piece.network.parameters().iter().filter(|_| lesson.weights);
    parameters
        .filter(|(name, _)| !state.learned.contains(*name))
        .filter_map(|(name, tensor)| {
            let quantized = state.weights.get(name)?;
            Some((name.clone(), Learnable::new(&settings.teach, tensor, quantized)?))
        })
        .collect()
}

/// The bias, where it is learned.
fn bias(settings: &Settings, lesson: &Lesson<'_>, state: &State) -> Option<Start> {
    let Teach::Straight { bias_rate, .. } = settings.teach else { return None };
    let name = lesson.bias.filter(|name| !state.learned.contains(*name))?;
    let value = lesson.piece.network.parameters().get(name)?.clone();
    Some(Start { name: name.to_string(), value, rate: bias_rate })
}

/// The steps of a part's activations that are learned, under the names of their roots.
fn roots(lesson: &Lesson<'_>, state: &State) -> Vec<Start> {
    let activations = &state.activations;
    let start = |root: &str, step: f32, rate| Start {
        name: root.to_string(),
        value: Tensor::new(vec![1], vec![step]),
        rate,
    };
    if let Which::Only(input) = lesson.quantized {
        let own = activations.of(input).filter(|(root, _)| *root == input);
        let own = own.filter(|(root, _)| !state.learned.contains(*root));
        // Its rate is that of the range.
        return own.map(|(r, g)| start(r, g.step, 1.0 / f64::from(g.top))).into_iter().collect();
    }
    let input = activations.of(&lesson.piece.input).map(|(root, _)| root);
    let values = lesson.piece.network.values().filter(|v| *v != lesson.piece.input);
    // A grid that the input shares is not this piece's to change.
    let found = values.filter_map(|v| activations.of(v)).filter(|(root, _)| Some(*root) != input);
    let found: BTreeMap<&str, f32> = found.map(|(root, grid)| (root, grid.step)).collect();
    found.into_iter().map(|(root, step)| start(root, step, 1.0)).collect()
}

/// Adam with a rate for each parameter, as a multiple of that of a step; none without any.
fn optimizer(starts: Vec<Start>) -> Result<Option<Optimizer>, MethodError> {
    if starts.is_empty() {
        return Ok(None);
    }
    let mut parameters = Parameters::new();
    for Start { name, value, rate } in starts {
        let group = parameters.add_group(Group { name: name.clone(), rate, weight_decay: 0.0 })?;
        parameters.add(group, &name, value)?;
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
    let mixed = drop.and_then(|drop| {
        let chance = Chance::new(drop.seed, drop.at, 0).after(drop.before);
        chance.mix(lesson.float, lesson.seen, picked, drop.share)
    });
    mixed.unwrap_or_else(|| lesson.seen.gather(picked))
}

/// Exponent and weight of the regulariser; none during the warm-up.
fn regulariser(teach: &Teach, at: usize, iterations: usize) -> Option<(f32, f32)> {
    let Teach::Rounding(Rounds { lambda, warm_up, beta: (first, last), .. }) = *teach else {
        return None;
    };
    let (at, all) = (at as f64, iterations as f64);
    let warm = warm_up * all;
    let beta = first + (last - first) * (at - warm) / (all - warm).max(1.0);
    (at >= warm).then_some((beta as f32, lambda as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_parameter_goes_on_from_its_smallest_value() {
        let tensors = [("a", 1.0f32), ("b", 1.0)];
        let starts = tensors.map(|(n, v)| Start {
            name: n.to_string(),
            value: Tensor::new(vec![1], vec![v]),
            rate: 0.7,
        });
        let mut optimizer = optimizer(starts.into()).unwrap().unwrap();
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
