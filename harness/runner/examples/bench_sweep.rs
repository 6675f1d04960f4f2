//! What a sweep costs beyond its methods and evaluations: a run with nothing to do, and the
//! overhead of a cell.
//!
//! The thousand rows of the first part are made up, with the ids of real cells, in a scratch
//! folder that is removed at the end; they only have to be read. The second part runs real cells.
//!
//! Run it as `scripts/bench-sweep`, which says how.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The table is what the example is for.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use quantbench_core::row::{
    Accuracy, Gate, LayerBits, MethodCost, Observed, ResultPart, Row, SCHEMA, Status,
};
use quantbench_core::{Bits, Evidence, Sizes};
use quantbench_runner::work::order::now;
use quantbench_runner::{
    Catalog, Event, Filter, PlannedCell, RunOptions, Store, Survey, plan, run,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Times that each command is measured; the median counts.
const REPEATS: usize = 5;

/// Layers of a made-up row, as many as ResNet-20 has.
const LAYERS: u64 = 22;

fn main() -> std::process::ExitCode {
    match measure() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_sweep: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<()> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("expected the quantbench program as argument")?;
    let models: Vec<String> = arguments.map(|a| a.to_string_lossy().into_owned()).collect();
    let scratch = std::env::temp_dir().join(format!("quantbench-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let outcome = resume(&program, &scratch).and_then(|()| {
        models.iter().try_for_each(|model| overhead(&program, &scratch.join(model), model))
    });
    std::fs::remove_dir_all(&scratch)?;
    outcome
}

/// 1,000 cells: one of FP32, 994 of two methods on 71 draws at 7 specs, 5 of a third method.
fn thousand() -> String {
    let draws: Vec<String> = (0..71).map(|d| d.to_string()).collect();
    format!(
        "name: sweep\ndataset: shapes10\nmodels: [resnet-shapes10]\nmethods:\n  - minmax\n  - mse\n  \
         - {{name: squant, specs: [w8a8, w7a7, w6a6, w5a5, w4a4]}}\n\
         specs: [w8a8, w7a7, w6a6, w5a5, w4a4, w3a3, w2a2]\n\
         calibration: {{images: 32, draws: [{}]}}\n",
        draws.join(", ")
    )
}

/// Times the verbs on a run folder in which everything is done.
fn resume(program: &OsString, scratch: &Path) -> Outcome<()> {
    let survey = scratch.join("sweep.yaml");
    std::fs::write(&survey, thousand())?;
    let catalog = Catalog::load(None)?;
    let plan = plan(&Survey::load(&survey)?, &catalog, &Filter::default())?;
    let folder = scratch.join("sweep");
    let store = Store::create(&folder)?;
    for (n, cell) in plan.cells.iter().enumerate() {
        let id = cell.ids.as_ref().ok_or("the plan has no ids: is the runtime here?")?;
        store.put_row(&id.cell, &made_up(n as u64, cell))?;
    }
    println!("{} finished cells (made up), median of {REPEATS}", plan.cells.len());
    let (survey, folder) = (survey.as_os_str(), folder.as_os_str());
    let out = OsString::from("--out");
    for words in [
        vec!["run".as_ref(), survey, &out, folder],
        vec!["plan".as_ref(), survey, &out, folder],
        vec!["status".as_ref(), folder],
        vec!["report".as_ref(), folder],
    ] {
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let (before, start) = (children_cpu(), Instant::now());
            let mut command = Command::new(program);
            command.args(&words).stdout(Stdio::null()).stderr(Stdio::null());
            if !command.status()?.success() {
                return Err(format!("{words:?} failed").into());
            }
            times.push((start.elapsed().as_secs_f64(), children_cpu() - before));
        }
        let wall = median(times.iter().map(|t| t.0).collect());
        let cpu = median(times.iter().map(|t| t.1).collect());
        println!("  {:<8} {wall:6.3} s wall  {cpu:6.2} s CPU", words[0].display());
    }
    Ok(())
}

