//! The loop: batches of one part's inputs, forward, backward, step.

use std::collections::BTreeMap;

use quantbench_core::{QuantTensor, Tensor};
use quantbench_engine::autodiff::ops::{Chance, relu, squared_error, total};
use quantbench_engine::autodiff::optim::{
    Adam, Group, Optimizer, Parameters, Rule, Schedule, Shape,
};
use quantbench_engine::autodiff::{Device, Map, Tape, Value, Var};

use super::pieces::Piece;
use super::quantizers::{Activations, Learning};
use super::rounding::Rounding;
use super::{Settings, constants, unfit};
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
    /// Whether the rounding of weights is learned.
    pub(super) weights: bool,
    /// Whether activations are quantized.
    pub(super) quantized: bool,
    pub(super) iterations: usize,
    /// Learning rate of steps; none if they are not learned.
    pub(super) steps: Option<f64>,
}

/// Learns; gives notes about guards that acted.
pub(super) fn learn(
    device: &Device,
    settings: &Settings,
    lesson: &Lesson<'_>,
    weights: &mut BTreeMap<String, QuantTensor>,
    activations: &mut Activations,
    cx: &mut Context<'_>,
) -> Result<Vec<String>, MethodError> {
    let mut notes = Vec::new();
    let rounding = roundings(lesson, weights);
    let roots = roots(lesson, activations);
    let schedule = match lesson.steps.filter(|_| !roots.is_empty() && lesson.iterations > 0) {
        Some(rate) => {
            Some(Schedule::new(Shape::Cosine { floor: 0.0 }, rate, 0, lesson.iterations)?)
        }
        None => None,
    };
    if (rounding.is_empty() && schedule.is_none()) || lesson.iterations == 0 {
        return Ok(notes);
    }
    let mut variables = optimizer(rounding.iter().map(|(n, r)| (n.as_str(), r.first.clone())))?;
    let steps = roots.iter().map(|(n, s)| (n.as_str(), Tensor::new(vec![1], vec![*s])));
    let mut steps = if schedule.is_some() { optimizer(steps)? } else { None };
    let count = lesson.seen.shape().images;
    let batch = settings.batch.min(count);
    let seed = cx.rng.below(u64::MAX);
    for at in 0..lesson.iterations {
        if at % 64 == 0 {
            cx.step(at, lesson.iterations, "reconstruction")?;
        }
        let picked: Vec<usize> = (0..batch).map(|_| cx.rng.below(count as u64) as usize).collect();
        let mut tape = Tape::new(device);
        let input = mixed(lesson, settings.drop, &picked, Chance::new(seed, at as u64, 0));
        let input = tape.constant(Value::Map(input));
        let vars = on_tape(&mut tape, variables.as_ref());
        let step_vars = on_tape(&mut tape, steps.as_ref());
        let learned: BTreeMap<String, (&Rounding, Var)> =
            rounding.iter().filter_map(|(n, r)| Some((n.clone(), (r, *vars.get(n)?)))).collect();
        let parameters = constants(&mut tape, &lesson.piece.network);
        let mut sites = Learning {
            rounding: &learned,
            weights,
            activations: lesson.quantized.then_some(&*activations),
            steps: &step_vars,
            input: &lesson.piece.input,
            drop: (settings.drop > 0.0).then_some((settings.drop, seed, at as u64)),
            met: 0,
            regulariser: beta(settings, at, lesson.iterations)
                .map(|beta| (beta as f32, settings.lambda as f32)),
            indecision: Vec::new(),
        };
        let inputs = BTreeMap::from([(lesson.piece.input.clone(), input)]);
        let run = lesson.piece.network.run(&mut tape, inputs, &parameters, false, &mut sites)?;
        let output = run.values.get(&lesson.piece.output).copied();
        let mut output = output.ok_or_else(|| unfit("a part does not give its output"))?;
        if lesson.rectified {
            output = relu(&mut tape, output);
        }
        let target = lesson.target.gather(&picked);
        let error = squared_error(&mut tape, output, target, None)
            .ok_or_else(|| unfit("a part's output changes its shape when it is quantized"))?;
        let mut terms = vec![(error, 1.0)];
        terms.extend(sites.indecision.iter().map(|var| (*var, 1.0)));
        let loss = total(&mut tape, &terms);
        if !tape.scalar(loss).is_finite() {
            let what = format!("reconstruction up to {:?}, iteration {at},", lesson.piece.output);
            return Err(MethodError::NotFinite { what });
        }
        let mut gradients = tape.backward(loss);
        let mut take = |optimizer: &Optimizer, vars: &BTreeMap<String, Var>| {
            let all = optimizer.parameters().all().iter();
            all.map(|p| gradients.flat(*vars.get(p.name())?)).collect::<Vec<_>>()
        };
        if let Some(variables) = &mut variables {
            let found = take(variables, &vars);
            variables.step(&found, settings.rate)?;
        }
        if let (Some(steps), Some(schedule)) = (&mut steps, &schedule) {
            let found = take(steps, &step_vars);
            steps.step(&found, schedule.rate(at)?)?;
        }
        if let Some(steps) = &steps {
            for parameter in steps.parameters().all() {
                if activations.set(parameter.name(), parameter.value().data[0]) {
                    notes.push(format!("the step of {:?} became too small", parameter.name()));
                }
            }
        }
    }
    if let Some(variables) = &variables {
        for (name, rounding) in &rounding {
            let Some(at) = variables.parameters().find(name) else { continue };
            let (hard, open) = rounding.harden(variables.parameters().all()[at].value());
            if open > 0.01 {
                notes.push(format!("{name}: {:.1} % of the weights had not decided", 100.0 * open));
            }
            weights.insert(name.clone(), hard);
        }
    }
    notes.dedup();
    Ok(notes)
}

