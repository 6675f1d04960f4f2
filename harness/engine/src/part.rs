//! A part of a network, ready to run: any number of inputs, fed by name.

use std::borrow::Cow;

use ort::session::SessionInputValue;
use ort::value::TensorRef;
use quantbench_core::Tensor;
use quantbench_graph::Graph;

use crate::engine::Engine;
use crate::error::{EngineError, one_line};
use crate::session::{Optimisation, Options, builder};

/// A loaded part of a network, see [`Graph::segment`](quantbench_graph::Graph::segment) and
/// [`Graph::versions`](quantbench_graph::Graph::versions). Kernels are those of
/// [`Engine::logits`].
#[derive(Debug)]
pub struct Part {
    inner: ort::session::Session,
    origin: String,
    outputs: Vec<String>,
}

/// A value for an input: name, dimensions (batch first) and numbers.
pub type Feed<'a> = (&'a str, &'a [usize], &'a [f32]);

impl Engine {
    /// Loads a part of a network.
    ///
    /// # Errors
    /// ONNX Runtime refuses it.
    pub fn part(&self, graph: &Graph) -> Result<Part, EngineError> {
        let origin = graph.origin().to_string();
        let refused = |reason: &dyn std::fmt::Display| EngineError::Refused {
            origin: origin.clone(),
            version: self.runtime().version().to_string(),
            reason: one_line(&reason.to_string()),
        };
        let options = Options { threads: self.threads, optimisation: Optimisation::Float };
        let inner = builder(self.runtime(), &options)
            .map_err(|error| refused(&error))?
            .commit_from_memory(&graph.to_bytes())
            .map_err(|error| refused(&error))?;
        let outputs = inner.outputs().iter().map(|o| o.name().to_string()).collect();
        Ok(Part { inner, origin, outputs })
    }
}

impl Part {
    /// Names of the outputs in their order.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Runs one batch and copies all outputs, in the order of [`Part::outputs`].
    ///
    /// # Errors
    /// An input is missing, unknown or does not fit, an output is not FP32, or the runtime fails.
    pub fn run(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<Tensor>, EngineError> {
        let Self { inner, origin, outputs: names } = self;
        let failed = |reason: &dyn std::fmt::Display| EngineError::Run {
            origin: origin.clone(),
            reason: one_line(&reason.to_string()),
        };
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
        for (name, dims, data) in feeds {
            let view = TensorRef::from_array_view((*dims, *data)).map_err(|e| failed(&e))?;
            inputs.push((Cow::Borrowed(*name), view.into()));
        }
        let outputs = inner.run(inputs).map_err(|error| failed(&error))?;
        let mut copied = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let value = &outputs[index];
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(|_| {
                let (name, found) = (name.clone(), value.dtype().to_string());
                EngineError::Output { origin: origin.clone(), name, found }
            })?;
            let dims = shape.iter().map(|d| usize::try_from(*d).unwrap_or_default()).collect();
            copied.push(Tensor::new(dims, data.to_vec()));
        }
        Ok(copied)
    }
}

#[cfg(test)]
mod tests {
    use quantbench_core::{ImageSource, Tensor};

    use super::*;
    use crate::testing::{Values, runtime, tiny_net};

    fn net() -> Graph {
        Graph::from_bytes(&tiny_net(3), "net").unwrap().fold().unwrap()
    }

    fn feed(values: &[(String, Tensor)]) -> Vec<Feed<'_>> {
        values.iter().map(|(n, t)| (n.as_str(), t.dims.as_slice(), t.data.as_slice())).collect()
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()))
    }

    #[test]
    fn a_network_in_parts_is_the_network() {
        let Some(runtime) = runtime() else { return };
        let (engine, graph) = (Engine::new(runtime, 1), net());
        let images = Values::random(&[3, 8, 8], 5, 1);
        let whole = engine.logits(&graph, &images, 5).unwrap();
        // In front of the second conv its input alone is needed twice: by it and by the Add.
        let layer = &graph.layers()[1];
        let cut = graph.cut(layer.node).unwrap();
        assert_eq!(cut, ["stem_relu"]);
        let front = graph.segment(0..layer.node, &cut).unwrap();
        let image = [("image".to_string(), images.batch(0, 5).unwrap())];
        let value = engine.part(&front).unwrap().run(&feed(&image)).unwrap().remove(0);
        let back = graph.segment(layer.node..graph.nodes().len(), &["logits".into()]).unwrap();
        let value = [("stem_relu".to_string(), value)];
        let logits = engine.part(&back).unwrap().run(&feed(&value)).unwrap().remove(0);
        assert!(close(&logits.data, &whole.data));
    }

    #[test]
    fn versions_of_a_layer_are_the_networks_with_these_weights() {
        let Some(runtime) = runtime() else { return };
        let (engine, graph) = (Engine::new(runtime, 1), net());
        let images = Values::random(&[3, 8, 8], 4, 2);
        for layer in graph.layers() {
            let weights: Vec<Tensor> = [1.0, 0.5, -2.0]
                .map(|factor| {
                    let mut weight = graph.weight(&layer.weight).unwrap();
                    weight.data.iter_mut().for_each(|w| *w *= factor);
                    weight
                })
                .into();
            let cut = graph.cut(layer.node).unwrap();
            let front = graph.segment(0..layer.node, &cut).unwrap();
            let image = images.batch(0, 4).unwrap();
            let values: Vec<(String, Tensor)> = if layer.is_first {
                vec![("image".to_string(), image)]
            } else {
                let image = [("image".to_string(), image)];
                let found = engine.part(&front).unwrap().run(&feed(&image)).unwrap();
                cut.iter().cloned().zip(found).collect()
            };
            let versions = graph.versions(&layer, &weights).unwrap();
            let found = engine.part(&versions).unwrap().run(&feed(&values)).unwrap().remove(0);
            let mut want = Vec::new();
            for weight in &weights {
                let mut changed = graph.clone();
                changed.set_weight(&layer.weight, weight).unwrap();
                want.extend(engine.logits(&changed, &images, 4).unwrap().data);
            }
            assert!(close(&found.data, &want), "{}", layer.name);
        }
    }

    #[test]
    fn a_missing_input_is_an_error() {
        let Some(runtime) = runtime() else { return };
        let mut part = Engine::new(runtime, 1).part(&net()).unwrap();
        assert_eq!(part.outputs(), ["logits"]);
        let error = part.run(&[]).unwrap_err();
        assert!(matches!(error, EngineError::Run { .. }), "{error}");
    }
}
