//! One network in training.

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::{cross_entropy, distillation, total};
use quantbench_engine::autodiff::optim::{Group, Optimizer, Parameters};
use quantbench_engine::autodiff::{Device, Map, Network, Tape, Unchanged, Value, Var};
use quantbench_graph::Artefact;

use super::Training;
use super::finish::folded;
use super::grids::Grids;
use super::sites::{Placed, Running};
use super::state::State;
use crate::contract::{Job, MethodError};

/// Share of a batch's moments that enters the running ones: PyTorch's default.
const NORM_MOMENTUM: f32 = 0.1;

/// What a step showed, before parameters moved.
pub(super) struct Seen {
    /// Loss of the batch.
    pub(super) loss: f32,
    /// Images whose largest logit is that of their class.
    pub(super) correct: usize,
}

/// What training knows.
pub(super) struct Trainer<'a> {
    job: &'a Job<'a>,
    how: &'a Training,
    pub(super) device: Device,
    pub(super) network: Network,
    /// The network before it was trained, where it teaches.
    teacher: Option<Network>,
    pub(super) placed: Placed<'a>,
    optimizer: Optimizer,
    /// Bounds of the numbers of each parameter.
    within: Vec<(f32, f32)>,
    /// Numbers that had to be kept within their bounds.
    guarded: usize,
}

impl<'a> Trainer<'a> {
    /// Grids of activations begin with a first batch, each seeing what those before it leave.
    pub(super) fn new(
        job: &'a Job<'a>,
        how: &'a Training,
        grids: &'a dyn Grids,
        first: &Tensor,
    ) -> Result<Self, MethodError> {
        let keep: Vec<&str> = job.sites.activations.iter().map(|s| s.value.as_str()).collect();
        let network = Network::new(job.unfolded, &keep)?;
        let mut placed = Placed::new(job, &network, grids, how.method)?;
        let device = Device::new();
        start(&device, &network, &mut placed, first)?;
        let teacher = (how.teacher > 0.0).then(|| network.clone());
        let (optimizer, within) = optimizer(how, &network, &placed)?;
        Ok(Self { job, how, device, network, teacher, placed, optimizer, within, guarded: 0 })
    }

    fn unfit(&self, reason: String) -> MethodError {
        MethodError::Unfit { method: self.how.method, reason }
    }

    /// Where the network's output cannot be compared with classes.
    pub(super) fn no_logits(&self) -> MethodError {
        self.unfit("the network's output does not have one logit per class".to_string())
    }

    /// Images on a tape.
    pub(super) fn image(&self, tape: &mut Tape, images: &Tensor) -> Result<Var, MethodError> {
        image(&self.device, tape, images, self.how.method)
    }

    /// All parameters on a tape, by name.
    pub(super) fn on_tape(&self, tape: &mut Tape) -> BTreeMap<String, Var> {
        let all = self.optimizer.parameters().all().iter();
        all.map(|p| (p.name().to_string(), tape.parameter(p.value()))).collect()
    }

    /// Tells the grids which step comes.
    pub(super) fn begin(&mut self, step: usize, steps: usize) {
        self.placed.all_mut().for_each(|grid| grid.begin(step, steps));
    }

    /// Forward, backward, and a step with a learning rate; none is taken where the loss is not
    /// finite.
    pub(super) fn step(
        &mut self,
        images: &Tensor,
        labels: &[u16],
        rate: f64,
    ) -> Result<Seen, MethodError> {
        let mut tape = Tape::new(&self.device);
        let image = self.image(&mut tape, images)?;
        let vars = self.on_tape(&mut tape);
        let inputs = BTreeMap::from([(self.network.input().to_string(), image)]);
        let mut sites = Running::new(&mut self.placed, Some(&vars));
        let run = self.network.run(&mut tape, inputs, &vars, true, &mut sites)?;
        if let Some(fault) = sites.fault {
            return Err(fault);
        }
        let logits = run.values.get(self.network.output()).copied();
        let loss = logits
            .map(|logits| self.loss(&mut tape, logits, images, labels))
            .transpose()?
            .flatten()
            .ok_or_else(|| self.no_logits())?;
        let correct = logits.map_or(0, |logits| correct(tape.map(logits), labels));
        self.network.update_norms(&run, &tape, NORM_MOMENTUM);
        let seen = Seen { loss: tape.scalar(loss), correct };
        if !seen.loss.is_finite() {
            return Ok(seen);
        }
        let mut gradients = tape.backward(loss);
        let names = self.optimizer.parameters().all().iter();
        let gradients: Vec<_> = names.map(|p| gradients.flat(vars[p.name()])).collect();
        self.optimizer.step(&gradients, rate)?;
        self.guard();
        Ok(seen)
    }

    /// Cross entropy, and the divergence from the teacher where there is one.
    fn loss(
        &self,
        tape: &mut Tape,
        logits: Var,
        images: &Tensor,
        labels: &[u16],
    ) -> Result<Option<Var>, MethodError> {
        let Some(own) = cross_entropy(tape, logits, labels, self.how.smoothing) else {
            return Ok(None);
        };
        let Some(teacher) = &self.teacher else { return Ok(Some(own)) };
        let mut lesson = Tape::new(&self.device);
        let image = self.image(&mut lesson, images)?;
        let vars = constants(&mut lesson, teacher);
        let inputs = BTreeMap::from([(teacher.input().to_string(), image)]);
        let run = teacher.run(&mut lesson, inputs, &vars, false, &mut Unchanged)?;
        let taught = run.values.get(teacher.output()).map(|v| lesson.map(*v));
        let Some(divergence) = taught.and_then(|t| distillation(tape, logits, t, 1.0)) else {
            return Ok(None);
        };
        let share = self.how.teacher;
        Ok(Some(total(tape, &[(own, 1.0 - share), (divergence, share)])))
    }

