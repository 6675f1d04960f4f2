//! Reconstruction: the quantized network is taught, part by part, to give what the FP32 network
//! gives, by learning which way each weight is rounded and how wide the steps of activations are.
//!
//! One loop with settings serves AdaRound, BRECQ and QDrop. Batch norm is folded before.

mod learn;
mod pieces;
mod quantizers;
mod rounding;

use std::collections::BTreeMap;

use quantbench_core::{Grid, ImageSource, Levels, QuantTensor};
use quantbench_engine::autodiff::{Device, Map, Network, Tape, Value, Var};
use quantbench_graph::{Artefact, Graph};

use crate::contract::{Context, Job, MethodError};
use crate::parts::calibrate::activation_grids;
use crate::parts::ranges::{Mse, WeightStyle};
use crate::parts::weights::{quantize, quantize_sites};
use learn::{Lesson, learn};
use pieces::{Piece, blocks, layers_of};
use quantizers::{Activations, Fixed};

/// Which part of the network is reconstructed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A layer with the activation function behind it.
    Layer,
    /// What lies between two places through which a single value passes: a residual block, or a
    /// layer outside of blocks.
    Block,
}

/// How steps of activations are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Steps {
    /// They stay as they were calibrated.
    Fixed,
    /// After all weights, block by block, with that many iterations; activations are in float
    /// before.
    Afterwards {
        /// Iterations per block.
        iterations: usize,
        /// Learning rate of Adam at the start; it falls along a cosine.
        rate: f64,
    },
    /// Together with the rounding of weights.
    Together {
        /// Learning rate of Adam at the start; it falls along a cosine.
        rate: f64,
    },
}

/// The settings of the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// What is reconstructed at once.
    pub(crate) reach: Reach,
    /// Iterations per part.
    pub(crate) iterations: usize,
    /// Images per iteration.
    pub(crate) batch: usize,
    /// Learning rate of Adam for the rounding variables.
    pub(crate) rate: f64,
    /// Weight of the regulariser that drives them to 0 or 1.
    pub(crate) lambda: f64,
    /// Share of the iterations without the regulariser.
    pub(crate) warm_up: f64,
    /// Its exponent at the start and at the end.
    pub(crate) beta: (f64, f64),
    /// What becomes of the steps of activations.
    pub(crate) steps: Steps,
    /// Probability with which a number of an activation, or of the input of a part, is that of the
    /// network in float while learning.
    pub(crate) drop: f32,
    /// Grids of weights.
    pub(crate) style: WeightStyle,
}

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
    let mut work = Work {
        job,
        settings,
        device: Device::new(),
        weights: start.weights,
        activations: Activations::new(job, &grids)?,
        notes: start.notes,
    };
    let pieces = blocks(job.graph, job.layers)?;
    let image = work.image(images)?;
    work.weights(&pieces, &image, cx)?;
    if let Steps::Afterwards { iterations, rate } = settings.steps {
        work.steps(&pieces, &image, iterations, rate, cx)?;
    }
    let Work { weights, activations, notes, .. } = work;
    let activations = activations.into_grids(grids);
    Ok(Artefact::new(job.graph.clone(), weights, activations, notes))
}

/// What the loop knows.
struct Work<'a> {
    job: &'a Job<'a>,
    settings: &'a Settings,
    device: Device,
    weights: BTreeMap<String, QuantTensor>,
    activations: Activations,
    notes: Vec<String>,
}

