//! Quantization-aware training: one trainer, and traits for grids that are trained.
//!
//! The network trains with its batch norms as they are, normalising with the moments of each
//! batch; afterwards they are folded into the layers before them, and grids with them.

#[cfg(test)]
pub(crate) mod check;
mod collapse;
mod curvature;
mod finish;
mod fit;
mod grids;
pub(crate) mod params;
mod plain;
mod sites;
mod state;
mod steps;
mod tanh;
mod trainer;

use quantbench_engine::autodiff::optim::{Rule, Schedule, Shape};
use quantbench_engine::autodiff::{Augment, Epochs, Flip, Last, gather};
use quantbench_graph::Artefact;

use crate::contract::{Context, Job, MethodError};
use crate::grant::Labelled;
use trainer::Trainer;

pub(crate) use fit::{best_end, best_range};
pub(crate) use grids::{
    Curvature, Grids, Parameter, Trained, ValueGrid, ValueStart, WeightGrid, WeightStart, mean_abs,
    moments, positive, rows, signed_codes, top_code,
};
pub(crate) use plain::{Still, affine, constant, nothing};
pub(crate) use steps::{StepWeights, step_parameter, step_rate};

pub(crate) use tanh::TanhWeights;

/// Smallest value that a step may reach, as a share of the one that it began with.
pub(crate) const SMALLEST: f32 = 1e-3;

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curriculum {
    /// Along a cosine to zero.
    Cosine,
    /// By a tenth at half and three quarters of the epochs.
    Steps,
    /// Along a line to zero.
    Linear,
    /// Not at all.
    Constant,
}

/// How a network is trained.
#[derive(Debug, Clone)]
pub(crate) struct Training {
    /// Name of the method, for messages.
    pub(crate) method: &'static str,
    /// Passes over all images.
    pub(crate) epochs: usize,
    /// Images per step; what does not fill a batch is left out.
    pub(crate) batch: usize,
    /// How parameters follow their gradients.
    pub(crate) rule: Rule,
    /// Learning rate at the start.
    pub(crate) rate: f64,
    /// How it falls.
    pub(crate) curriculum: Curriculum,
    /// Epochs in which it rises.
    pub(crate) warm_up: f64,
    /// Weight decay of all parameters but those of grids.
    pub(crate) weight_decay: f64,
    /// Label smoothing.
    pub(crate) smoothing: f32,
    /// Share of the loss that is the divergence from the FP32 network.
    pub(crate) teacher: f32,
    /// Whether images are cropped at random and mirrored.
    pub(crate) augment: bool,
}

impl Training {
    fn schedule(&self, epochs: &Epochs) -> Result<Schedule, MethodError> {
        let (steps, each) = (epochs.steps(), epochs.steps_per_epoch());
        let shape = match self.curriculum {
            Curriculum::Cosine => Shape::Cosine { floor: 0.0 },
            Curriculum::Linear => Shape::Linear,
            Curriculum::Constant => Shape::Constant,
            Curriculum::Steps => {
                let mut milestones = vec![steps / 2, steps * 3 / 4];
                milestones.retain(|m| *m > 0);
                milestones.dedup();
                Shape::Steps { milestones, factor: 0.1 }
            }
        };
        let warm_up = (self.warm_up * each as f64).round() as usize;
        Ok(Schedule::new(shape, self.rate, warm_up, steps)?)
    }
}

/// Trains a network with grids and gives the artefact after the last step.
///
/// After each epoch the state is kept, so that an interrupted training goes on from there, and
/// whoever runs the method may look at the network.
pub(crate) fn train(
    job: &Job<'_>,
    data: &Labelled,
    how: &Training,
    grids: &dyn Grids,
    cx: &mut Context<'_>,
) -> Result<Artefact, MethodError> {
    let seed = cx.rng.below(u64::MAX);
    let epochs = Epochs::new(data.len(), how.batch, how.epochs, Last::Drop, seed)?;
    let schedule = how.schedule(&epochs)?;
    let augment = augmentation(data, how, seed);
    cx.step(0, epochs.steps() * how.batch, "training, first batch")?;
    let first = gather(data.images(), epochs.epoch(0)?.batch(0)?)?;
    let mut trainer = Trainer::new(job, how, grids, &first)?;
    let mut loss = f32::NAN;
    let done = cx.checkpoint()?.map_or(Ok(0), |bytes| trainer.load(&bytes))?;
    for epoch in done..epochs.epochs() {
        let order = epochs.epoch(epoch)?;
        if grids.curvature_every().is_some_and(|every| epoch > 0 && epoch % every == 0) {
            trainer.measure(data, &order, seed)?;
        }
        for (at, positions) in order.batches().enumerate() {
            let step = epoch * epochs.steps_per_epoch() + at;
            let mut images = gather(data.images(), positions)?;
            augment.apply(epoch, positions, &mut images)?;
            let labels = data.labels(positions);
            trainer.begin(step, epochs.steps());
            let seen = trainer.step(&images, &labels, schedule.rate(step)?)?;
            if !seen.loss.is_finite() {
                let what = format!("the loss of training step {step} (epoch {epoch})");
                return Err(MethodError::NotFinite { what });
            }
            loss = seen.loss;
            if step % 16 == 0 {
                let right = 100.0 * seen.correct as f64 / positions.len() as f64;
                let what = format!("training, images; loss {:.3}, {right:.0} % right", seen.loss);
                cx.step(step * how.batch, epochs.steps() * how.batch, &what)?;
            }
        }
        if epoch + 1 < epochs.epochs() && cx.is_kept() {
            cx.snapshot(epoch + 1, &trainer.artefact()?)?;
            cx.keep(&trainer.save(epoch + 1))?;
        }
    }
    let artefact = trainer.artefact()?;
    collapse::refuse(&artefact, &trainer.device, &first, loss)?;
    cx.snapshot(epochs.epochs(), &artefact)?;
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