/// The weights whose rounding is learned.
fn roundings(
    lesson: &Lesson<'_>,
    weights: &BTreeMap<String, QuantTensor>,
) -> BTreeMap<String, Rounding> {
    let parameters = lesson.piece.network.parameters().iter().filter(|_| lesson.weights);
    parameters
        .filter_map(|(name, tensor)| {
            Some((name.clone(), Rounding::new(tensor, weights.get(name)?)?))
        })
        .collect()
}

/// The grids of the activations of a piece, with their steps.
fn roots(lesson: &Lesson<'_>, activations: &Activations) -> BTreeMap<String, f32> {
    let values = lesson.piece.network.values().filter(|v| *v != lesson.piece.input);
    values
        .filter_map(|value| activations.of(value))
        // A grid that the input shares is not this piece's to change.
        .filter(|(root, _)| activations.of(&lesson.piece.input).is_none_or(|(r, _)| r != *root))
        .map(|(root, grid)| (root.to_string(), grid.step))
        .collect()
}

fn optimizer<'a>(
    tensors: impl Iterator<Item = (&'a str, Tensor)>,
) -> Result<Option<Optimizer>, MethodError> {
    let mut parameters = Parameters::new();
    let group =
        parameters.add_group(Group { name: "all".to_string(), rate: 1.0, weight_decay: 0.0 })?;
    for (name, tensor) in tensors {
        parameters.add(group, name, tensor)?;
    }
    if parameters.all().is_empty() {
        return Ok(None);
    }
    Ok(Some(Optimizer::new(Rule::Adam(Adam::default()), parameters)?))
}

fn on_tape(tape: &mut Tape, optimizer: Option<&Optimizer>) -> BTreeMap<String, Var> {
    let all = optimizer.iter().flat_map(|o| o.parameters().all());
    all.map(|p| (p.name().to_string(), tape.parameter(p.value()))).collect()
}

/// The inputs of a batch, some numbers from the FP32 network.
fn mixed(lesson: &Lesson<'_>, drop: f32, picked: &[usize], chance: Chance) -> Map {
    let seen = lesson.seen.gather(picked);
    if drop <= 0.0 {
        return seen;
    }
    let float = lesson.float.gather(picked);
    chance.mix(&float, &seen, drop).unwrap_or(seen)
}

/// The exponent of the regulariser; none during the warm-up.
fn beta(settings: &Settings, at: usize, iterations: usize) -> Option<f64> {
    let (first, last) = settings.beta;
    let (at, all) = (at as f64, iterations as f64);
    let warm = settings.warm_up * all;
    (at >= warm).then(|| first + (last - first) * (at - warm) / (all - warm).max(1.0))
}