/// A row that reads like a real one.
fn made_up(n: u64, planned: &PlannedCell) -> Row {
    // The FP32 row has the accuracy on the card, so that its gate stays open.
    let correct = if planned.is_fp32() { 3782 } else { 3700 - n % 600 };
    let accuracy = Accuracy { correct, images: 4000 };
    let layer = |l| LayerBits {
        layer: format!("/layer{l}/conv/Conv"),
        weights: Bits::EIGHT,
        activations: Bits::EIGHT,
        parameters: 1000 + l,
    };
    let ids = planned.ids.clone().map(|ids| ids.ids).unwrap_or_default();
    Row {
        schema: SCHEMA,
        survey: "sweep".to_string(),
        cell: planned.cell.clone(),
        status: Status::Done,
        reason: None,
        result: Some(ResultPart {
            fp32: Accuracy { correct: 3782, images: 4000 },
            acc_simulated: accuracy,
            acc_deployed: None,
            deployed_reason: None,
            gate: Gate::Passed,
            sizes: Sizes::default(),
            bit_operations: 1_000_000 + n,
            bit_operations_fp32: 16_000_000,
            mean_weight_bits: 4.0 + n as f64 / 7.0,
            allocation: (0..LAYERS).map(layer).collect(),
            images_read: 32,
            labels_read: 0,
            synthetic_images: 0,
            best_epoch: None,
            artefact_sha256: ids.artefact.repeat(2),
            predictions: ids.eval.repeat(2),
            notes: vec!["made up by bench_sweep".to_string()],
            evidence: Evidence::default(),
        }),
        ids,
        observed: Observed {
            method: Some(MethodCost { wall_s: 0.1, cpu_s: 0.1, peak_mib: 10.0 }),
            eval_simulated_s: Some(0.5),
            cell_s: 0.7,
            finished: now(),
            command: "bench_sweep".to_string(),
            ..Observed::default()
        },
    }
}

/// Runs cells of a method without and one with images, and takes away what they are for.
fn overhead(program: &OsString, scratch: &Path, model: &str) -> Outcome<()> {
    let catalog = Catalog::load(None)?;
    let dataset = &catalog.model(model)?.dataset;
    let survey = format!(
        "name: overhead\ndataset: {dataset}\nmodels: [{model}]\nmethods: [squant, minmax]\n\
         specs: [w8a8, w7a7, w6a6, w5a5, w4a4]\ncalibration: {{images: 256, draws: [0, 1]}}\n\
         deployed: never\n"
    );
    let plan = plan(&Survey::parse(&survey, "overhead")?, &catalog, &Filter::default())?;
    let options = RunOptions {
        dir: scratch.to_path_buf(),
        published: Vec::new(),
        jobs: 1,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        worker: vec![program.clone(), "worker".into()],
        shard: None,
        keep_going: false,
        retry_failed: false,
        command: "bench_sweep".to_string(),
        commit: "none".to_string(),
    };
    // From the end of one cell to the end of the next: claims, process and rows included.
    let mut before = Instant::now();
    let mut found: BTreeMap<String, Vec<(Duration, Row)>> = BTreeMap::new();
    let mut failed = None;
    let mut note = |event| match event {
        Event::Begin { .. } => before = Instant::now(),
        Event::Finished { row, .. } => {
            let now = Instant::now();
            found.entry(row.cell.method.clone()).or_default().push((now - before, *row));
            before = now;
        }
        Event::Failed { reason, .. } => failed = Some(reason),
        _ => {}
    };
    run(&plan, &catalog, &options, &mut note, &AtomicBool::new(false))?;
    if let Some(reason) = failed {
        return Err(reason.into());
    }
    println!("{model}: seconds of a cell, median");
    println!(
        "  method  cells   cell  method  evaluation  overhead  of which before the worker's clock"
    );
    for (method, cells) in found.iter().filter(|(method, _)| *method != "fp32") {
        let cost = |row: &Row| row.observed.method.map_or(0.0, |m| m.wall_s);
        let eval = |row: &Row| row.observed.eval_simulated_s.unwrap_or(0.0);
        let of = |value: &dyn Fn(f64, &Row) -> f64| {
            median(cells.iter().map(|(wall, row)| value(wall.as_secs_f64(), row)).collect())
        };
        println!(
            "  {method:<7} {:>5} {:6.3} {:7.3} {:11.3} {:9.3} {:9.3}",
            cells.len(),
            of(&|wall, _| wall),
            of(&|_, row| cost(row)),
            of(&|_, row| eval(row)),
            of(&|wall, row| wall - cost(row) - eval(row)),
            of(&|wall, row| wall - row.observed.cell_s),
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// CPU seconds of the child processes that have ended, where the system tells (Linux).
fn children_cpu() -> f64 {
    /// Clock ticks per second in /proc, the same on every Linux that we know.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    // Fields 16 and 17 of the line; the part after the name begins with field 3.
    fields.skip(13).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / TICKS
}
