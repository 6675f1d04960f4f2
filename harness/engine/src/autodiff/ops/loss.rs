//! Losses: one number per batch.

use quantbench_core::Tensor;

use crate::autodiff::map::{BLOCK, Map};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Mean cross entropy of logits (maps of one pixel) and classes, one per image.
///
/// With label smoothing `e` the target is `1 - e` for the class plus `e / classes` for each
/// (Szegedy et al. 2016). None if there are not as many classes as images, or one is too large.
pub fn cross_entropy(tape: &mut Tape, logits: Var, labels: &[u16], smoothing: f32) -> Option<Var> {
    let z = tape.map(logits);
    let classes = z.shape().channels;
    if labels.len() != z.shape().images || labels.iter().any(|l| usize::from(*l) >= classes) {
        return None;
    }
    let share = smoothing / classes as f32;
    let targets: Vec<Vec<f32>> = labels
        .iter()
        .map(|l| {
            let mut target = vec![share; classes];
            target[usize::from(*l)] += 1.0 - smoothing;
            target
        })
        .collect();
    towards(tape, logits, &targets, 1.0, false)
}

/// Distillation (Hinton et al. 2015): `t^2` times the mean divergence
/// `KL(softmax(teacher / t) || softmax(logits / t))` per image, with a temperature `t`.
///
/// None if the teacher's logits have other dimensions.
pub fn distillation(tape: &mut Tape, logits: Var, teacher: &Map, temperature: f32) -> Option<Var> {
    if tape.map(logits).shape() != teacher.shape() {
        return None;
    }
    let images = 0..teacher.shape().images;
    let targets: Vec<_> = images.map(|n| softmax(&row(teacher, n, temperature)).1).collect();
    towards(tape, logits, &targets, temperature, true)
}

/// `t^2` times the mean cross entropy of distributions and the softmax of `logits / t`, less the
/// entropy of the distributions for a divergence.
fn towards(
    tape: &mut Tape,
    logits: Var,
    targets: &[Vec<f32>],
    t: f32,
    divergence: bool,
) -> Option<Var> {
    let z = tape.map(logits);
    let images = z.shape().images;
    if images == 0 || z.shape().pixels() != 1 {
        return None;
    }
    let mut total = 0f64;
    let mut difference = z.device().zeros(z.shape());
    let per_image = z.shape().per_image();
    for (n, target) in targets.iter().enumerate() {
        let (log, p) = softmax(&row(z, n, t));
        for (c, (q, (l, p))) in target.iter().zip(log.iter().zip(&p)).enumerate() {
            let entropy = if divergence && *q > 0.0 { f64::from(q.ln()) } else { 0.0 };
            total += f64::from(*q) * (entropy - f64::from(*l));
            difference[n * per_image + c / BLOCK].0[c % BLOCK] = p - q;
        }
    }
    let scale = f64::from(t * t) / images as f64;
    let loss = total * scale;
    let value = Value::Flat(Tensor::new(vec![1], vec![loss as f32]));
    Some(tape.push(&[logits], value, Towards { logits, difference, scale: t / images as f32 }))
}

fn row(z: &Map, image: usize, t: f32) -> Vec<f32> {
    (0..z.shape().channels).map(|c| z.at(image, c, 0) / t).collect()
}

/// Logarithms of the softmax and the softmax.
fn softmax(z: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let top = z.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    let sum: f64 = z.iter().map(|v| f64::from(v - top).exp()).sum();
    let log: Vec<f32> = z.iter().map(|v| (f64::from(v - top) - sum.ln()) as f32).collect();
    let p = log.iter().map(|l| l.exp()).collect();
    (log, p)
}

struct Towards {
    logits: Var,
    difference: Map,
    scale: f32,
}

impl Op for Towards {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        let scale = gradient.data.first().copied().unwrap_or(0.0) * self.scale;
        let mut out = self.difference.copy();
        out.iter_mut().flat_map(|l| &mut l.0).for_each(|v| *v *= scale);
        back.give(self.logits, Value::Map(out));
    }
}
