//! What a method gets to run graphs with.

use quantbench_core::{ImageSource, Tensor};
use quantbench_graph::Graph;

use crate::error::EngineError;
use crate::runtime::Runtime;
use crate::session::{Each, Optimisation, Options, Session};
use crate::stream::stream;

/// Runs graphs for a method: the runtime and the number of threads that it may use.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    runtime: &'static Runtime,
    /// Threads within an operation. Results do not depend on it.
    pub threads: usize,
}

impl Engine {
    /// An engine on a loaded runtime.
    pub fn new(runtime: &'static Runtime, threads: usize) -> Self {
        Self { runtime, threads }
    }

    /// The runtime.
    pub fn runtime(&self) -> &'static Runtime {
        self.runtime
    }

    /// Loads the bytes of a model with this engine's threads.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn session(
        &self,
        graph_bytes: &[u8],
        optimisation: Optimisation,
    ) -> Result<Session, EngineError> {
        self.session_of(graph_bytes, optimisation, "model")
    }

    /// Shows the values inside a network for all images, batch after batch: for each batch and
    /// each of `values` a call with the position in `values`, the dimensions (batch first) and
    /// the numbers. Within a batch the order of the values is not specified.
    ///
    /// The memory held is that of one batch of all tapped values, whatever the number of images.
    /// What no tapped value needs is not computed, and no value is copied.
    /// The image input may be tapped like any other value. Float kernels are optimised, Q/DQ
    /// pairs stay simulated; a tapped value is kept as it stands in the graph.
    ///
    /// # Errors
    /// A value that the graph does not have, or as [`Session::run`].
    pub fn taps(
        &self,
        graph: &Graph,
        values: &[&str],
        images: &dyn ImageSource,
        batch: usize,
        each: &mut Each<'_>,
    ) -> Result<(), EngineError> {
        let mut wanted: Vec<&str> = Vec::new();
        for value in values.iter().filter(|v| **v != graph.input()) {
            if !wanted.contains(value) {
                wanted.push(value);
            }
        }
        let mut session = if wanted.is_empty() {
            None
        } else {
            let bytes = graph.ending_in(&wanted)?.to_bytes();
            Some(self.session_of(&bytes, Optimisation::Float, graph.origin())?)
        };
        // For each output of the session, where in `values` it is wanted.
        let at = |name: &str| -> Vec<usize> {
            (0..values.len()).filter(|i| values[*i] == name).collect()
        };
        let image = at(graph.input());
        let places: Vec<Vec<usize>> =
            session.iter().flat_map(|s| s.outputs().iter().map(|name| at(name))).collect();
        let batch = session.as_ref().and_then(Session::fixed_batch).unwrap_or(batch);
        stream(images, batch, &mut |_, tensor| {
            for &index in &image {
                each(index, &tensor.dims, &tensor.data);
            }
            let Some(session) = &mut session else { return Ok(()) };
            session.run_each(&tensor, &mut |output, dims, data| {
                for &index in &places[output] {
                    each(index, dims, data);
                }
            })
        })
    }

    /// The logits of all images as one tensor `[images, classes]`: the first output of the graph.
    /// Kernels are those of [`Engine::taps`].
    ///
    /// # Errors
    /// No images, or as [`Session::run`].
    pub fn logits(
        &self,
        graph: &Graph,
        images: &dyn ImageSource,
        batch: usize,
    ) -> Result<Tensor, EngineError> {
        let mut session =
            self.session_of(&graph.to_bytes(), Optimisation::Float, graph.origin())?;
        let mut all = Tensor::default();
        let batch = session.fixed_batch().unwrap_or(batch);
        stream(images, batch, &mut |_, tensor| {
            session.run_each(&tensor, &mut |output, dims, data| {
                if output == 0 {
                    all.dims = vec![0, dims.iter().skip(1).product()];
                    all.data.extend_from_slice(data);
                }
            })
        })?;
        let width = all.stride();
        if images.is_empty() || width == 0 || all.len() != images.len() * width {
            let origin = graph.origin().to_string();
            return Err(if images.is_empty() {
                EngineError::NoImages { origin }
            } else {
                EngineError::Logits { origin, found: all.dims, images: images.len() }
            });
        }
        all.dims[0] = images.len();
        Ok(all)
    }

    fn session_of(
        &self,
        bytes: &[u8],
        optimisation: Optimisation,
        origin: &str,
    ) -> Result<Session, EngineError> {
        Session::new(self.runtime, bytes, &Options { threads: self.threads, optimisation }, origin)
    }
}

#[cfg(test)]
mod tests;
