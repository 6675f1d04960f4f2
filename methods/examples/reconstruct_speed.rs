//! Our half of `scripts/bench-reconstruction`: milliseconds per iteration of a reconstructing
//! method, by the clock and of the processor, as one line of JSON.
//!
//! Times lie between the calls by which the method reports its progress inside a piece. The first
//! interval of a piece, and pieces whose network is not a residual block's, are left out.
#![allow(clippy::print_stdout)] // The line is what the example is for.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use quantbench_core::card::ParamValue;
use quantbench_core::{ImageSource, LabelledSource, SourceError, Spec, Tensor};
use quantbench_engine::{Engine, Runtime};
use quantbench_graph::{Graph, sites};
use quantbench_methods::{Context, Job, Vault, find};

/// Iterations between two reports of progress.
const EVERY: usize = 64;

/// Images.
const IMAGES: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, method, widths, batch, threads] = words.as_slice() else {
        return Err("expected: MODEL.onnx METHOD WIDTHS BATCH THREADS".into());
    };
    let unfolded = Graph::from_bytes(&std::fs::read(model)?, model)?.fold_constants()?;
    let graph = unfolded.fold_norms()?;
    let method = find(method)?;
    let spec = Spec::from_widths(widths.parse()?);
    let known = |name: &str| method.card().params.iter().any(|p| p.name == name);
    let iterations = ParamValue::Int(2 * EVERY as i64 + 1);
    let given = [
        ("iterations", iterations.clone()),
        ("activation_iterations", iterations),
        ("batch", ParamValue::Int(batch.parse()?)),
    ];
    let given = given.into_iter().filter(|(name, _)| known(name));
    let given: BTreeMap<String, ParamValue> = given.map(|(n, v)| (n.to_string(), v)).collect();
    let params = method.card().resolve(&given)?;
    let (layers, found) = (graph.layers(), sites(&graph, &spec)?);
    let (graph, unfolded) = (&graph, &unfolded);
    let job = Job { graph, unfolded, layers: &layers, sites: &found, spec: &spec, params: &params };
    let vault = Vault::with_calibration(Arc::new(Noise::new(graph.image_dims())));
    let mut stages: BTreeMap<String, Vec<Vec<[f64; 2]>>> = BTreeMap::new();
    let (mut stage, mut last) = (String::new(), (Instant::now(), cpu_ms()));
    let mut progress = |done: usize, _: usize, what: &str| {
        if what != "reconstruction" {
            stage = what.to_string();
            return;
        }
        let now = (Instant::now(), cpu_ms());
        let pieces = stages.entry(stage.clone()).or_default();
        if done == 0 {
            pieces.push(Vec::new());
        }
        if let Some(times) = pieces.last_mut().filter(|_| done > EVERY) {
            let wall = (now.0 - last.0).as_secs_f64() * 1e3;
            times.push([wall, now.1 - last.1].map(|ms| ms / EVERY as f64));
        }
        last = now;
    };
    let engine = Engine::new(Runtime::load()?, threads.parse()?);
    let cancelled = AtomicBool::new(false);
    let mut cx = Context::new(&engine, method.card().name, 0, &mut progress, &cancelled);
    method.run(&job, &vault, &mut cx)?;
    let means = stages.iter().map(|(stage, pieces)| {
        // The stem and the head are not blocks.
        let inner = &pieces[1..pieces.len() - 1];
        let times: Vec<[f64; 2]> = inner.iter().flatten().copied().collect();
        let mean = |i: usize| times.iter().map(|t| t[i]).sum::<f64>() / times.len().max(1) as f64;
        format!("\"{stage}\":[{:.4},{:.4}]", mean(0), mean(1))
    });
    println!("{{{}}}", means.collect::<Vec<_>>().join(","));
    Ok(())
}

/// Milliseconds of the processor that this process has used; zero where the system does not tell.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // What follows the name, which may hold anything, in hundredths of a second.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields = after.split_whitespace().skip(11).take(2);
    fields.filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Random images.
struct Noise {
    dims: Vec<usize>,
    data: Vec<f32>,
    labels: Vec<u16>,
}

impl Noise {
    fn new(dims: Vec<usize>) -> Self {
        let mut state = 1u32;
        let count = IMAGES * dims.iter().product::<usize>();
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let data = (0..count).map(|_| next()).collect();
        Self { dims, data, labels: (0..IMAGES).map(|i| (i % 10) as u16).collect() }
    }
}

impl ImageSource for Noise {
    fn len(&self) -> usize {
        IMAGES
    }

    fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let stride: usize = self.dims.iter().product();
        let end = (start + n).min(IMAGES);
        let dims = std::iter::once(end - start).chain(self.dims.iter().copied()).collect();
        Ok(Tensor::new(dims, self.data[start * stride..end * stride].to_vec()))
    }
}

impl LabelledSource for Noise {
    fn labels(&self) -> &[u16] {
        &self.labels
    }

    fn classes(&self) -> usize {
        10
    }
}
