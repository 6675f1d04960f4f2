//! Networks as the graph room loads them, on a tape.

mod build;
mod kind;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_graph::Graph;
use thiserror::Error;

use super::ops::Moments;
use super::tape::{Tape, Var};
use kind::{Context, Kind};

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

    /// Moves running moments towards those of a batch ([`Moments::follow`]).
    pub fn update_norms(&mut self, run: &Run, tape: &Tape, momentum: f32) {
        for (norm, moments) in self.norms.iter_mut().zip(&run.moments) {
            let Some(moments) = moments else { continue };
            let count = run.values.get(&norm.input).map_or(0, |v| {
                let shape = tape.map(*v).shape();
                shape.images * shape.pixels()
            });
            norm.moments.follow(moments, count, momentum);
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
        let mut context = Context {
            parameters,
            weights: BTreeMap::new(),
            norms: &self.norms,
            moments: vec![None; self.norms.len()],
            train,
            sites,
        };
        for step in &self.steps {
            let missing = |value: &str| NetworkError::Missing {
                origin: self.origin.clone(),
                node: step.node.clone(),
                value: value.to_string(),
            };
            if let Some(name) =
                step.kind.parameters().iter().find(|n| !parameters.contains_key(**n))
            {
                return Err(missing(name));
            }
            let found = |name: &String| values.get(name).copied().ok_or_else(|| missing(name));
            let read: Vec<Var> = step.inputs.iter().map(found).collect::<Result<_, _>>()?;
            let done = step.kind.run(tape, &read, &mut context);
            let done = done.ok_or_else(|| NetworkError::Shape {
                origin: self.origin.clone(),
                node: step.node.clone(),
                found: read
                    .first()
                    .map_or(String::new(), |x| format!("{:?}", tape.map(*x).shape())),
            })?;
            let done = context.sites.value(tape, &step.output, done);
            values.insert(step.output.clone(), done);
        }
        Ok(Run { values, moments: context.moments })
    }
}
