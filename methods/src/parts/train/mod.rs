//! Quantization-aware training: one trainer, and a trait for grids that are trained.
//!
//! The network trains with its batch norms as they are, normalising with the moments of each
//! batch; afterwards they are folded into the layers before them, and grids with them.

mod finish;
mod grids;

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::cross_entropy;
use quantbench_engine::autodiff::optim::{
    Group, Momentum, Optimizer, Parameters, Rule, Schedule, Sgd, Shape,
};
use quantbench_engine::autodiff::{
    Augment, Device, Epochs, Flip, Last, Network, Sites, Tape, Value, Var, gather,
};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError};
use crate::grant::Labelled;
use crate::parts::calibrate::share;
use crate::parts::weights::widest_sites;

pub(crate) use grids::{Codes, Grids};

/// Smallest value that a step may reach, as a share of the one that it began with.
pub(crate) const SMALLEST: f32 = 1e-3;

/// Share of a batch's moments that enters the running ones: PyTorch's default.
const NORM_MOMENTUM: f32 = 0.1;

/// How a network is trained.
#[derive(Debug, Clone)]
pub(crate) struct Training {
    /// Passes over all images.
    pub(crate) epochs: usize,
    /// Images per step; what does not fill a batch is left out.
    pub(crate) batch: usize,
    /// Learning rate at the start; it falls along a cosine to zero.
    pub(crate) rate: f64,
    /// Steps in which the rate rises.
    pub(crate) warm_up: usize,
    /// Momentum of gradient descent.
    pub(crate) momentum: Momentum,
    /// Weight decay of all parameters but those of grids.
    pub(crate) weight_decay: f64,
    /// Label smoothing.
    pub(crate) smoothing: f32,
    /// Whether images are cropped at random and mirrored.
    pub(crate) augment: bool,
}

/// Trains a network with grids and gives the artefact after the last step.
pub(crate) fn train(
    job: &Job<'_>,
    data: &Labelled,
    how: &Training,
    grids: &mut dyn Grids,
    cx: &mut Context<'_>,
) -> Result<Artefact, MethodError> {
    let seed = cx.rng.below(u64::MAX);
    let epochs = Epochs::new(data.len(), how.batch, how.epochs, Last::Drop, seed)?;
    let schedule =
        Schedule::new(Shape::Cosine { floor: 0.0 }, how.rate, how.warm_up, epochs.steps())?;
    let augment = augmentation(data, how, seed);
    let mut trainer = Trainer::new(job, grids)?;
    trainer.start(data, &epochs, cx)?;
    let mut optimizer = trainer.optimizer(how)?;
    for epoch in 0..epochs.epochs() {
        let order = epochs.epoch(epoch)?;
        for (at, positions) in order.batches().enumerate() {
            let step = epoch * epochs.steps_per_epoch() + at;
            let mut images = gather(data.images(), positions)?;
            augment.apply(epoch, positions, &mut images)?;
            let labels = data.labels(positions);
            let (loss, gradients) = trainer.step(&images, &labels, how, &optimizer)?;
            if !loss.is_finite() {
                let what = format!("the loss of training step {step} (epoch {epoch})");
                return Err(MethodError::NotFinite { what });
            }
            optimizer.step(&gradients, schedule.rate(step)?)?;
            trainer.guard(&mut optimizer);
            if step % 16 == 0 {
                cx.step(step, epochs.steps(), &format!("training, loss {loss:.3}"))?;
            }
        }
    }
    let artefact = trainer.finish(&optimizer)?;
    // The network in float that the artefact stands for is the trained one.
    cx.reference = Some(artefact.graph.clone());
    Ok(artefact)
}

/// Crops with an eighth of the image's side as zeros around it (4 pixels of CIFAR's 32), and flips.
fn augmentation(data: &Labelled, how: &Training, seed: u64) -> Augment {
    if !how.augment {
        return Augment { pad: 0, flip: Flip::Never, seed };
    }
    let side = data.images().dims().iter().skip(1).min().copied().unwrap_or(0);
    Augment { pad: side / 8, flip: Flip::Half, seed }
}

/// What training knows.
struct Trainer<'a> {
    job: &'a Job<'a>,
    device: Device,
    network: Network,
    grids: &'a mut dyn Grids,
    /// Steps that had to be kept from vanishing.
    guarded: usize,
}

impl<'a> Trainer<'a> {
    fn new(job: &'a Job<'a>, grids: &'a mut dyn Grids) -> Result<Self, MethodError> {
        let keep: Vec<&str> = job.sites.activations.iter().map(|s| s.value.as_str()).collect();
        let network = Network::new(job.unfolded, &keep)?;
        let layers = job.unfolded.layers();
        for site in widest_sites(job) {
            let Some(layer) = layers.get(site.layer) else { continue };
            let Some(weights) = network.parameters().get(&layer.weight) else { continue };
            if weights.data.iter().any(|w| !w.is_finite()) {
                return Err(MethodError::NotFinite { what: format!("weight {:?}", layer.weight) });
            }
            grids.start_weight(&layer.weight, weights, site.bits);
        }
        Ok(Self { job, device: Device::new(), network, grids, guarded: 0 })
    }

