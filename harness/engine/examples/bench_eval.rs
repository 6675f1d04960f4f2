//! Compares [`quantbench_engine::evaluate`], from raw bytes through preprocessing to predicted
//! classes, with a bare ONNX Runtime loop over batches that were decoded beforehand: same graph,
//! batch, threads and process, in turn, so that both see the same machine. The share that is
//! reported is the median over the pairs.
//!
//! Run it as `scripts/bench-eval`, which says how.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The table is what the example is for.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use quantbench_core::{ImageSource, Tensor};
use quantbench_datasets::{
    DEFAULT_MODEL, DataRoots, DatasetManifest, Images, Part, Preprocess, load,
};
use quantbench_engine::{Optimisation, Options, Runtime, Session, evaluate};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the benchmark needs from a file under `configs/models`.
#[derive(serde::Deserialize)]
struct Model {
    file: String,
    dataset: String,
    preprocess: Preprocess,
}

struct Setting {
    model: String,
    threads: usize,
    batch: usize,
    pairs: usize,
    images: usize,
    optimisation: Optimisation,
    bare_spins: bool,
}

fn main() -> std::process::ExitCode {
    match compare() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_eval: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn compare() -> Outcome<()> {
    let setting = setting()?;
    let (onnx, images) = inputs(&setting.model, setting.images)?;
    let runtime = Runtime::load()?;

    let options = Options { threads: setting.threads, optimisation: setting.optimisation };
    let mut ours = Session::new(runtime, &onnx, &options, &setting.model)?;
    let mut bare = bare_session(runtime, &onnx, &setting)?;
    let decoded = (0..images.len())
        .step_by(setting.batch)
        .map(|start| images.batch(start, setting.batch))
        .collect::<Result<Vec<Tensor>, _>>()?;

    println!(
        "{}, {} images, batch {}, {} threads, optimisation {:?}, ONNX Runtime {}",
        setting.model,
        images.len(),
        setting.batch,
        setting.threads,
        setting.optimisation,
        runtime.version()
    );
    println!("{:>5} {:>14} {:>14} {:>8}", "pair", "evaluate img/s", "bare img/s", "share");
    let speed = |begun: Instant| images.len() as f64 / begun.elapsed().as_secs_f64();
    let mut shares = Vec::new();
    let mut accuracy = 0.0;
    // Pair 0 warms up and does not count.
    for pair in 0..=setting.pairs {
        let mut speeds = [0.0; 2];
        // Odd pairs run in the other order, so that drift does not favour one side.
        for side in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            let begun = Instant::now();
            if side == 0 {
                let done = evaluate(&mut ours, &images, setting.batch, &mut |_| {})?;
                accuracy = done.accuracy.percent();
            } else {
                bare_loop(&mut bare, &decoded)?;
            }
            speeds[side] = speed(begun);
        }
        let share = speeds[0] / speeds[1];
        let note = if pair == 0 { " (warm-up)" } else { "" };
        println!("{pair:>5} {:>14.0} {:>14.0} {share:>8.3}{note}", speeds[0], speeds[1]);
        if pair > 0 {
            shares.push(share);
        }
    }
    shares.sort_by(f64::total_cmp);
    let at = |q: usize| shares[(shares.len() - 1) * q / 4];
    println!("top-1 {accuracy:.2} %");
    println!("median share {:.3} (quartiles {:.3} to {:.3})", at(2), at(1), at(3));
    Ok(())
}

/// `[CONFIG] [--threads N] [--batch N] [--pairs N] [--images N] [--off] [--no-spin]`.
fn setting() -> Outcome<Setting> {
    let mut setting = Setting {
        model: "configs/models/resnet-shapes10.yaml".to_string(),
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        batch: 128,
        pairs: 9,
        images: usize::MAX,
        optimisation: Optimisation::All,
        bare_spins: true,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Outcome<usize> {
            match arguments.next().and_then(|text| text.parse().ok()) {
                Some(n) if n > 0 => Ok(n),
                _ => Err(format!("{argument} wants a number of 1 or more").into()),
            }
        };
        match argument.as_str() {
            "--threads" => setting.threads = number()?,
            "--batch" => setting.batch = number()?,
            "--pairs" => setting.pairs = number()?,
            "--images" => setting.images = number()?,
            "--no-spin" => setting.bare_spins = false,
            "--off" => setting.optimisation = Optimisation::Off,
            other if other.starts_with('-') => return Err(format!("unknown option {other}").into()),
            path => setting.model = path.to_string(),
        }
    }
    Ok(setting)
}

/// The model's bytes and its first test images, not yet preprocessed.
fn inputs(config: &str, images: usize) -> Outcome<(Vec<u8>, Images)> {
    let text = std::fs::read_to_string(config).map_err(|e| format!("{config}: {e}"))?;
    let model: Model = serde_yaml::from_str(&text).map_err(|e| format!("{config}: {e}"))?;
    let roots = DataRoots::from_env();
    let manifest = DatasetManifest::builtin()
        .into_iter()
        .find(|m| m.name == model.dataset)
        .ok_or_else(|| format!("{config}: no data set {:?} is built in", model.dataset))?;
    let onnx = match roots.find(&model.file) {
        _ if model.file == "embedded" => DEFAULT_MODEL.to_vec(),
        Some(path) => std::fs::read(path)?,
        None => return Err(format!("{} is not in {}", model.file, roots.described()).into()),
    };
    let split = Arc::new(load(&manifest, Part::Test, &roots)?);
    let first = split.first(images);
    Ok((onnx, Images::new(split, first, &model.preprocess)?))
}

/// A session as a plain user of `ort` makes one: graph, threads and level, all else by default,
/// which includes idle threads that spin.
fn bare_session(
    runtime: &Runtime,
    onnx: &[u8],
    setting: &Setting,
) -> Outcome<ort::session::Session> {
    let level = match setting.optimisation {
        Optimisation::Off => GraphOptimizationLevel::Disable,
        _ => GraphOptimizationLevel::All,
    };
    let session = ort::session::Session::builder(runtime.environment())
        .and_then(|b| Ok(b.with_intra_threads(setting.threads)?))
        .and_then(|b| Ok(b.with_intra_op_spinning(setting.bare_spins)?))
        .and_then(|b| Ok(b.with_optimization_level(level)?))
        .and_then(|mut b| b.commit_from_memory(onnx))?;
    Ok(session)
}

fn bare_loop(session: &mut ort::session::Session, batches: &[Tensor]) -> Outcome<()> {
    for batch in batches {
        let view = TensorRef::from_array_view((batch.dims.as_slice(), batch.data.as_slice()))?;
        let outputs = session.run(ort::inputs![view])?;
        std::hint::black_box(outputs[0].try_extract_tensor::<f32>()?);
    }
    Ok(())
}
