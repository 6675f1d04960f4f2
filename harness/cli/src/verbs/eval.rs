//! `eval`: top-1 accuracy of one model.

use std::fmt::Write as _;
use std::path::Path;

use quantbench_datasets::DataRoots;
use quantbench_engine::Optimisation;
use quantbench_runner::{EvaluateRequest, evaluate_file};
use serde_json::json;

use crate::args::EvalArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Evaluates on the test split and prints accuracy with its interval over the test images.
pub fn run(args: &EvalArgs, configs: Option<&Path>) -> Outcome {
    let catalog = context::catalog(configs)?;
    let roots = DataRoots::from_env();
    let subject = context::subject(
        &args.model,
        args.dataset.as_deref(),
        args.preprocess_of.as_deref(),
        &catalog,
        &roots,
    )?;
    let (optimisation, how) = match (args.deployed, args.precise) {
        (false, _) => (Optimisation::Off, "simulated"),
        (true, false) => (Optimisation::All, "deployed"),
        (true, true) => (Optimisation::Precise, "deployed, precise"),
    };
    let request = EvaluateRequest {
        model: &subject.bytes,
        origin: &subject.origin,
        dataset: subject.dataset,
        preprocess: &subject.preprocess,
        images: args.images,
        optimisation,
        batch: 128,
        threads: context::cores(),
    };
    let found =
        evaluate_file(&request, &roots, &mut |_, _, _| {}).map_err(context::work_failure)?;
    let interval = quantbench_report::stats::wilson(
        found.accuracy.correct as f64,
        found.accuracy.images as f64,
    );
    if args.json {
        let value = json!({
            "model": args.model,
            "dataset": subject.dataset.name,
            "evaluation": how,
            "correct": found.accuracy.correct,
            "images": found.accuracy.images,
            "top1_pct": found.accuracy.percent(),
            "integer_layers": found.integer_layers,
            "seconds": found.seconds,
            "runtime": found.runtime,
            "partial": args.images.is_some(),
        });
        out::line(&serde_json::to_string_pretty(&value).or_failed()?)?;
        return Ok(Exit::Done);
    }
    let mut text = format!(
        "top-1 {:.2} % ({} of {} images of {}, {how})\nover test images (Wilson 95 %): {:.2} to {:.2} %\n",
        found.accuracy.percent(),
        found.accuracy.correct,
        found.accuracy.images,
        subject.dataset.name,
        100.0 * interval.low,
        100.0 * interval.high,
    );
    if let Some((integer, all)) = found.integer_layers {
        let _ = writeln!(text, "integer kernels: {integer} of {all} layers");
    }
    if args.images.is_some() {
        text += "partial: only the first images in canonical order\n";
    }
    let _ = write!(text, "{:.1} s with ONNX Runtime {}", found.seconds, found.runtime);
    out::line(&text)?;
    Ok(Exit::Done)
}
