//! The cross entropy of calibration images as a function of how far the steps of grids are
//! stretched.

use std::collections::BTreeMap;

use quantbench_core::{Grid, QuantTensor, Tensor};
use quantbench_engine::autodiff::ops::cross_entropy;
use quantbench_engine::autodiff::{Device, Map, Sites, Tape, Value};
use quantbench_graph::SiteKind;

use crate::contract::{Job, MethodError};
use crate::grant::Labelled;
use crate::parts::powell::Function;
use crate::parts::reconstruct::{Activations, Piece, Quantizers, Which, blocks};

/// Images per forward pass.
const BATCH: usize = 64;

/// A grid whose step is stretched.
enum Stretched {
    /// That of an initializer.
    Weight(String),
    /// That of a value and of those that share it.
    Activation(String),
}

/// Grids of the whole network.
#[derive(Clone)]
pub(super) struct Grids {
    pub(super) weights: BTreeMap<String, QuantTensor>,
    pub(super) activations: BTreeMap<String, Grid>,
}

/// Images of one batch as a part reads them, with their classes.
struct Batch {
    image: Map,
    labels: Vec<u16>,
    /// The input of the part up to which all is as at the last point.
    known: Option<Map>,
}

/// The loss, evaluated part by part: what lies before the first stretched grid that changed since
/// the last time is not run again.
pub(super) struct Loss<'a> {
    job: &'a Job<'a>,
    method: &'static str,
    device: Device,
    pieces: Vec<Piece>,
    batches: Vec<Batch>,
    images: usize,
    /// The grids that are stretched, with the part that has them.
    stretched: Vec<(Stretched, usize)>,
    start: Grids,
    activations: Activations,
    /// Weights as they are at the last point.
    weights: BTreeMap<String, Tensor>,
    point: Vec<f64>,
    value: Option<f64>,
    /// The part whose input is known.
    known: usize,
}

impl<'a> Loss<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        data: &Labelled,
        images: usize,
        start: Grids,
        method: &'static str,
    ) -> Result<Self, MethodError> {
        let device = Device::new();
        let images = images.min(data.len());
        let mut batches = Vec::new();
        for first in (0..images).step_by(BATCH) {
            let positions: Vec<usize> = (first..(first + BATCH).min(images)).collect();
            let tensor = data.images().batch(first, positions.len())?;
            let image = device.map(&tensor).ok_or_else(|| MethodError::Unfit {
                method,
                reason: format!("images of dimensions {:?} are no maps", tensor.dims),
            })?;
            batches.push(Batch { image, labels: data.labels(&positions), known: None });
        }
        let pieces = blocks(job)?;
        let stretched = stretched(job, &pieces);
        let mut loss = Self {
            job,
            method,
            device,
            pieces,
            batches,
            images,
            stretched,
            activations: Activations::new(job, &start.activations, method)?,
            start,
            weights: BTreeMap::new(),
            point: Vec::new(),
            value: None,
            known: 0,
        };
        loss.forget();
        Ok(loss)
    }

    /// Begins with other grids.
    pub(super) fn restart(&mut self, start: Grids) -> Result<(), MethodError> {
        self.activations = Activations::new(self.job, &start.activations, self.method)?;
        self.start = start;
        self.forget();
        Ok(())
    }

    /// How many grids are stretched.
    pub(super) fn len(&self) -> usize {
        self.stretched.len()
    }

    fn forget(&mut self) {
        let weights = self.start.weights.iter();
        self.weights = weights.map(|(n, q)| (n.clone(), q.dequantize())).collect();
        self.point = vec![0.0; self.stretched.len()];
        self.value = None;
        self.known = 0;
    }

    /// The grids at a point.
    pub(super) fn grids(&self, point: &[f64]) -> Result<Grids, MethodError> {
        let mut grids = self.start.clone();
        for ((stretched, _), by) in self.stretched.iter().zip(point) {
            match stretched {
                Stretched::Weight(name) => {
                    grids.weights.insert(name.clone(), self.weight(name, *by)?);
                }
                Stretched::Activation(root) => {
                    if let Some(grid) = grids.activations.get_mut(root) {
                        grid.scale.iter_mut().for_each(|s| *s = times(*s, *by));
                    }
                }
            }
        }
        crate::parts::calibrate::share(self.job.sites, &mut grids.activations);
        Ok(grids)
    }

    /// Weights on their grid with all steps stretched; channels of zeros stay as they are.
    fn weight(&self, name: &str, by: f64) -> Result<QuantTensor, MethodError> {
        let float = self.job.graph.weight(name)?;
        let Some(start) = self.start.weights.get(name) else {
            let reason = format!("the weights {name:?} are not quantized");
            return Err(MethodError::Unfit { method: self.method, reason });
        };
        let mut done = start.clone();
        let (_, channels, inner) = done.grid.layout(&float.dims);
        let inner = inner.max(1);
        let mut zero = vec![true; channels];
        for (i, w) in float.data.iter().enumerate() {
            zero[i / inner % channels] &= *w == 0.0;
        }
        for (scale, _) in done.grid.scale.iter_mut().zip(zero).filter(|(_, zero)| !zero) {
            *scale = times(*scale, by);
        }
        for (i, (code, w)) in done.codes.iter_mut().zip(&float.data).enumerate() {
            *code = done.grid.code(*w, i / inner % channels);
        }
        Ok(done)
    }

    /// Moves to a point; gives the first part that is not as it was.
    fn go(&mut self, point: &[f64]) -> Result<usize, MethodError> {
        let mut first = self.pieces.len();
        for (i, by) in point.iter().enumerate().filter(|(i, by)| **by != self.point[*i]) {
            let (stretched, piece) = &self.stretched[i];
            first = first.min(*piece);
            match stretched {
                Stretched::Weight(name) => {
                    let weight = self.weight(name, *by)?.dequantize();
                    self.weights.insert(name.clone(), weight);
                }
                Stretched::Activation(root) => {
                    if let Some(grid) = self.start.activations.get(root) {
                        self.activations.set(root, times(grid.scale[0], *by));
                    }
                }
            }
        }
        self.point.copy_from_slice(point);
        Ok(if self.value.is_none() { 0 } else { first })
    }

    /// Runs a part.
    fn run(&self, at: usize, input: Map) -> Result<Map, MethodError> {
        let piece = &self.pieces[at];
        let mut tape = Tape::new(&self.device);
        let input = tape.constant(Value::Map(input));
        let parameters = piece.network.parameters().iter();
        let parameters = parameters.map(|(name, float)| {
            let tensor = self.weights.get(name).unwrap_or(float).clone();
            (name.clone(), tape.constant(Value::Flat(tensor)))
        });
        let parameters = parameters.collect();
        let inputs = BTreeMap::from([(piece.input.clone(), input)]);
        let mut sites = Quantizers::new(&self.activations, Which::AllBut(&piece.input));
        let run = piece.network.run(&mut tape, inputs, &parameters, false, &mut sites)?;
        sites.check(self.method)?;
        let output = run.values.get(&piece.output).ok_or_else(|| MethodError::Unfit {
            method: self.method,
            reason: format!("the part up to {:?} does not give it", piece.output),
        })?;
        Ok(tape.map(*output).copy())
    }

    /// The image on its grid, if it has one.
    fn entry(&self, image: &Map) -> Result<Map, MethodError> {
        let mut tape = Tape::new(&self.device);
        let var = tape.constant(Value::Map(image.copy()));
        let mut sites = Quantizers::new(&self.activations, Which::AllBut(""));
        let seen = sites.value(&mut tape, self.job.graph.input(), var);
        sites.check(self.method)?;
        Ok(tape.map(seen).copy())
    }

    /// The summed cross entropy of a batch, from the input of part `from` on; that of part `keep`
    /// is kept.
    fn batch(&mut self, batch: usize, from: usize, keep: usize) -> Result<f64, MethodError> {
        let known = self.batches[batch].known.take().filter(|_| from > 0);
        let mut value = match known {
            Some(known) => known,
            None => self.entry(&self.batches[batch].image)?,
        };
        let mut kept = None;
        for at in from..self.pieces.len() {
            if at == keep {
                kept = Some(value.copy());
            }
            value = self.run(at, value)?;
        }
        let Batch { labels, known, .. } = &mut self.batches[batch];
        *known = kept;
        let mut tape = Tape::new(&self.device);
        let logits = tape.constant(Value::Map(value));
        let Some(mean) = cross_entropy(&mut tape, logits, labels, 0.0) else {
            let reason = "the network's output does not have one logit per class".to_string();
            return Err(MethodError::Unfit { method: self.method, reason });
        };
        Ok(f64::from(tape.scalar(mean)) * labels.len() as f64)
    }
}