impl Work<'_> {
    /// All images as one map.
    fn image(&self, images: &dyn ImageSource) -> Result<Map, MethodError> {
        let all = images.batch(0, images.len())?;
        self.device.map(&all).ok_or_else(|| unfit("the images are no maps"))
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
        let mut seen = self.entry(image, quantized);
        for (done, piece) in pieces.iter().enumerate() {
            cx.step(done, pieces.len(), "reconstruction of weights")?;
            let target = self.run(piece, &float, &piece.output, false, false)?;
            match self.settings.reach {
                Reach::Block => {
                    let lesson = Lesson {
                        piece,
                        seen: &seen,
                        float: &float,
                        target: &target,
                        rectified: false,
                        weights: true,
                        quantized,
                        iterations: self.settings.iterations,
                        steps: match self.settings.steps {
                            Steps::Together { rate } => Some(rate),
                            _ => None,
                        },
                    };
                    self.learn(&lesson, cx)?;
                }
                Reach::Layer => self.layers(piece, &seen, &float, quantized, cx)?,
            }
            seen = self.run(piece, &seen, &piece.output, true, quantized)?;
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
        quantized: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        for (layer, rectified) in layers_of(self.job.graph, self.job.layers, piece)? {
            let from_float = self.run(piece, float, &layer.input, false, false)?;
            let from_seen = self.run(piece, seen, &layer.input, true, quantized)?;
            let mut target = self.run(&layer, &from_float, &layer.output, false, false)?;
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
                quantized: false,
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
        let mut seen = self.entry(image, true);
        for (done, piece) in pieces.iter().enumerate() {
            cx.step(done, pieces.len(), "reconstruction of activations")?;
            let target = self.run(piece, &float, &piece.output, false, false)?;
            let lesson = Lesson {
                piece,
                seen: &seen,
                float: &float,
                target: &target,
                rectified: false,
                weights: false,
                quantized: true,
                iterations,
                steps: Some(rate),
            };
            self.learn(&lesson, cx)?;
            seen = self.run(piece, &seen, &piece.output, true, true)?;
            float = target;
        }
        Ok(())
    }

    fn learn(&mut self, lesson: &Lesson<'_>, cx: &mut Context<'_>) -> Result<(), MethodError> {
        let settings = self.settings;
        let note =
            learn(&self.device, settings, lesson, &mut self.weights, &mut self.activations, cx)?;
        self.notes.extend(note);
        Ok(())
    }

    /// The image as the quantized network sees it.
    fn entry(&self, image: &Map, quantized: bool) -> Map {
        let mut tape = Tape::new(&self.device);
        let var = tape.constant(Value::Map(image.copy()));
        let mut sites = Fixed::new(&self.weights, &self.activations, false, quantized, "");
        let name = self.job.graph.input().to_string();
        let seen = quantbench_engine::autodiff::Sites::value(&mut sites, &mut tape, &name, var);
        tape.map(seen).copy()
    }

    /// A value of a piece for all images, with or without quantized weights and activations. The
    /// piece's input is taken as it is.
    fn run(
        &self,
        piece: &Piece,
        input: &Map,
        value: &str,
        weights: bool,
        activations: bool,
    ) -> Result<Map, MethodError> {
        if value == piece.input {
            return Ok(input.copy());
        }
        let images = input.shape().images;
        let mut parts = Vec::new();
        for first in (0..images).step_by(128) {
            let batch: Vec<usize> = (first..(first + 128).min(images)).collect();
            let mut tape = Tape::new(&self.device);
            let var = tape.constant(Value::Map(input.gather(&batch)));
            let parameters = constants(&mut tape, &piece.network);
            let inputs = BTreeMap::from([(piece.input.clone(), var)]);
            let mut sites =
                Fixed::new(&self.weights, &self.activations, weights, activations, &piece.input);
            let run = piece.network.run(&mut tape, inputs, &parameters, false, &mut sites)?;
            let found = run.values.get(value).ok_or_else(|| {
                unfit(&format!("value {value:?} is not computed where it is needed"))
            })?;
            parts.push(tape.map(*found).copy());
        }
        Map::join(&parts).ok_or_else(|| unfit("there are no images"))
    }
}

fn unfit(reason: &str) -> MethodError {
    MethodError::Unfit { method: "reconstruction", reason: reason.to_string() }
}

/// The parameters of a network, without gradients.
fn constants(tape: &mut Tape, network: &Network) -> BTreeMap<String, Var> {
    let parameters = network.parameters().iter();
    parameters.map(|(n, t)| (n.clone(), tape.constant(Value::Flat(t.clone())))).collect()
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
