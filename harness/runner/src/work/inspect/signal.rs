//! What reaches a layer in the quantized network and what leaves it, against the float network.

use quantbench_core::Tensor;
use quantbench_engine::{Engine, Optimisation, Runtime, Session};
use quantbench_graph::onnx::NodeProto;
use quantbench_graph::{Artefact, Graph};
use serde::Serialize;

use super::decibels;
use super::single::Parts;
use crate::work::assess::export_for;
use crate::work::error::WorkError;

/// A layer's input and output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// Signal-to-noise ratio in dB of the input as the layer reads it, errors of earlier layers
    /// included.
    pub input_sqnr_db: f64,
    /// The same of its output.
    pub output_sqnr_db: f64,
    /// Smallest and largest input in the float network.
    pub seen: (f32, f32),
    /// Ends of the input's grid, if it has one.
    pub grid: Option<(f32, f32)>,
    /// Share of the float network's inputs beyond these ends by more than half a step.
    pub saturated: Option<f64>,
}

/// Names of a layer's input and output in one of the two networks.
type Values = (String, String);

/// Sums over batches.
pub(super) struct Signals {
    float: Session,
    quantized: Session,
    /// By layer: the values in the float and in the quantized network; none where a method
    /// renamed them.
    values: Vec<Option<(Values, Values)>>,
    sums: Vec<Sums>,
}

#[derive(Clone)]
struct Sums {
    input: (f64, f64),
    output: (f64, f64),
    seen: (f32, f32),
    /// Ends of the grid and half a step.
    grid: Option<((f32, f32), f32)>,
    beyond: u64,
    count: u64,
}

impl Signals {
    pub(super) fn new(
        parts: &Parts<'_>,
        artefact: &Artefact,
        runtime: &'static Runtime,
        engine: Engine,
    ) -> Result<Self, WorkError> {
        let exported = export_for(runtime, artefact)?;
        let quantized = Graph::from_bytes(&exported.onnx, artefact.graph.origin())?;
        let (workers, layers) = (workers(&quantized), &parts.layers);
        let mut values = Vec::with_capacity(layers.len());
        for layer in layers {
            // Export keeps the nodes that compute, and their order.
            let rank = workers_before(&artefact.graph, layer.node);
            let node = workers.get(rank).filter(|_| parts.float.shape(&layer.output).is_some());
            let there =
                node.and_then(|n| Some((n.input.first()?.clone(), n.output.first()?.clone())));
            let here = (layer.input.clone(), layer.output.clone());
            let known =
                |value: &String| *value == quantized.input() || quantized.shape(value).is_some();
            let there = there.filter(|(input, output)| known(input) && known(output));
            values.push(there.map(|there| (here, there)));
        }
        let sums = layers.iter().map(|layer| Sums::new(artefact, &layer.input)).collect();
        let tapped = |graph: &Graph, of: &dyn Fn(&(Values, Values)) -> Values| {
            let all = values.iter().flatten().map(of).flat_map(|(input, output)| [input, output]);
            let names: Vec<String> = all.filter(|v| v != graph.input()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            // Without a value to look at the whole network runs: a session needs an output.
            let bytes = match names.as_slice() {
                [] => graph.to_bytes(),
                names => graph.ending_in(names)?.to_bytes(),
            };
            engine.session(&bytes, Optimisation::Off).map_err(WorkError::from)
        };
        let float = tapped(&parts.float, &|v| v.0.clone())?;
        let quantized = tapped(&quantized, &|v| v.1.clone())?;
        Ok(Self { float, quantized, values, sums })
    }

    /// Adds a batch of images.
    pub(super) fn add(&mut self, images: &Tensor) -> Result<(), WorkError> {
        let (float, quantized) = (self.float.run(images)?, self.quantized.run(images)?);
        let (here, there) = (self.float.outputs(), self.quantized.outputs());
        // The image is no output: what is not found among them is the image.
        let find = |names: &[String], all: &'_ [Tensor], name: &str| -> Tensor {
            let at = names.iter().position(|n| n == name);
            at.map_or(images, |at| &all[at]).clone()
        };
        for (values, sums) in self.values.iter().zip(&mut self.sums) {
            let Some((a, b)) = values else { continue };
            let input = find(here, &float, &a.0);
            sums.see(&input);
            add(&mut sums.input, &input, &find(there, &quantized, &b.0));
            add(&mut sums.output, &find(here, &float, &a.1), &find(there, &quantized, &b.1));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Option<Signal>> {
        let one = |(values, sums): (&Option<(Values, Values)>, Sums)| {
            values.as_ref().map(|_| Signal {
                input_sqnr_db: decibels(sums.input.0, sums.input.1),
                output_sqnr_db: decibels(sums.output.0, sums.output.1),
                seen: sums.seen,
                grid: sums.grid.map(|(ends, _)| ends),
                saturated: sums.grid.map(|_| sums.beyond as f64 / sums.count.max(1) as f64),
            })
        };
        self.values.iter().zip(self.sums).map(one).collect()
    }
}

impl Sums {
    fn new(artefact: &Artefact, value: &str) -> Self {
        let grid = artefact.read_grid(value).map(|(_, grid)| (grid.ends(0), 0.5 * grid.scale[0]));
        let none = (0.0, 0.0);
        let seen = (f32::INFINITY, f32::NEG_INFINITY);
        Self { input: none, output: none, seen, grid, beyond: 0, count: 0 }
    }

    fn see(&mut self, input: &Tensor) {
        for &v in &input.data {
            self.seen = (self.seen.0.min(v), self.seen.1.max(v));
        }
        if let Some(((lo, hi), half)) = self.grid {
            let beyond = |v: &&f32| **v < lo - half || **v > hi + half;
            self.beyond += input.data.iter().filter(beyond).count() as u64;
            self.count += input.data.len() as u64;
        }
    }
}

/// Adds the powers of a signal and of the difference of two.
fn add(sums: &mut (f64, f64), a: &Tensor, b: &Tensor) {
    for (a, b) in a.data.iter().zip(&b.data) {
        sums.0 += f64::from(*a).powi(2);
        sums.1 += (f64::from(*a) - f64::from(*b)).powi(2);
    }
}

fn works(node: &NodeProto) -> bool {
    matches!(node.op_type.as_deref(), Some("Conv" | "Gemm" | "MatMul"))
}

fn workers(graph: &Graph) -> Vec<&NodeProto> {
    graph.nodes().iter().filter(|n| works(n)).collect()
}

fn workers_before(graph: &Graph, node: usize) -> usize {
    graph.nodes().iter().take(node).filter(|n| works(n)).count()
}
