//! Reconstruction: the quantized network is taught, part by part, to give what the FP32 network
//! gives, by learning which way each weight is rounded and how wide the steps of activations are.
//!
//! One loop with settings serves AdaRound, BRECQ and QDrop. Batch norm is folded before.

mod learn;
mod pieces;
mod quantizers;
mod rounding;
mod settings;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::{Grid, ImageSource, Levels};
use quantbench_engine::autodiff::{Device, Map, Network, Sites, Tape, Value};
use quantbench_graph::{Artefact, Graph};

use crate::contract::{Context, Job, MethodError};
use crate::parts::calibrate::activation_grids;
use crate::parts::ranges::Mse;
use crate::parts::weights::{quantize, quantize_sites};
use learn::{Lesson, learn};
use pieces::{Piece, blocks, layers_of};
use quantizers::{Activations, Quantizers, Which};
pub(crate) use settings::{Reach, Settings, Steps};
use state::State;

/// Runs the loop over the whole network.
pub(crate) fn reconstruct(
    job: &Job<'_>,
    images: &dyn ImageSource,
    settings: &Settings,
    cx: &mut Context<'_>,
) -> Result<Artefact, MethodError> {
    let grids = activation_grids(job.graph, job.sites, images, &Mse, cx)?;
    let start = quantize_sites(job, cx, |weights, layer, site| {
        quantize(weights, layer.axis, site.bits, settings.style, &Mse)
    })?;
    let state = State {
        weights: start.weights,
        activations: Activations::new(job, &grids, settings.method)?,
        learned: BTreeSet::new(),
        guarded: 0,
        notes: start.notes,
    };
    let mut work = Work { job, settings, device: Device::new(), state };
    let pieces = blocks(job.graph, job.layers)?;
    let image = work.image(images)?;
    work.weights(&pieces, &image, cx)?;
    if let Steps::Afterwards { iterations, rate } = settings.steps {
        work.steps(&pieces, &image, iterations, rate, cx)?;
    }
    let (weights, activations, notes) = work.state.into_notes();
    let activations = activations.into_grids(grids);
    Ok(Artefact::new(job.graph.clone(), weights, activations, notes))
}

/// What the loop knows.
struct Work<'a> {
    job: &'a Job<'a>,
    settings: &'a Settings,
    device: Device,
    state: State,
}

