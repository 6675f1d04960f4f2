//! A network that shows some of the values inside it.

use quantbench_core::Tensor;
use quantbench_graph::Graph;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::session::{Lent, Optimisation, Session};

/// Receives values together, each with its position among those wanted.
pub(crate) type Then<'a> = dyn FnMut(&[(usize, Lent<'_>)]) + 'a;

/// A loaded network whose outputs are the wanted values. What no wanted value needs is not
/// computed.
pub(crate) struct Tapping {
    /// None if the image alone is wanted.
    session: Option<Session>,
    /// Where the image is wanted.
    image: Vec<usize>,
    /// For each output of the session, where it is wanted.
    places: Vec<Vec<usize>>,
}

impl Tapping {
    /// Loads the network; `values` are names of values of `graph`, the image among them.
    pub(crate) fn new(engine: Engine, graph: &Graph, values: &[&str]) -> Result<Self, EngineError> {
        let mut wanted: Vec<&str> = Vec::new();
        for value in values.iter().filter(|v| **v != graph.input()) {
            if !wanted.contains(value) {
                wanted.push(value);
            }
        }
        let session = if wanted.is_empty() {
            None
        } else {
            let bytes = graph.ending_in(&wanted)?.to_bytes();
            Some(engine.session_of(&bytes, Optimisation::Float, graph.origin())?)
        };
        let at = |name: &str| -> Vec<usize> {
            (0..values.len()).filter(|i| values[*i] == name).collect()
        };
        let image = at(graph.input());
        let places = session.iter().flat_map(|s| s.outputs().iter().map(|name| at(name))).collect();
        Ok(Self { session, image, places })
    }

    /// The batch size: the one that the network fixes, or else the one asked for.
    pub(crate) fn batch(&self, asked: usize) -> usize {
        self.session.as_ref().and_then(Session::fixed_batch).unwrap_or(asked)
    }

    /// Runs one batch and lends all values together, each with its position among those wanted.
    pub(crate) fn run(&mut self, images: &Tensor, then: &mut Then<'_>) -> Result<(), EngineError> {
        let Self { session, image, places } = self;
        let input = Lent { dims: &images.dims, data: &images.data };
        let Some(session) = session else {
            then(&image.iter().map(|i| (*i, input)).collect::<Vec<_>>());
            return Ok(());
        };
        session.run_lending(images, &mut |outputs| {
            let mut all: Vec<(usize, Lent<'_>)> = image.iter().map(|i| (*i, input)).collect();
            for (output, places) in outputs.iter().zip(&*places) {
                all.extend(places.iter().map(|i| (*i, *output)));
            }
            then(&all);
        })
    }
}
