//! Our half of `scripts/bench-calibration`: the images of a draw for the other half to read, and
//! the cost of one method as a row would have it, from graph and raw images in memory to artefact.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The lines are what the example is for.

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::{ImageSource, Spec};
use quantbench_datasets::{DataRoots, DatasetManifest, Images, Part, load};
use quantbench_runner::{Catalog, ModelCard, QuantizeRequest, quantize_one};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "expected: export MODEL IMAGES OUT.npy OUT.onnx, or \
                     quantize MODEL METHOD WIDTHS IMAGES THREADS OUT.onnx";

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["export", model, images, npy, onnx] => export(model, images, npy, onnx),
        ["quantize", model, method, widths, images, threads, out] => {
            quantize(model, method, widths, images, threads, out)
        }
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_calibration: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// A model of the catalogue with its data set.
fn subject(name: &str) -> Outcome<(ModelCard, DatasetManifest)> {
    let catalog = Catalog::load(None)?;
    let card = catalog.model(name)?.clone();
    let dataset = catalog.dataset(&card.dataset)?.clone();
    Ok((card, dataset))
}

/// Draw 0, preprocessed, as FP32 `[images, C, H, W]` in NumPy's format, and the FP32 model.
fn export(model: &str, images: &str, npy: &str, onnx: &str) -> Outcome<()> {
    let (card, dataset) = subject(model)?;
    let roots = DataRoots::from_env();
    let split = Arc::new(load(&dataset, Part::Train, &roots)?);
    let indices = split.draw(0, images.parse()?)?;
    let images = Images::new(split, indices, &card.preprocess)?;
    let dims: Vec<String> = std::iter::once(images.len())
        .chain(images.dims().to_vec())
        .map(|d| d.to_string())
        .collect();
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.join(", "));
    // The numbers begin at a multiple of 64 bytes, the header ends with a new line.
    let header = format!("{header:<width$}\n", width = (header.len() + 11).div_ceil(64) * 64 - 11);
    let mut file = BufWriter::new(std::fs::File::create(npy)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&u16::try_from(header.len())?.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for start in (0..images.len()).step_by(128) {
        for value in images.batch(start, 128)?.data {
            file.write_all(&value.to_le_bytes())?;
        }
    }
    file.flush()?;
    std::fs::write(Path::new(onnx), card.bytes(&roots)?)?;
    Ok(())
}

/// Runs a method and prints its cost as one line of JSON.
fn quantize(
    model: &str,
    method: &str,
    widths: &str,
    images: &str,
    threads: &str,
    out: &str,
) -> Outcome<()> {
    let (card, dataset) = subject(model)?;
    let roots = DataRoots::from_env();
    let bytes = card.bytes(&roots)?;
    let request = QuantizeRequest {
        model: &bytes,
        origin: &card.name,
        dataset: &dataset,
        preprocess: &card.preprocess,
        method,
        params: quantbench_core::Params::new(),
        spec: Spec::from_widths(widths.parse()?),
        images: images.parse()?,
        draw: 0,
        seed: 0,
        portable: false,
        threads: threads.parse()?,
    };
    let never = AtomicBool::new(false);
    let made = quantize_one(&request, &roots, &mut |_, _, _| {}, &never)?;
    std::fs::write(out, &made.onnx)?;
    println!("{}", serde_json::to_string(&made.cost)?);
    Ok(())
}
