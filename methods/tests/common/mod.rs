//! Helpers of the tests: a tiny network, images from integers, and one call that runs a method.
#![allow(dead_code)] // Each test file uses its part.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // Helpers of tests are tests.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::card::{ParamValue, Params};
use quantbench_core::{Evidence, ImageSource, LabelledSource, SourceError, Spec, Tensor};
use quantbench_engine::{Engine, Runtime};
use quantbench_graph::{Artefact, Graph, sites, testing};
use quantbench_methods::{Context, Job, Keeper, Method, MethodError, Vault};

/// The engine, or none with the reason printed where the runtime is not set up. With
/// `QUANTBENCH_REQUIRE_RUNTIME` set that is a failure.
pub fn engine() -> Option<Engine> {
    match Runtime::load() {
        Ok(runtime) => Some(Engine::new(runtime, 1)),
        Err(error) => {
            let required = std::env::var_os("QUANTBENCH_REQUIRE_RUNTIME").is_some();
            assert!(!required, "the runtime is required: {error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// The folded tiny network.
pub fn tiny() -> Graph {
    Graph::from_bytes(&testing::tiny_resnet(7), "tiny").unwrap().fold().unwrap()
}

/// Images held in memory.
pub struct Pictures {
    dims: Vec<usize>,
    pub data: Vec<f32>,
    pub labels: Vec<u16>,
}

impl Pictures {
    /// `n` images for a graph, from integers alone: the same on every platform.
    pub fn new(graph: &Graph, n: usize) -> Self {
        let dims = graph.image_dims();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let data = (0..n * dims.iter().product::<usize>())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                ((state >> 40) & 0xffff) as f32 / 16384.0 - 2.0
            })
            .collect();
        Self { dims, data, labels: vec![0; n] }
    }
}

impl ImageSource for Pictures {
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn dims(&self) -> &[usize] {
        &self.dims
    }
    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let stride: usize = self.dims.iter().product();
        let end = (start + n).min(self.len());
        let dims = std::iter::once(end - start).chain(self.dims.iter().copied()).collect();
        Ok(Tensor::new(dims, self.data[start * stride..end * stride].to_vec()))
    }
}

impl LabelledSource for Pictures {
    fn labels(&self) -> &[u16] {
        &self.labels
    }
    fn classes(&self) -> usize {
        usize::from(self.labels.iter().copied().max().unwrap_or(0)) + 1
    }
}

/// A spec from a label.
pub fn spec(label: &str) -> Spec {
    Spec::from_widths(label.parse().unwrap())
}

/// Widths in the middle of what a method can do, at `a` bits of activations.
pub fn label(method: &dyn Method, a: u8) -> String {
    let widths = method.card().widths;
    let w = 4.clamp(widths.weights.0, widths.weights.1);
    if widths.ternary { format!("w2ta{a}") } else { format!("w{w}a{a}") }
}

/// Parameters by which tests of methods that learn are short.
const SHORT: &[(&str, i64)] = &[
    ("iterations", 20),
    ("activation_iterations", 20),
    ("correction_iterations", 5),
    ("epochs", 2),
    ("batch", 16),
    ("passes", 1),
];

/// The defaults of a method with some parameters replaced; learning is short.
pub fn params(method: &dyn Method, given: &[(&str, ParamValue)]) -> Params {
    let known = |name: &str| method.card().params.iter().any(|p| p.name == name);
    let short = SHORT.iter().filter(|(name, _)| known(name));
    let short = short.map(|(name, value)| ((*name).to_string(), ParamValue::Int(*value)));
    let given = given.iter().map(|(k, v)| ((*k).to_string(), v.clone()));
    method.card().resolve(&short.chain(given).collect()).unwrap()
}

/// One run of a method.
pub struct Run<'a> {
    pub engine: Engine,
    pub graph: &'a Graph,
    /// The network with its batch norms; none: as it is, without any.
    pub unfolded: Option<&'a Graph>,
    pub spec: Spec,
    pub params: Params,
    pub vault: Vault,
    pub batch: usize,
    pub seed: u64,
    pub cancelled: bool,
}

impl<'a> Run<'a> {
    /// Defaults: 40 images, batches of 16.
    pub fn new(engine: Engine, graph: &'a Graph, method: &dyn Method, label: &str) -> Self {
        Self {
            engine,
            graph,
            unfolded: None,
            spec: spec(label),
            params: params(method, &[]),
            vault: Vault::with_calibration(Arc::new(Pictures::new(graph, 40))),
            batch: 16,
            seed: 0,
            cancelled: false,
        }
    }

    pub fn with(mut self, method: &dyn Method, given: &[(&str, ParamValue)]) -> Self {
        self.params = params(method, given);
        self
    }

    pub fn go(&self, method: &dyn Method) -> Result<Artefact, MethodError> {
        self.go_fully(method).map(|(artefact, _, _)| artefact)
    }

    /// Also what the method recorded, and how many images it made.
    pub fn go_fully(&self, method: &dyn Method) -> Result<(Artefact, Evidence, u64), MethodError> {
        self.run(method, None)
    }

    /// With somebody who keeps checkpoints.
    pub fn go_kept(
        &self,
        method: &dyn Method,
        keeper: &mut dyn Keeper,
    ) -> Result<Artefact, MethodError> {
        self.run(method, Some(keeper)).map(|(artefact, _, _)| artefact)
    }

    fn run(
        &self,
        method: &dyn Method,
        keeper: Option<&mut dyn Keeper>,
    ) -> Result<(Artefact, Evidence, u64), MethodError> {
        let layers = self.graph.layers();
        let found = sites(self.graph, &self.spec).unwrap();
        let job = Job {
            graph: self.graph,
            unfolded: self.unfolded.unwrap_or(self.graph),
            layers: &layers,
            sites: &found,
            spec: &self.spec,
            params: &self.params,
        };
        let cancelled = AtomicBool::new(self.cancelled);
        let mut progress = |done: usize, all: usize, what: &str| {
            assert!(done <= all && !what.is_empty());
        };
        let name = method.card().name;
        let mut cx = Context::new(&self.engine, name, self.seed, &mut progress, &cancelled);
        cx.batch = self.batch;
        if let Some(keeper) = keeper {
            cx = cx.with_keeper(keeper);
        }
        let artefact = method.run(&job, &self.vault, &mut cx)?;
        Ok((artefact, std::mem::take(&mut cx.evidence), cx.synthetic_images))
    }
}
