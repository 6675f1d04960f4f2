//! What a method gets to run graphs with.

use std::sync::{Mutex, PoisonError};

use quantbench_core::{ImageSource, Tensor};
use quantbench_graph::Graph;

use crate::error::EngineError;
use crate::runtime::Runtime;
use crate::session::{Each, Optimisation, Options, Session};
use crate::stream::stream;
use crate::tapping::Tapping;
use crate::turns::Turns;

/// Batches at once at most: each holds all its tapped values in memory.
const ABREAST: usize = 4;

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
        let mut tapping = Tapping::new(*self, graph, values)?;
        stream(images, tapping.batch(batch), &mut |_, tensor| {
            tapping.run(&tensor, &mut |lent| {
                for (index, value) in lent {
                    each(*index, value.dims, value.data);
                }
            })
        })
    }

    /// As [`Engine::taps`] with several batches at once, each on its own threads, which wastes
    /// less time on waiting than several threads within an operation.
    ///
    /// `look` sees a value on the thread of its batch, while other batches run; `take` then gets
    /// the value's position in `values`, its numbers and what `look` gave, batch after batch in
    /// their order, so that results need not depend on threads.
    ///
    /// The memory held is that of up to four batches.
    ///
    /// # Errors
    /// As [`Engine::taps`].
    pub fn taps_in_turn<L>(
        &self,
        graph: &Graph,
        values: &[&str],
        images: &dyn ImageSource,
        batch: usize,
        look: &(dyn Fn(usize, &[f32]) -> L + Sync),
        take: &mut (dyn FnMut(usize, &[f32], L) + Send),
    ) -> Result<(), EngineError> {
        if batch == 0 {
            return Err(EngineError::NoBatch);
        }
        let abreast = self.threads.min(ABREAST).min(images.len().div_ceil(batch)).max(1);
        let engine = Self { threads: self.threads / abreast, ..*self };
        let tappings = (0..abreast).map(|_| Tapping::new(engine, graph, values));
        let tappings = tappings.collect::<Result<Vec<_>, _>>()?;
        let batch = tappings.first().map_or(batch, |t| t.batch(batch));
        let take = &Mutex::new(take);
        let workers = tappings.into_iter().map(|mut tapping| {
            move |number: usize, wait: &mut dyn FnMut()| {
                let tensor = images.batch(number * batch, batch)?;
                tapping.run(&tensor, &mut |lent| {
                    let looks: Vec<L> =
                        lent.iter().map(|(i, value)| look(*i, value.data)).collect();
                    wait();
                    let mut take = take.lock().unwrap_or_else(PoisonError::into_inner);
                    for ((index, value), look) in lent.iter().zip(looks) {
                        take(*index, value.data, look);
                    }
                })
            }
        });
        Turns::new(images.len().div_ceil(batch)).run(workers.collect())
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

    pub(crate) fn session_of(
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