    /// Begins the grids of activations with a first batch, each seeing what those before it leave.
    fn start(
        &mut self,
        data: &Labelled,
        epochs: &Epochs,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        cx.step(0, epochs.steps(), "training, first batch")?;
        let order = epochs.epoch(0)?;
        let images = gather(data.images(), order.batch(0)?)?;
        let mut tape = Tape::new(&self.device);
        let image = self.image(&mut tape, &images)?;
        let parameters = self.network.parameters().iter();
        let vars: BTreeMap<String, Var> =
            parameters.map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone())))).collect();
        let inputs = BTreeMap::from([(self.network.input().to_string(), image)]);
        let mut sites = Starting { job: self.job, grids: &mut *self.grids };
        self.network.run(&mut tape, inputs, &vars, true, &mut sites)?;
        Ok(())
    }

    fn image(&self, tape: &mut Tape, images: &Tensor) -> Result<Var, MethodError> {
        let map = self.device.map(images).ok_or_else(|| MethodError::Unfit {
            method: "training",
            reason: format!("images of dimensions {:?} are no maps", images.dims),
        })?;
        Ok(tape.constant(Value::Map(map)))
    }

    /// All parameters: those of the network with weight decay, those of grids without.
    fn optimizer(&self, how: &Training) -> Result<Optimizer, MethodError> {
        let mut parameters = Parameters::new();
        let group =
            |name: &str, weight_decay| Group { name: name.to_string(), rate: 1.0, weight_decay };
        let network = parameters.add_group(group("network", how.weight_decay))?;
        let steps = parameters.add_group(group("grids", 0.0))?;
        for (name, tensor) in self.network.parameters() {
            parameters.add(network, name, tensor.clone())?;
        }
        for (name, tensor) in self.grids.parameters() {
            parameters.add(steps, &name, tensor)?;
        }
        Ok(Optimizer::new(Rule::Sgd(Sgd { momentum: how.momentum }), parameters)?)
    }

    /// Forward and backward: the loss, and gradients in the order of the parameters.
    fn step(
        &mut self,
        images: &Tensor,
        labels: &[u16],
        how: &Training,
        optimizer: &Optimizer,
    ) -> Result<(f32, Vec<Option<Tensor>>), MethodError> {
        let mut tape = Tape::new(&self.device);
        let image = self.image(&mut tape, images)?;
        let all = optimizer.parameters().all();
        let vars: BTreeMap<String, Var> =
            all.iter().map(|p| (p.name().to_string(), tape.parameter(p.value()))).collect();
        let inputs = BTreeMap::from([(self.network.input().to_string(), image)]);
        let mut sites = Trained { job: self.job, grids: &*self.grids, vars: &vars };
        let run = self.network.run(&mut tape, inputs, &vars, true, &mut sites)?;
        let loss = run
            .values
            .get(self.network.output())
            .and_then(|logits| cross_entropy(&mut tape, *logits, labels, how.smoothing))
            .ok_or_else(|| MethodError::Unfit {
                method: "training",
                reason: "the network's output does not have one logit per class".to_string(),
            })?;
        self.network.update_norms(&run, &tape, NORM_MOMENTUM);
        let value = tape.scalar(loss);
        let mut gradients = tape.backward(loss);
        let gradients = all.iter().map(|p| gradients.flat(vars[p.name()])).collect();
        Ok((value, gradients))
    }

    /// Keeps steps of grids from vanishing or turning negative.
    fn guard(&mut self, optimizer: &mut Optimizer) {
        let firsts: BTreeMap<String, Tensor> = self.grids.parameters().into_iter().collect();
        for (name, values) in optimizer.values_mut() {
            let Some(first) = firsts.get(name) else { continue };
            for (value, first) in values.iter_mut().zip(&first.data) {
                if *value < first * SMALLEST {
                    *value = first * SMALLEST;
                    self.guarded += 1;
                }
            }
        }
    }

    fn finish(self, optimizer: &Optimizer) -> Result<Artefact, MethodError> {
        let all = optimizer.parameters().all().iter();
        let parameters: BTreeMap<String, Tensor> =
            all.map(|p| (p.name().to_string(), p.value().clone())).collect();
        let mut artefact = finish::folded(self.job, &self.network, self.grids, &parameters)?;
        share(self.job.sites, &mut artefact.activations);
        if self.guarded > 0 {
            let note = format!("steps of grids were kept from vanishing {} times", self.guarded);
            artefact.notes.push(note);
        }
        Ok(artefact)
    }
}

/// The value whose grid a value has, if it has one.
fn root<'j>(job: &Job<'j>, value: &str) -> Option<(&'j str, quantbench_core::Bits)> {
    let sites = &job.sites.activations;
    let site = sites.iter().find(|s| s.value == value)?;
    let owner = site.shares.map_or(site, |i| &sites[i]);
    Some((owner.value.as_str(), owner.bits))
}

/// Sites of the first batch.
struct Starting<'a> {
    job: &'a Job<'a>,
    grids: &'a mut dyn Grids,
}

impl Sites for Starting<'_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        self.grids.weight(tape, name, value, &BTreeMap::new())
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let Some((root, bits)) = root(self.job, name) else { return value };
        if root == name {
            self.grids.start_value(root, tape.map(value), bits);
        }
        self.grids.value(tape, root, value, &BTreeMap::new())
    }
}

/// Sites of a training step.
struct Trained<'a> {
    job: &'a Job<'a>,
    grids: &'a dyn Grids,
    vars: &'a BTreeMap<String, Var>,
}

impl Sites for Trained<'_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        self.grids.weight(tape, name, value, self.vars)
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        match root(self.job, name) {
            Some((root, _)) => self.grids.value(tape, root, value, self.vars),
            None => value,
        }
    }
}
