//! Our half of `scripts/bench-hardware`: one layer on one systolic array.
//!
//! Arguments: dataflow (`os` or `ws`), rows and columns, KiB of each buffer, then side of the
//! padded input, kernel, channels, filters, stride. Prints seconds of a full cost of the layer
//! (cycles, traffic, energy, time, speed-up), then cycles, reads of the input and the weight
//! buffer and writes of the output buffer as SCALE-Sim counts them.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A tool for developers.

use std::hint::black_box;
use std::time::Instant;

use quantbench_hardware::constants::Count;
use quantbench_hardware::cost::systolic::Dataflow;
use quantbench_hardware::{CostSection, Profile, Work, Workload};

const REPEATS: u32 = 10_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let flow = match words[0].as_str() {
        "os" => Dataflow::OutputStationary,
        _ => Dataflow::WeightStationary,
    };
    let n: Vec<u64> = words[1..].iter().map(|w| w.parse().unwrap()).collect();
    let [size, kib, side, kernel, channels, filters, stride] = n[..] else {
        panic!("expected 8 arguments")
    };
    let mut profiles = Profile::builtin().unwrap().into_iter();
    let mut profile = profiles.find(|p| p.name == "systolic-ws-64").unwrap();
    let Some(CostSection::Systolic(model)) = &mut profile.cost else { panic!("no systolic array") };
    let count = |n: u64| Count::try_from(n as f64).unwrap();
    model.dataflow = flow;
    (model.array.rows, model.array.columns) = (count(size), count(size));
    let sram = &mut model.sram;
    (sram.input_kib, sram.weight_kib, sram.output_kib) = (count(kib), count(kib), count(kib));
    let output = (side - kernel) / stride + 1;
    let work = Work::conv("layer", (channels, filters), (kernel, stride), output, 1);
    let counts = model.counts(&work);
    let workload = Workload { origin: "pair".to_string(), layers: vec![work] };
    let start = Instant::now();
    for _ in 0..REPEATS {
        black_box(profile.cost(black_box(&workload)).unwrap());
    }
    println!(
        "{:e} {} {} {} {}",
        start.elapsed().as_secs_f64() / f64::from(REPEATS),
        counts.compute_cycles,
        counts.input_sram_reads,
        counts.weight_sram_reads,
        counts.output_sram_writes_as_tool
    );
}
