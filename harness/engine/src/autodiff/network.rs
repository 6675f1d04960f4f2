//! Networks as the graph room loads them, on a tape.

mod build;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_graph::Graph;
use thiserror::Error;

use super::kernels::plan::Window;
use super::ops::{self, Moments, Norm, Pick};
use super::tape::{Tape, Var};

/// A network that cannot be run, or a value that does not fit it.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NetworkError {
    /// A node that has no way back here.
    #[error("{origin}: node {node:?} ({op}) cannot be trained: {reason}")]
    Node {
        /// Model.
        origin: String,
        /// Name of the node.
        node: String,
        /// Operator.
        op: String,
        /// What is not supported.
        reason: String,
    },
    /// A value that a node cannot take.
    #[error("{origin}: node {node:?} does not fit its input of {found}")]
    Shape {
        /// Model.
        origin: String,
        /// Name of the node.
        node: String,
        /// Dimensions found.
        found: String,
    },
    /// A value that nothing gives.
    #[error("{origin}: value {value:?} is not known when node {node:?} needs it")]
    Missing {
        /// Model.
        origin: String,
        /// Name of the node.
        node: String,
        /// Value.
        value: String,
    },
}

/// What a node does; names are those of parameters.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Conv { weight: String, bias: Option<String>, window: Window, groups: usize },
    Linear { weight: String, bias: Option<String>, transposed: bool },
    Norm { gamma: String, beta: String, state: usize, epsilon: f32, relu: bool },
    Relu,
    Clip { low: f32, high: f32 },
    Add { relu: bool },
    Pick(Pick),
    AveragePool(Window),
    GlobalAveragePool,
    MaxPool(Window),
    Flatten,
    Same,
}

/// One node, or several that are computed together.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    node: String,
    kind: Kind,
    inputs: Vec<String>,
    output: String,
}

/// The moments that a batch norm keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningMoments {
    /// Value that the norm reads.
    pub input: String,
    /// Initializer of the means.
    pub mean_name: String,
    /// Initializer of the variances.
    pub variance_name: String,
    /// Means and variances.
    pub moments: Moments,
}

/// A network, ready to run forward and backward.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    origin: String,
    steps: Vec<Step>,
    parameters: BTreeMap<String, Tensor>,
    norms: Vec<RunningMoments>,
    input: String,
    output: String,
}

/// Changes values while a network runs: where quantizers sit.
pub trait Sites {
    /// In place of a layer's weights, by the name of the parameter.
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let _ = (tape, name);
        value
    }

    /// In place of a value, by its name, for all that read it.
    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let _ = (tape, name);
        value
    }
}

/// Nothing is changed.
pub struct Unchanged;

impl Sites for Unchanged {}

/// One run of a network.
pub struct Run {
    /// All values by name, as their readers saw them.
    pub values: BTreeMap<String, Var>,
    /// Moments of the batch at each norm, in the order of [`Network::norms`], where batches are
    /// normalised with their own.
    pub moments: Vec<Option<Moments>>,
}

impl Network {
    /// A network of a graph whose constants are folded.
    ///
    /// Values named in `keep` are computed as they stand in the graph; a rectified linear unit may
    /// be joined with what comes before it where that value is not named.
    ///
    /// # Errors
    /// A node that has no way back here.
    pub fn new(graph: &Graph, keep: &[&str]) -> Result<Self, NetworkError> {
        build::build(graph, keep)
    }

    /// Parameters that can be trained, by the names of initializers.
    pub fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    /// The norms, in order.
    pub fn norms(&self) -> &[RunningMoments] {
        &self.norms
    }

    /// Moves running moments towards those of a batch of so many values per channel:
    /// `(1 - momentum) old + momentum new`, variances unbiased (PyTorch's semantics).
    pub fn update_norms(&mut self, run: &Run, tape: &Tape, momentum: f32) {
        for (norm, moments) in self.norms.iter_mut().zip(&run.moments) {
            let Some(moments) = moments else { continue };
            let count = run.values.get(&norm.input).map_or(0, |v| {
                let shape = tape.map(*v).shape();
                shape.images * shape.pixels()
            });
            let unbiased = count as f32 / (count.max(2) - 1) as f32;
            let pairs = norm.moments.mean.iter_mut().zip(&moments.mean);
            pairs.for_each(|(old, new)| *old += momentum * (new - *old));
            let pairs = norm.moments.variance.iter_mut().zip(&moments.variance);
            pairs.for_each(|(old, new)| *old += momentum * (new * unbiased - *old));
        }
    }

