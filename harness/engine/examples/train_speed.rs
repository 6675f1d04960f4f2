//! Our half of `scripts/bench-training`: images per second of a training step, as one line of JSON.
#![allow(clippy::print_stdout)] // The line is what the example is for.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::{Device, Network, Sites, Tape, Unchanged, Value, Var, ops};
use quantbench_graph::Graph;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, kind, batch, steps] = words.as_slice() else {
        return Err("expected: MODEL.onnx fp32|lsq BATCH STEPS".into());
    };
    let (batch, steps): (usize, usize) = (batch.parse()?, steps.parse()?);
    let graph = Graph::from_bytes(&std::fs::read(model)?, model)?.fold_constants()?;
    let values = readers(&graph);
    let network = Network::new(&graph, &values)?;
    let quantized = kind == "lsq";
    let mut parameters = network.parameters().clone();
    if quantized {
        let layers = graph.layers();
        let names = layers.iter().map(|l| l.weight.as_str()).chain(values.iter().copied());
        for name in names {
            parameters.insert(step_of(name), Tensor::new(vec![1], vec![0.1]));
        }
    }
    let device = Device::new();
    let mut dims = vec![batch];
    dims.extend(graph.image_dims());
    let mut state = 1u32;
    let data = (0..dims.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let images = Tensor::new(dims, data);
    let labels: Vec<u16> = (0..batch).map(|i| (i % 10) as u16).collect();
    let before = peak_mib();
    let mut times = Vec::new();
    for _ in 0..steps + 2 {
        let begun = Instant::now();
        let mut tape = Tape::new(&device);
        let image = device.map(&images).ok_or("the images are no maps")?;
        let image = tape.constant(Value::Map(image));
        let vars: BTreeMap<String, Var> =
            parameters.iter().map(|(n, t)| (n.clone(), tape.parameter(t))).collect();
        let inputs = BTreeMap::from([(network.input().to_string(), image)]);
        let run = if quantized {
            network.run(&mut tape, inputs, &vars, true, &mut Quantized(&vars))?
        } else {
            network.run(&mut tape, inputs, &vars, true, &mut Unchanged)?
        };
        let logits = run.values[network.output()];
        let loss = ops::cross_entropy(&mut tape, logits, &labels, 0.0).ok_or("labels")?;
        let mut gradients = tape.backward(loss);
        for (name, tensor) in &mut parameters {
            if let Some(gradient) = gradients.flat(vars[name]) {
                tensor.data.iter_mut().zip(&gradient.data).for_each(|(w, g)| *w -= 1e-3 * g);
            }
        }
        times.push(begun.elapsed().as_secs_f64());
    }
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "{{\"isa\":\"{}\",\"images_per_s\":{:.1},\"peak_mib\":{:.1}}}",
        device.isa.name(),
        batch as f64 / median,
        peak_mib() - before
    );
    Ok(())
}

/// The values that layers read.
fn readers(graph: &Graph) -> Vec<&str> {
    let layers = graph.layers();
    let read = |value: &&str| layers.iter().any(|l| l.input == *value);
    let made = graph.nodes().iter().flat_map(|n| &n.output).map(String::as_str);
    std::iter::once(graph.input()).chain(made).filter(read).collect()
}

fn step_of(name: &str) -> String {
    format!("step of {name}")
}

/// Weights and inputs of all layers at four bits, as LSQ trains them.
struct Quantized<'a>(&'a BTreeMap<String, Var>);

impl Sites for Quantized<'_> {
    fn weight(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let Some(step) = self.0.get(&step_of(name)) else { return value };
        let ends = ops::Ends { low: -8, high: 7, rate: 0.01 };
        ops::fake_quantize_flat(tape, value, *step, ends).unwrap_or(value)
    }

    fn value(&mut self, tape: &mut Tape, name: &str, value: Var) -> Var {
        let Some(step) = self.0.get(&step_of(name)) else { return value };
        let grid = ops::Affine { zero_point: 0, top: 15, rate: 0.001, float: None };
        ops::fake_quantize(tape, value, *step, grid).unwrap_or(value)
    }
}

/// Peak memory of this process; zero where the system does not tell.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
