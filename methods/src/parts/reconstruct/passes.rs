//! Passes over the network, part by part.

use std::collections::BTreeMap;

use quantbench_core::ImageSource;
use quantbench_engine::autodiff::optim::Shape;
use quantbench_engine::autodiff::{Device, Map, Network, Sites, Tape, Value};

use super::correction::{corrected, with_norms};
use super::difference::Behind;
use super::learn::{Lesson, learn};
use super::pieces::{Alone, Piece, layers_of};
use super::quantizers::{Quantizers, Which};
use super::settings::{Reach, Settings, Steps};
use super::state::State;
use super::unfit;
use crate::contract::{Context, Job, MethodError};

/// What the loop knows.
pub(super) struct Work<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) settings: &'a Settings,
    pub(super) device: Device,
    pub(super) state: State,
}

impl Work<'_> {
    /// All images as one map.
    pub(super) fn image(&self, images: &dyn ImageSource) -> Result<Map, MethodError> {
        let all = images.batch(0, images.len())?;
        self.device.map(&all).ok_or_else(|| self.unfit("the images are no maps"))
    }

    /// Learns weights, and steps along with them where the settings say so.
    pub(super) fn weights(
        &mut self,
        pieces: &[Piece],
        image: &Map,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        let logits = match self.settings.difference {
            Some(_) => Some(self.logits(pieces, image)?),
            None => None,
        };
        let quantized = !matches!(self.settings.steps, Steps::Afterwards { .. });
        // A value whose grid is learned by its reader is handed over as it is.
        let raw = matches!(self.settings.steps, Steps::Reader { .. });
        let mut float = image.copy();
        let mut seen = self.entry(image, quantized && !raw)?;
        for (done, piece) in pieces.iter().enumerate() {
            cx.step(done, pieces.len(), "reconstruction of weights")?;
            let which = match (quantized, raw) {
                (false, _) => Which::Nothing,
                (true, false) => Which::AllBut(&piece.input),
                (true, true) => Which::AllBut(&piece.output),
            };
            let target = self.run(piece, &float, &piece.output, false, Which::Nothing)?;
            match self.settings.reach {
                Reach::Block => {
                    let behind = self.behind(piece, logits.as_ref())?;
                    let corrected = self.corrected(piece, &float, cx)?;
                    let corrected = corrected.as_ref();
                    let lesson = Lesson {
                        float: corrected.map_or(&float, |c| &c.0),
                        steps: match self.settings.steps {
                            Steps::Together { rate } => Some((Shape::Cosine { floor: 0.0 }, rate)),
                            _ => None,
                        },
                        behind: behind.as_ref(),
                        ..self.lesson(piece, &seen, corrected.map_or(&target, |c| &c.1), which)
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

    /// Learns the weights of the layers of a piece one after the other.
    fn layers(
        &mut self,
        piece: &Piece,
        seen: &Map,
        float: &Map,
        which: Which<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), MethodError> {
        for Alone { piece: layer, rectified, bias } in
            layers_of(self.job, piece, self.settings.method)?
        {
            let nothing = Which::Nothing;
            let (which, own, steps) = match self.settings.steps {
                Steps::Reader { rate } => (
                    Which::AllBut(&layer.input),
                    Which::Only(&layer.input),
                    Some((Shape::Constant, rate)),
                ),
                _ => (which, nothing, None),
            };
            let from_float = self.run(piece, float, &layer.input, false, nothing)?;
            let from_seen = self.run(piece, seen, &layer.input, true, which)?;
            let mut target = self.run(&layer, &from_float, &layer.output, false, nothing)?;
            if rectified {
                target.rectify();
            }
            let lesson = Lesson {
                float: &from_float,
                rectified,
                bias,
                steps,
                ..self.lesson(&layer, &from_seen, &target, own)
            };
            self.learn(&lesson, cx)?;
        }
        Ok(())
    }

    /// Learns the steps of activations, weights being what they are.
    pub(super) fn steps(
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
            let which = Which::AllBut(&piece.input);
            let target = self.run(piece, &float, &piece.output, false, Which::Nothing)?;
            let lesson = Lesson {
                float: &float,
                weights: false,
                iterations,
                steps: Some((Shape::Cosine { floor: 0.0 }, rate)),
                ..self.lesson(piece, &seen, &target, which)
            };
            self.learn(&lesson, cx)?;
            seen = self.run(piece, &seen, &piece.output, true, which)?;
            float = target;
        }
        Ok(())
    }

    /// A lesson in weights alone.
    fn lesson<'a>(
        &self,
        piece: &'a Piece,
        seen: &'a Map,
        target: &'a Map,
        quantized: Which<'a>,
    ) -> Lesson<'a> {
        Lesson {
            piece,
            seen,
            float: seen,
            target,
            rectified: false,
            weights: true,
            bias: None,
            quantized,
            iterations: self.settings.iterations,
            steps: None,
            behind: None,
        }
    }

    /// The output of the FP32 network for all images.
    fn logits(&self, pieces: &[Piece], image: &Map) -> Result<Map, MethodError> {
        let mut float = image.copy();
        for piece in pieces {
            float = self.run(piece, &float, &piece.output, false, Which::Nothing)?;
        }
        Ok(float)
    }

    /// The network behind a piece, where its output counts.
    fn behind<'a>(
        &self,
        piece: &Piece,
        logits: Option<&'a Map>,
    ) -> Result<Option<Behind<'a>>, MethodError> {
        let (Some(how), Some(logits)) = (self.settings.difference, logits) else { return Ok(None) };
        let graph = self.job.graph;
        let nodes = piece.nodes.end..graph.nodes().len();
        let network = if nodes.is_empty() {
            None
        } else {
            let behind = graph.segment(nodes, &[graph.output().to_string()])?;
            Some(Network::new(&behind, &[])?)
        };
        Ok(Some(Behind { network, logits, how }))
    }

    /// A piece's corrected input in float, where the settings ask for it and there are batch norms,
    /// and what the piece makes of it.
    fn corrected(
        &self,
        piece: &Piece,
        float: &Map,
        cx: &mut Context<'_>,
    ) -> Result<Option<(Map, Map)>, MethodError> {
        let Some(how) = self.settings.correction.filter(|c| c.iterations > 0) else {
            return Ok(None);
        };
        let Some(network) = with_norms(self.job.unfolded, piece)? else { return Ok(None) };
        let settings = self.settings;
        let input =
            corrected(&self.device, &network, float, settings.batch, &how, settings.method, cx)?;
        let output = self.run(piece, &input, &piece.output, false, Which::Nothing)?;
        Ok(Some((input, output)))
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
