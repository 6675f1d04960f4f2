//! `cost --measure`: latencies on this machine, beside FP32.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use quantbench_core::cost_row::{CostResult, LayerCostRow};
use quantbench_datasets::DataRoots;
use quantbench_engine::cap;
use quantbench_hardware::Workload;
use quantbench_measure::Repeats;
use quantbench_runner::{Catalog, MeasureRequest, MeasuredPair, Measuring, Store};
use serde_json::json;

use super::{DEFAULT_BITS, artefact, model_bytes, plain, same_layers, say_costed, short, strings};
use crate::args::CostArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// The profiles under which latencies are stored: the CPU as it is, and held to AVX2.
const NATIVE: &str = "x86-native";
/// The profile of a process that is held to AVX2.
pub const CAPPED: &str = "x86-avx2";

/// Runnable processes above which a warning is printed.
const BUSY: f64 = 0.5;

/// Measures the artefacts of a run folder, or one file beside its model.
pub(super) fn run(args: &CostArgs, catalog: &Catalog) -> Outcome {
    let name = if cap::asked().or_usage()? { CAPPED } else { NATIVE };
    if args.profile.iter().any(|asked| asked != name) {
        return Err(anyhow!(
            "--measure: {} cannot be measured by this process; expected {name}, or no --profile \
             (one process measures one of {NATIVE} and {CAPPED})",
            args.profile.join(", "),
        ))
        .or_usage();
    }
    if !cfg!(target_arch = "x86_64") {
        return Err(anyhow!("--measure: {name} needs an x86-64 CPU")).or_usage();
    }
    let rounds = args.rounds as usize;
    let how = Measuring {
        profile: catalog.profile(name).or_usage()?,
        batch: args.batch.into(),
        threads: args.threads.into(),
        repeats: Repeats { warm_up: 1 + rounds / 10, rounds },
        command: &std::env::args().collect::<Vec<_>>().join(" "),
        commit: env!("QUANTBENCH_COMMIT"),
    };
    if let Some(load) = quantbench_measure::load().filter(|load| *load > BUSY) {
        out::say(&format!(
            "warning: {load} processes were running over the last minute; latencies need a machine \
             that does nothing else"
        ));
    }
    match (&args.run, &args.model, &args.artefact) {
        (Some(dir), ..) => folder(&Store::open(dir).or_usage()?, catalog, &how),
        (None, Some(model), Some(file)) => one(args, model, file, catalog, &how),
        _ => Err(anyhow!(
            "--measure: expected --run DIR, or MODEL and --artefact FILE, a quantized file beside the \
             FP32 model that it was made from"
        ))
        .or_usage(),
    }
}

/// The artefacts of a run folder; costs are stored beside the rows.
fn folder(store: &Store, catalog: &Catalog, how: &Measuring<'_>) -> Outcome {
    let roots = DataRoots::from_env();
    let costed = quantbench_runner::measure_artefacts(store, catalog, &roots, how, &mut |what| {
        out::say(what);
    })
    .map_err(context::work_failure)?;
    say_costed(costed, store);
    Ok(Exit::Done)
}

/// One file; what is found is printed.
fn one(
    args: &CostArgs,
    model: &str,
    file: &Path,
    catalog: &Catalog,
    how: &Measuring<'_>,
) -> Outcome {
    let (model, fp32) = model_bytes(model, catalog)?;
    let origin = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {origin}")).or_usage()?;
    let artefact = artefact(&bytes, &origin)?;
    let own = Workload::of(&artefact).or_usage()?;
    same_layers(&model, &plain(&model, &fp32, DEFAULT_BITS, DEFAULT_BITS)?, &own)?;
    let packed = bytes.starts_with(super::PACKED);
    let request = MeasureRequest {
        model: &model,
        fp32: &fp32,
        artefact: &artefact,
        onnx: (!packed).then_some(&bytes),
        origin: &origin,
    };
    let pair = quantbench_runner::measure_one(&request, how).map_err(context::work_failure)?;
    let profile = how.profile.name.as_str();
    if args.json {
        let value = json!({
            "model": model,
            "artefact": origin,
            "profile": profile,
            "by": pair.by,
            "cost_measured": {"artefact": pair.own, "fp32": pair.fp32},
            "observed": pair.observed,
        });
        out::line(&serde_json::to_string_pretty(&value).or_failed()?)?;
    } else {
        out::line(&text(&pair, &model, &origin, profile, args.layers))?;
    }
    Ok(Exit::Done)
}

fn text(pair: &MeasuredPair, model: &str, origin: &str, profile: &str, layers: bool) -> String {
    let head = strings(["network", "ms", "95 % of the median", "rounds", "outliers", "speed-up"]);
    let rows = [head, line(model, &pair.fp32), line(origin, &pair.own)];
    let mut text = format!("{profile}: {}\n\n{}\n", pair.by, out::table(&rows));
    text += "measured in turn in one process, per image; outliers are further than three median \
             absolute deviations from the median, and none is left out\n";
    for note in &pair.own.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if layers {
        let _ = write!(text, "\n{}", out::table(&by_layer(pair)));
        text += "time of a layer's operator in a profiled run of its own; - where the runtime gave it \
                 another name\n";
    }
    text
}

fn line(name: &str, cost: &CostResult) -> Vec<String> {
    let (interval, count, outliers) = cost.spread.map_or_else(
        || ("-".to_string(), 0, 0),
        |s| {
            let ends = format!("{} to {}", short(s.low_s * 1e3), short(s.high_s * 1e3));
            (ends, s.count, s.outliers)
        },
    );
    vec![
        name.to_string(),
        short(cost.seconds * 1e3),
        interval,
        count.to_string(),
        outliers.to_string(),
        short(cost.speed_up),
    ]
}

fn by_layer(pair: &MeasuredPair) -> Vec<Vec<String>> {
    let head = strings(["layer", "widths", "M MAC", "fp32 us", "us", "speed-up"]);
    let micros = |seconds: Option<f64>| seconds.map_or("-".to_string(), |s| short(s * 1e6));
    let row = |(own, fp32): (&LayerCostRow, &LayerCostRow)| {
        let ratio = fp32.seconds.zip(own.seconds).filter(|(_, own)| *own > 0.0);
        vec![
            own.layer.clone(),
            format!("w{}a{}", own.weight_bits, own.activation_bits),
            short(own.macs as f64 / 1e6),
            micros(fp32.seconds),
            micros(own.seconds),
            ratio.map_or("-".to_string(), |(fp32, own)| short(fp32 / own)),
        ]
    };
    std::iter::once(head).chain(pair.own.layers.iter().zip(&pair.fp32.layers).map(row)).collect()
}