    /// Keeps parameters of grids within their bounds.
    fn guard(&mut self) {
        for ((_, values), (low, high)) in self.optimizer.values_mut().zip(&self.within) {
            for value in values {
                if *value < *low || *value > *high {
                    *value = value.clamp(*low, *high);
                    self.guarded += 1;
                }
            }
        }
    }

    /// What has been trained so far as bytes, after so many epochs.
    pub(super) fn save(&mut self, epochs: usize) -> Vec<u8> {
        let guarded = self.guarded;
        self.state().save(epochs, guarded)
    }

    /// Goes on from bytes that an interrupted training left; gives the epochs that it had done.
    pub(super) fn load(&mut self, bytes: &[u8]) -> Result<usize, MethodError> {
        let loaded = self.state().load(bytes);
        let (epochs, guarded) = loaded.map_err(|reason| {
            let reason = format!(
                "the checkpoint of this cell cannot be used: {reason}; remove it to begin again"
            );
            MethodError::Kept(reason)
        })?;
        self.guarded = guarded;
        Ok(epochs)
    }

    fn state(&mut self) -> State<'_, 'a> {
        let (network, placed) = (&mut self.network, &mut self.placed);
        State { network, placed, optimizer: &mut self.optimizer }
    }

    /// The artefact of what has been trained so far.
    pub(super) fn artefact(&self) -> Result<Artefact, MethodError> {
        let all = self.optimizer.parameters().all().iter();
        let parameters: BTreeMap<String, Tensor> =
            all.map(|p| (p.name().to_string(), p.value().clone())).collect();
        let mut artefact = folded(self.job, &self.network, &self.placed, &parameters)?;
        if self.guarded > 0 {
            let note = format!("numbers of grids were kept within bounds {} times", self.guarded);
            artefact.notes.push(note);
        }
        Ok(artefact)
    }
}

/// Begins the grids of activations with a first batch.
fn start(
    device: &Device,
    network: &Network,
    placed: &mut Placed<'_>,
    images: &Tensor,
) -> Result<(), MethodError> {
    let mut tape = Tape::new(device);
    let image = image(device, &mut tape, images, placed.method)?;
    let vars = constants(&mut tape, network);
    let inputs = BTreeMap::from([(network.input().to_string(), image)]);
    let mut sites = Running::new(placed, None);
    network.run(&mut tape, inputs, &vars, true, &mut sites)?;
    sites.fault.map_or(Ok(()), Err)
}

fn image(
    device: &Device,
    tape: &mut Tape,
    images: &Tensor,
    method: &'static str,
) -> Result<Var, MethodError> {
    let map = device.map(images).ok_or_else(|| MethodError::Unfit {
        method,
        reason: format!("images of dimensions {:?} are no maps", images.dims),
    })?;
    Ok(tape.constant(Value::Map(map)))
}

/// All parameters, those of grids with a rate and decay of their own; and their bounds.
fn optimizer(
    how: &Training,
    network: &Network,
    placed: &Placed<'_>,
) -> Result<(Optimizer, Vec<(f32, f32)>), MethodError> {
    let mut parameters = Parameters::new();
    let weight_decay = how.weight_decay;
    let own = Group { name: "network".to_string(), rate: 1.0, weight_decay };
    let own = parameters.add_group(own)?;
    let mut within = Vec::new();
    for (name, tensor) in network.parameters() {
        parameters.add(own, name, tensor.clone())?;
        within.push((f32::MIN, f32::MAX));
    }
    let mut groups: Vec<(f64, f64, usize)> = Vec::new();
    for (name, parameter) in placed.parameters() {
        let (rate, decay) = (parameter.rate, parameter.decay);
        let found = groups.iter().find(|g| (g.0, g.1) == (rate, decay)).map(|g| g.2);
        let group = if let Some(group) = found {
            group
        } else {
            let name = format!("grids {}", groups.len());
            let group = parameters.add_group(Group { name, rate, weight_decay: decay })?;
            groups.push((rate, decay, group));
            group
        };
        parameters.add(group, name, parameter.value.clone())?;
        within.push(parameter.within);
    }
    Ok((Optimizer::new(how.rule, parameters)?, within))
}

/// Parameters of a network that get no gradient.
fn constants(tape: &mut Tape, network: &Network) -> BTreeMap<String, Var> {
    let parameters = network.parameters().iter();
    parameters.map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone())))).collect()
}

/// Images whose largest logit is that of their class.
fn correct(logits: &Map, labels: &[u16]) -> usize {
    let classes = logits.shape().channels;
    let best = |n: usize| {
        let logit = |c: &usize| logits.at(n, *c, 0);
        (0..classes).max_by(|a, b| logit(a).total_cmp(&logit(b)))
    };
    labels.iter().enumerate().filter(|(n, label)| best(*n) == Some(usize::from(**label))).count()
}
