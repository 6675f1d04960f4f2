//! `inspect`: layer by layer, where a quantized model loses.

use std::fmt::Write as _;
use std::path::Path;

use quantbench_core::row::Accuracy;
use quantbench_datasets::DataRoots;
use quantbench_runner::{Event, InspectOptions, Inspected, LayerFinding, Remedy, inspect};
use serde_json::json;

use crate::args::InspectArgs;
use crate::asked::Asked;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;
use crate::progress::Progress;
use crate::signals;

/// Quantizes, measures and prints a table and a spec to paste.
pub fn run(args: &InspectArgs, configs: Option<&Path>) -> Outcome {
    let catalog = context::catalog(configs)?;
    let roots = DataRoots::from_env();
    let asked = Asked::new(&args.asked, &catalog, &roots)?;
    let request = asked.request(&args.asked, false);
    let options = InspectOptions { images: args.images, recover: args.recover };
    signals::catch_interrupts();
    let label = format!("{}/{}/{}", args.asked.model, args.asked.method, args.asked.bits);
    let mut progress = Progress::new();
    let mut heard = |step, steps, what: &str| {
        let (label, what) = (label.clone(), what.to_string());
        progress.show(Event::Progress { label, step, steps, what });
    };
    let found = inspect(&request, options, &roots, &mut heard, &signals::INTERRUPTED);
    progress.end();
    let found = found.map_err(context::work_failure)?;
    if args.json {
        let mut value = serde_json::to_value(&found).or_failed()?;
        value["model"] = json!(args.asked.model);
        value["method"] = json!(args.asked.method);
        value["spec"] = serde_json::to_value(&request.spec).or_failed()?;
        value["dataset"] = json!(request.dataset.name);
        out::line(&serde_json::to_string_pretty(&value).or_failed()?)?;
    } else {
        out::line(&text(&found, args.recover))?;
    }
    Ok(Exit::Done)
}

fn text(found: &Inspected, recover: f64) -> String {
    let mut text = format!(
        "on {} training images outside the calibration images (no test image is looked at):\n\
         FP32 {}, quantized {}, drop {:.2} points\n\n",
        found.images,
        percent(found.fp32),
        percent(found.quantized),
        found.fp32.percent() - found.quantized.percent(),
    );
    let head = [
        "layer",
        "weights",
        "input",
        "drop alone",
        "weight dB",
        "input dB",
        "output dB",
        "seen",
        "grid",
        "beyond %",
    ];
    let mut rows = vec![head.map(ToString::to_string).to_vec()];
    rows.extend(found.layers.iter().map(row));
    text += &out::table(&rows);
    let _ = writeln!(
        text,
        "\ndrop alone: points lost with this layer alone quantized (its weights and its input)\n\
         dB: signal-to-noise ratios; of inputs and outputs in the whole quantized network, on {} \
         images\n\
         seen, beyond: inputs of the float network, and their share beyond the ends of the grid",
        found.signal_images
    );
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for remedy in &found.remedies {
        text += &suggestion(found, remedy, recover);
    }
    text
}

fn suggestion(found: &Inspected, remedy: &Remedy, recover: f64) -> String {
    let all = remedy.layers.len();
    let what = match (remedy.key, all) {
        ("exclude", 1) => "the most harmful layer in FP32".to_string(),
        ("exclude", n) => format!("the {n} most harmful layers in FP32"),
        (_, 1) => "the same layer at 8 bits".to_string(),
        (_, n) => format!("the same {n} layers at 8 bits"),
    };
    let falls_short = if remedy.recovered < recover {
        format!(", less than the {:.0} % looked for", 100.0 * recover)
    } else {
        String::new()
    };
    format!(
        "\n# {what}: {}, drop {:.2} points ({:.0} % won back{falls_short})\n{}",
        percent(remedy.accuracy),
        found.fp32.percent() - remedy.accuracy.percent(),
        100.0 * remedy.recovered,
        remedy.yaml
    )
}

fn percent(accuracy: Accuracy) -> String {
    format!("{:.2} %", accuracy.percent())
}

fn row(finding: &LayerFinding) -> Vec<String> {
    let none = || "-".to_string();
    let db = |value: f64| format!("{value:.1}");
    let pair = |(lo, hi): (f32, f32)| format!("{lo:.3} to {hi:.3}");
    let signal = finding.signal.as_ref();
    vec![
        finding.layer.clone(),
        finding.weight_bits.to_string(),
        finding.activation_bits.to_string(),
        format!("{:.2}", finding.drop_alone),
        finding.weight_sqnr_db.map_or_else(none, db),
        signal.map_or_else(none, |s| db(s.input_sqnr_db)),
        signal.map_or_else(none, |s| db(s.output_sqnr_db)),
        signal.map_or_else(none, |s| pair(s.seen)),
        signal.and_then(|s| s.grid).map_or_else(none, pair),
        signal.and_then(|s| s.saturated).map_or_else(none, |x| format!("{:.3}", 100.0 * x)),
    ]
}