    /// Puts running means and variances in place, one pair for each norm.
    ///
    /// # Panics
    /// If there are not as many as norms and channels: a bug of the caller.
    pub fn set_moments(&mut self, moments: Vec<(Vec<f32>, Vec<f32>)>) {
        assert_eq!(moments.len(), self.norms.len());
        for (norm, (mean, variance)) in self.norms.iter_mut().zip(moments) {
            norm.moments.mean.copy_from_slice(&mean);
            norm.moments.variance.copy_from_slice(&variance);
        }
    }

    /// The values that it computes, in order, the input first.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.input.as_str()).chain(self.steps.iter().map(|s| s.output.as_str()))
    }

    /// Name of the input.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Name of the output.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// Runs forward.
    ///
    /// `inputs` are values by name, most often the image alone; `parameters` are those of
    /// [`Network::parameters`] on the tape. `train`: norms take the moments of the batch.
    ///
    /// # Errors
    /// A value that does not fit or is missing.
    pub fn run(
        &self,
        tape: &mut Tape,
        inputs: BTreeMap<String, Var>,
        parameters: &BTreeMap<String, Var>,
        train: bool,
        sites: &mut dyn Sites,
    ) -> Result<Run, NetworkError> {
        let mut values = BTreeMap::new();
        for (name, value) in inputs {
            let value = sites.value(tape, &name, value);
            values.insert(name, value);
        }
        let mut moments = vec![None; self.norms.len()];
        let mut weights: BTreeMap<&str, Var> = BTreeMap::new();
        for step in &self.steps {
            let missing = |value: &str| NetworkError::Missing {
                origin: self.origin.clone(),
                node: step.node.clone(),
                value: value.to_string(),
            };
            let value = |i: usize| {
                let name = step.inputs.get(i).map_or("", String::as_str);
                values.get(name).copied().ok_or_else(|| missing(name))
            };
            let parameter = |name: &str| parameters.get(name).copied().ok_or_else(|| missing(name));
            let x = value(0)?;
            let done = match &step.kind {
                Kind::Conv { weight, bias, .. } | Kind::Linear { weight, bias, .. } => {
                    let w = if let Some(w) = weights.get(weight.as_str()) {
                        *w
                    } else {
                        let w = sites.weight(tape, weight, parameter(weight)?);
                        weights.insert(weight, w);
                        w
                    };
                    let b = bias.as_deref().map(parameter).transpose()?;
                    match &step.kind {
                        Kind::Conv { window, groups, .. } => {
                            ops::conv(tape, x, w, b, *window, *groups)
                        }
                        Kind::Linear { transposed: true, .. } => {
                            let w = ops::transpose(tape, w);
                            ops::linear(tape, x, w, b)
                        }
                        _ => ops::linear(tape, x, w, b),
                    }
                }
                Kind::Norm { gamma, beta, state, epsilon, relu } => {
                    let frozen = (!train).then(|| &self.norms[*state].moments);
                    let how = Norm { epsilon: *epsilon, frozen, relu: *relu };
                    let done = ops::norm(tape, x, parameter(gamma)?, parameter(beta)?, &how);
                    done.map(|(y, found)| {
                        moments[*state] = train.then_some(found);
                        y
                    })
                }
                Kind::Relu => Some(ops::relu(tape, x)),
                Kind::Clip { low, high } => Some(ops::clip(tape, x, *low, *high)),
                Kind::Add { relu } => ops::add(tape, x, value(1)?, *relu),
                Kind::Pick(pick) => ops::pick(tape, x, *pick),
                Kind::AveragePool(window) => ops::average_pool(tape, x, *window),
                Kind::GlobalAveragePool => ops::global_average_pool(tape, x),
                Kind::MaxPool(window) => ops::max_pool(tape, x, *window),
                Kind::Flatten => Some(ops::flatten(tape, x)),
                Kind::Same => Some(x),
            };
            let done = done.ok_or_else(|| NetworkError::Shape {
                origin: self.origin.clone(),
                node: step.node.clone(),
                found: format!("{:?}", tape.map(x).shape()),
            })?;
            let done = sites.value(tape, &step.output, done);
            values.insert(step.output.clone(), done);
        }
        Ok(Run { values, moments })
    }
}