impl Function for Loss<'_> {
    type Error = MethodError;

    /// Mean cross entropy with all steps `1 + x` times as long as at the start.
    fn at(&mut self, point: &[f64]) -> Result<f64, MethodError> {
        let changed = self.go(point)?;
        if let Some(value) = self.value.filter(|_| changed == self.pieces.len()) {
            return Ok(value);
        }
        let from = if changed >= self.known { self.known } else { 0 };
        let mut sum = 0.0;
        for batch in 0..self.batches.len() {
            // On a worker as a whole, as operations on few images are short.
            sum += rayon::scope(|_| self.batch(batch, from, changed))?;
        }
        self.known = changed;
        let mean = sum / self.images.max(1) as f64;
        if !mean.is_finite() {
            let what = "the cross entropy of the calibration images".to_string();
            return Err(MethodError::NotFinite { what });
        }
        self.value = Some(mean);
        Ok(mean)
    }
}

fn times(step: f32, by: f64) -> f32 {
    (f64::from(step) * (1.0 + by)) as f32
}

/// The grids of the widths that the spec asks for, in the order in which the network meets them;
/// those of the first and the last layer, where these have widths of their own, stay.
fn stretched(job: &Job<'_>, pieces: &[Piece]) -> Vec<(Stretched, usize)> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        for site in job.sites.weights.iter().filter(|s| s.free) {
            let name = &job.layers[site.layer].weight;
            if piece.network.parameters().contains_key(name) && !seen.contains(name) {
                seen.push(name.clone());
                found.push((Stretched::Weight(name.clone()), at));
            }
        }
        for value in piece.network.values().filter(|v| *v != piece.input) {
            let sites = &job.sites.activations;
            let Some(site) = sites.iter().find(|s| s.value == value) else { continue };
            let owner = site.shares.map_or(site, |i| &sites[i]);
            if owner.kind == SiteKind::Hidden && !seen.contains(&owner.value) {
                seen.push(owner.value.clone());
                found.push((Stretched::Activation(owner.value.clone()), at));
            }
        }
    }
    found
}