impl Work<'_> {
    /// All images as one map.
    fn image(&self, images: &dyn ImageSource) -> Result<Map, MethodError> {
        let all = images.batch(0, images.len())?;
        self.device.map(&all).ok_or_else(|| self.unfit("the images are no maps"))
    }

    /// Learns the rounding of weights, and steps along with it where the settings say so.
    fn weights(
        &mut self,
        pieces: &[Piece],
        image: &Map,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        let quantized = !matches!(self.settings.steps, Steps::Afterwards { .. });
        let mut float = image.copy();
        let mut seen = self.entry(image, quantized)?;
        for (done, piece) in pieces.iter().enumerate() {
            cx.step(done, pieces.len(), "reconstruction of weights")?;
            let which = if quantized { Which::AllBut(&piece.input) } else { Which::Nothing };
            let target = self.run(piece, &float, &piece.output, false, Which::Nothing)?;
            match self.settings.reach {
                Reach::Block => {
                    let lesson = Lesson {
                        piece,
                        seen: &seen,
                        float: &float,
                        target: &target,
                        rectified: false,
                        weights: true,
                        quantized: which,
                        iterations: self.settings.iterations,
                        steps: match self.settings.steps {
                            Steps::Together { rate } => Some(rate),
                            _ => None,
                        },
                    };
                    self.learn(&lesson, cx)?;
                }
                Reach::Layer => self.layers(piece, &seen, &float, which, cx)?,
            }
            seen = self.run(piece, &seen, &piece.output, true, which)?;
            float = target;
        }
        Ok(())
    }

    /// Learns the rounding of the layers of a piece one after the other.
    fn layers(
        &mut self,
        piece: &Piece,
        seen: &Map,
        float: &Map,
        which: Which<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        for (layer, rectified) in layers_of(self.job, piece, self.settings.method)? {
            let from_float = self.run(piece, float, &layer.input, false, Which::Nothing)?;
            let from_seen = self.run(piece, seen, &layer.input, true, which)?;
            let nothing = Which::Nothing;
            let mut target = self.run(&layer, &from_float, &layer.output, false, nothing)?;
            if rectified {
                target.rectify();
            }
            let lesson = Lesson {
                piece: &layer,
                seen: &from_seen,
                float: &from_float,
                target: &target,
                rectified,
                weights: true,
                quantized: Which::Nothing,
                iterations: self.settings.iterations,
                steps: None,
            };
            self.learn(&lesson, cx)?;
        }
        Ok(())
    }

    /// Learns the steps of activations, weights being what they are.
    fn steps(
        &mut self,
        pieces: &[Piece],
        image: &Map,
        iterations: usize,
        rate: f64,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        let mut float = image.copy();
        let mut seen = self.entry(image, true)?;
        for (done, piece) in pieces.iter().enumerate() {
            cx.step(done, pieces.len(), "reconstruction of activations")?;
            let target = self.run(piece, &float, &piece.output, false, Which::Nothing)?;
            let lesson = Lesson {
                piece,
                seen: &seen,
                float: &float,
                target: &target,
                rectified: false,
                weights: false,
                quantized: Which::AllBut(&piece.input),
                iterations,
                steps: Some(rate),
            };
            self.learn(&lesson, cx)?;
            let which = Which::AllBut(&piece.input);
            seen = self.run(piece, &seen, &piece.output, true, which)?;
            float = target;
        }
        Ok(())
    }

    fn learn(&mut self, lesson: &Lesson<'_>, cx: &mut Context<'_>) -> Result<(), MethodError> {
        learn(&self.device, self.settings, lesson, &mut self.state, cx)
    }

    /// The image as the quantized network sees it.
    fn entry(&self, image: &Map, quantized: bool) -> Result<Map, MethodError> {
        if !quantized {
            return Ok(image.copy());
        }
        let mut tape = Tape::new(&self.device);
        let var = tape.constant(Value::Map(image.copy()));
        let mut sites = Quantizers::new(&self.state.activations, Which::AllBut(""));
        let seen = sites.value(&mut tape, self.job.graph.input(), var);
        sites.check(self.settings.method)?;
        Ok(tape.map(seen).copy())
    }

    /// A value of a piece for all images, with weights as they are known or in float, and with
    /// some activations quantized. The piece's input itself is given back as it is.
    fn run(
        &self,
        piece: &Piece,
        input: &Map,
        value: &str,
        weights: bool,
        which: Which<'_>,
    ) -> Result<Map, MethodError> {
        if value == piece.input {
            return Ok(input.copy());
        }
        let images = input.shape().images;
        let parameters = self.state.parameters(&piece.network, weights);
        let mut parts = Vec::new();
        for first in (0..images).step_by(128) {
            let batch: Vec<usize> = (first..(first + 128).min(images)).collect();
            let mut tape = Tape::new(&self.device);
            let var = tape.constant(Value::Map(input.gather(&batch)));
            let on_tape = parameters.iter();
            let on_tape = on_tape.map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone()))));
            let on_tape: BTreeMap<_, _> = on_tape.collect();
            let inputs = BTreeMap::from([(piece.input.clone(), var)]);
            let mut sites = Quantizers::new(&self.state.activations, which);
            let run = piece.network.run(&mut tape, inputs, &on_tape, false, &mut sites)?;
            sites.check(self.settings.method)?;
            let found = run.values.get(value).ok_or_else(|| {
                self.unfit(&format!("value {value:?} is not computed where it is needed"))
            })?;
            parts.push(tape.map(*found).copy());
        }
        Map::join(&parts).ok_or_else(|| self.unfit("there are no images"))
    }

    fn unfit(&self, reason: &str) -> MethodError {
        unfit(self.settings.method, reason)
    }
}

fn unfit(method: &'static str, reason: &str) -> MethodError {
    MethodError::Unfit { method, reason: reason.to_string() }
}

/// A network of a part of a graph in which all named values are computed as they stand.
fn network(graph: &Graph) -> Result<Network, MethodError> {
    let names: Vec<&str> =
        graph.nodes().iter().flat_map(|n| &n.output).map(String::as_str).collect();
    Ok(Network::new(graph, &names)?)
}

/// Smallest and largest code.
fn ends(grid: &Grid) -> Option<(i32, i32)> {
    match &grid.levels {
        Levels::Affine { qmin, qmax } => Some((*qmin, *qmax)),
        Levels::Ternary | Levels::Binary | Levels::Table(_) => None,
    }
}
