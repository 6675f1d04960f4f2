//! Our half of `scripts/bench-training`: images per second of a training step, as one line of JSON.
#![allow(clippy::print_stdout)] // The line is what the example is for.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::{Device, Network, Tape, Unchanged, Value, Var, ops};
use quantbench_graph::Graph;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, batch, steps] = words.as_slice() else {
        return Err("expected: MODEL.onnx BATCH STEPS".into());
    };
    let (batch, steps): (usize, usize) = (batch.parse()?, steps.parse()?);
    let graph = Graph::from_bytes(&std::fs::read(model)?, model)?.fold_constants()?;
    let network = Network::new(&graph, &[])?;
    let mut parameters = network.parameters().clone();
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
    let mut times = Vec::new();
    for _ in 0..steps + 2 {
        let begun = Instant::now();
        let mut tape = Tape::new(&device);
        let image = device.map(&images).ok_or("the images are no maps")?;
        let image = tape.constant(Value::Map(image));
        let vars: BTreeMap<String, Var> =
            parameters.iter().map(|(n, t)| (n.clone(), tape.parameter(t))).collect();
        let inputs = BTreeMap::from([(network.input().to_string(), image)]);
        let run = network.run(&mut tape, inputs, &vars, true, &mut Unchanged)?;
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
        "{{\"isa\":\"{}\",\"images_per_s\":{:.1},\"best\":{:.1}}}",
        device.isa.name(),
        batch as f64 / median,
        batch as f64 / times[0]
    );
    Ok(())
}
