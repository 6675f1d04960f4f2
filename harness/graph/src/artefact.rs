//! What a method gives back: a graph, grids and integers.

use std::collections::BTreeMap;

use quantbench_core::grid::GridError;
use quantbench_core::{Granularity, Grid, QuantTensor, names};
use thiserror::Error;

use crate::graph::Graph;
use crate::walk::{is_float_initializer, origins};

/// Graph + grids + integers. The graph may differ from the FP32 model (folded batch norm,
/// corrected biases, removed layers).
#[derive(Debug, Clone, PartialEq)]
pub struct Artefact {
    /// The float graph that the quantizers sit on, batch norm folded.
    pub graph: Graph,
    /// Quantized weights by initializer name; they replace the float values of the graph.
    pub weights: BTreeMap<String, QuantTensor>,
    /// Grid of each quantized value.
    pub activations: BTreeMap<String, Grid>,
    /// What the method has to say: guards that acted, channels that were all zero.
    pub notes: Vec<String>,
}

/// An artefact whose parts contradict each other: the method that made it has a bug.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ArtefactError {
    /// Quantized weights for an initializer that is not there or not FP32.
    #[error("quantized weights for {name:?}, which is no FP32 initializer of the graph{near}")]
    NoWeight {
        /// Name given.
        name: String,
        /// Near match or list of known names.
        near: String,
    },
    /// A grid for a value that the graph does not compute.
    #[error("a grid for {name:?}, which is neither the image nor computed by a node{near}")]
    NoValue {
        /// Name given.
        name: String,
        /// Near match or list of known names.
        near: String,
    },
    /// Quantized weights with other dimensions than the initializer.
    #[error(
        "quantized weights {name:?} have dimensions {have:?} and {codes} codes, expected {want:?}"
    )]
    Dims {
        /// Initializer.
        name: String,
        /// Dimensions given.
        have: Vec<usize>,
        /// Codes given.
        codes: usize,
        /// Dimensions of the initializer.
        want: Vec<usize>,
    },
    /// A grid that contradicts itself or its tensor.
    #[error("grid of {name:?}: {source}")]
    Grid {
        /// Initializer or value.
        name: String,
        /// What is wrong.
        source: GridError,
    },
    /// A channel axis that the tensor does not have.
    #[error("grid of {name:?} runs along axis {axis}, but the tensor has {rank} dimensions")]
    Axis {
        /// Initializer.
        name: String,
        /// Axis of the grid.
        axis: usize,
        /// Dimensions of the tensor.
        rank: usize,
    },
    /// An activation grid with a scale per channel.
    #[error("grid of value {name:?} has a scale per channel; activations have one per tensor")]
    ActivationPerChannel {
        /// Value.
        name: String,
    },
    /// A code that the grid does not have.
    #[error("code {code} of {name:?} is not on its grid")]
    Code {
        /// Initializer.
        name: String,
        /// The code.
        code: i32,
    },
}

impl Artefact {
    /// An artefact of its parts; [`Artefact::check`] tells whether they fit together.
    pub fn new(
        graph: Graph,
        weights: BTreeMap<String, QuantTensor>,
        activations: BTreeMap<String, Grid>,
        notes: Vec<String>,
    ) -> Self {
        Self { graph, weights, activations, notes }
    }

    /// The grid that a value lies on when it is read: its own, or that of what it is a copy of.
    pub fn grid_of<'a>(&'a self, value: &'a str) -> Option<&'a Grid> {
        crate::walk::grid_at(self, value)
    }

    /// Whether nothing is quantized.
    pub fn is_float(&self) -> bool {
        self.weights.is_empty() && self.activations.is_empty()
    }

    /// The grid on which a value lies when it is read, and the value that has it: itself, or
    /// what it is a rearranged copy of.
    pub fn read_grid<'a>(&'a self, value: &'a str) -> Option<(&'a str, &'a Grid)> {
        origins(&self.graph, value).find_map(|v| Some((v, self.activations.get(v)?)))
    }

    /// Checks that names exist, grids fit their tensors, scales are positive and finite, and
    /// codes lie on their grids.
    pub fn check(&self) -> Result<(), ArtefactError> {
        for (name, tensor) in &self.weights {
            self.check_weight(name, tensor)?;
        }
        for (name, grid) in &self.activations {
            self.check_activation(name, grid)?;
        }
        Ok(())
    }

    fn check_weight(&self, name: &str, tensor: &QuantTensor) -> Result<(), ArtefactError> {
        let held = self.graph.initializer(name);
        let Some(held) = held.filter(|_| is_float_initializer(&self.graph, name)) else {
            let known: Vec<&str> =
                self.graph.proto().initializer.iter().filter_map(|t| t.name.as_deref()).collect();
            let near = names::suggestion(name, &known);
            return Err(ArtefactError::NoWeight { name: name.to_string(), near });
        };
        let want: Vec<usize> = held.dims.iter().map(|&d| d as usize).collect();
        let codes = tensor.codes.len();
        if tensor.dims != want || codes != want.iter().product::<usize>() {
            let have = tensor.dims.clone();
            return Err(ArtefactError::Dims { name: name.to_string(), have, codes, want });
        }
        if let Granularity::Channel { axis } = tensor.grid.granularity
            && axis >= want.len()
        {
            return Err(ArtefactError::Axis { name: name.to_string(), axis, rank: want.len() });
        }
        check_grid(name, &tensor.grid, &tensor.dims)?;
        let (lo, hi) = tensor.grid.code_range();
        let binary = tensor.grid.levels == quantbench_core::Levels::Binary;
        match tensor.codes.iter().find(|&&c| c < lo || c > hi || (binary && c == 0)) {
            Some(&code) => Err(ArtefactError::Code { name: name.to_string(), code }),
            None => Ok(()),
        }
    }

    fn check_activation(&self, name: &str, grid: &Grid) -> Result<(), ArtefactError> {
        if name != self.graph.input() && self.graph.producer(name).is_none() {
            let mut known = vec![self.graph.input()];
            known.extend(
                self.graph.nodes().iter().flat_map(|n| n.output.iter().map(String::as_str)),
            );
            let near = names::suggestion(name, &known);
            return Err(ArtefactError::NoValue { name: name.to_string(), near });
        }
        if grid.granularity != Granularity::Tensor {
            return Err(ArtefactError::ActivationPerChannel { name: name.to_string() });
        }
        check_grid(name, grid, &[1])
    }
}

/// Checks a grid against a tensor and that a byte, signed or not, can hold its codes.
fn check_grid(name: &str, grid: &Grid, dims: &[usize]) -> Result<(), ArtefactError> {
    let wrong = |source| ArtefactError::Grid { name: name.to_string(), source };
    grid.check(dims).map_err(wrong)?;
    let (qmin, qmax) = grid.code_range();
    let byte = if grid.is_signed() { qmin >= -128 && qmax <= 127 } else { qmax <= 255 };
    if byte && grid.bits.is_quantized() {
        return Ok(());
    }
    let zero_point = grid.zero_point.first().copied().unwrap_or(0);
    Err(wrong(GridError::Codes { qmin, qmax, zero_point, bits: grid.bits }))
}
