//! Runs with workers that do synthetic work: claims, resume, crashes, Ctrl-C, full disks.
//!
//! This binary is also the worker and the second process: it starts itself with one test's name
//! and a variable that says which part to play.
#![allow(clippy::unwrap_used)] // In tests outside `#[cfg(test)]` a panic is the failure too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quantbench_core::Row;
use quantbench_core::row::{Accuracy, FP32, Gate, Observed, ResultPart, SCHEMA, Status};
use quantbench_datasets::DataRoots;
use quantbench_runner::plan::here::Here;
use quantbench_runner::plan::plan_here;
use quantbench_runner::run::run_here;
use quantbench_runner::run::worker::serve;
use quantbench_runner::work::order::{Order, now};
use quantbench_runner::{
    Catalog, Event, Filter, ModelCard, Plan, RunError, RunOptions, Store, Summary, Survey,
};

/// Which part this process plays; unset in the test process itself.
const PART: &str = "QUANTBENCH_TEST_PART";
/// Milliseconds that the work on a cell takes at most.
const DELAY: &str = "QUANTBENCH_TEST_DELAY";
/// Cells whose label contains this crash their worker.
const CRASH: &str = "QUANTBENCH_TEST_CRASH";
/// Models whose FP32 gate does not open.
const GATE: &str = "QUANTBENCH_TEST_GATE";

const SURVEY: &str = "name: tiny
dataset: shapes10
models: [resnet-shapes10]
methods: [minmax, mse, squant]
specs: [w8a8, w4a4, w3a3]
calibration: {images: 64, draws: [0, 1]}
";

fn here() -> Here {
    let cache = std::env::temp_dir().join("quantbench-runner-tests");
    Here::with(DataRoots { dirs: vec![], cache }, Ok("1.0.0".into()), "none".into())
}

fn plan(filter: &Filter) -> (Plan, Catalog) {
    let catalog = Catalog::load(None).unwrap();
    let survey = Survey::parse(SURVEY, "tiny.yaml").unwrap();
    (plan_here(&survey, &catalog, filter, &here()).unwrap(), catalog)
}

/// A command that starts this binary in a part.
fn myself(part: &str) -> Vec<OsString> {
    let exe = std::env::current_exe().unwrap().into_os_string();
    let part = format!("{PART}={part}");
    let words = ["env", &part].map(OsString::from);
    let test = ["parts_are_played_on_request", "--exact", "--nocapture", "--quiet"];
    words.into_iter().chain([exe]).chain(test.map(OsString::from)).collect()
}

fn options(dir: &Path) -> RunOptions {
    RunOptions {
        dir: dir.to_path_buf(),
        published: vec![],
        jobs: 2,
        threads: 1,
        worker: myself("worker"),
        shard: None,
        keep_going: true,
        retry_failed: true,
        command: "test".into(),
        commit: "test".into(),
    }
}

/// The synthetic work: a result that depends on the ids alone, after a while.
fn synthetic(order: &Order) -> Row {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let number = u64::from_str_radix(&order.ids.cell[..8], 16).unwrap();
    let delay: u64 = variable(DELAY).parse().unwrap_or(10);
    std::thread::sleep(Duration::from_millis(number % delay.max(1)));
    let crash = variable(CRASH);
    if !crash.is_empty() && order.label.contains(&crash) {
        eprintln!("about to crash on purpose");
        std::process::abort();
    }
    let journal = order.store.join("journal");
    let mut journal = fs::File::options().append(true).create(true).open(journal).unwrap();
    writeln!(journal, "{}", order.ids.cell).unwrap();
    let gate = match &order.gate {
        Some(gate) => *gate,
        None if order.cell.model == variable(GATE) => Gate::Failed,
        None => Gate::Passed,
    };
    let accuracy = match (order.cell.method.as_str(), gate) {
        // What the card states, so that the gate is that of the accuracy.
        (FP32, Gate::Passed) => {
            let percent = order.model.fp32_top1.unwrap();
            Accuracy { correct: (percent * 100.0).round() as u64, images: 10_000 }
        }
        (FP32, _) => Accuracy { correct: 0, images: 10_000 },
        _ => Accuracy { correct: number % 100, images: 100 },
    };
    Row {
        schema: SCHEMA,
        survey: order.survey.clone(),
        cell: order.cell.clone(),
        ids: order.ids.ids.clone(),
        status: Status::Done,
        reason: None,
        result: Some(ResultPart {
            fp32: accuracy,
            acc_simulated: accuracy,
            acc_deployed: None,
            deployed_reason: None,
            gate,
            sizes: quantbench_core::Sizes::default(),
            bit_operations: number,
            bit_operations_fp32: number,
            mean_weight_bits: number as f64 / 7.0,
            allocation: vec![],
            images_read: 0,
            labels_read: 0,
            synthetic_images: 0,
            best_epoch: None,
            artefact_sha256: order.ids.ids.artefact.clone(),
            predictions: String::new(),
            notes: vec![],
            evidence: quantbench_core::Evidence::default(),
        }),
        observed: Observed { finished: now(), cell_s: 0.01, ..Observed::default() },
    }
}

/// Plays a part if this process was started for one; else checks that both parts work.
#[test]
fn parts_are_played_on_request() {
    match std::env::var(PART).as_deref() {
        Ok("worker") => {
            std::process::exit(serve(|order, _store, progress| {
                progress(1, 2, "synthetic work");
                synthetic(order)
            }));
        }
        Ok(dir) => {
            let (plan, catalog) = plan(&Filter::default());
            let never = AtomicBool::new(false);
            let options = options(Path::new(dir));
            run_here(&plan, &catalog, &options, &mut |_| {}, &never, &here()).unwrap();
        }
        Err(_) => {
            let folder = tempfile::tempdir().unwrap();
            assert!(process(folder.path(), 10).wait().unwrap().success());
            assert_eq!(results(folder.path()).len(), plan(&Filter::default()).0.cells.len());
        }
    }
}

/// Another process that runs the survey in `dir`.
fn process(dir: &Path, delay: u64) -> Child {
    let words = myself(dir.to_str().unwrap());
    Command::new(&words[0])
        .args(&words[1..])
        .env(DELAY, delay.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs in this process, with variables for the workers.
fn run_with(
    options: &RunOptions,
    variables: &[(&str, &str)],
    interrupted: &AtomicBool,
) -> (Result<Summary, RunError>, Vec<Event>) {
    let (plan, catalog) = plan(&Filter::default());
    let mut options = options.clone();
    let words = variables.iter().map(|(k, v)| OsString::from(format!("{k}={v}")));
    options.worker.splice(1..1, words);
    let mut events = Vec::new();
    let mut note = |event| events.push(event);
    let outcome = run_here(&plan, &catalog, &options, &mut note, interrupted, &here());
    (outcome, events)
}

fn run_quietly(options: &RunOptions, variables: &[(&str, &str)]) -> Summary {
    run_with(options, variables, &AtomicBool::new(false)).0.unwrap()
}

/// The `result` parts by cell, as JSON.
fn results(dir: &Path) -> BTreeMap<String, String> {
    let (rows, bad) = Store::open(dir).unwrap().rows().unwrap();
    assert!(bad.is_empty(), "{bad:?}");
    rows.iter()
        .map(|row| {
            let cell = serde_json::to_string(&row.cell).unwrap();
            (cell, serde_json::to_string(&row.result).unwrap())
        })
        .collect()
}

fn files(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// How often each cell's work was finished.
fn journal(dir: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(dir.join("journal")).unwrap_or_default();
    text.lines().fold(BTreeMap::new(), |mut counts, line| {
        *counts.entry(line.to_string()).or_default() += 1;
        counts
    })
}

fn nothing_left_behind(dir: &Path) {
    assert_eq!(files(&dir.join("claims")), BTreeSet::from([".lock".to_string()]));
    for folder in ["rows", "artefacts", "predictions"] {
        let parts: Vec<String> =
            files(&dir.join(folder)).into_iter().filter(|f| f.ends_with(".qbpart")).collect();
        assert!(parts.is_empty(), "{folder}: {parts:?}");
    }
}

#[test]
fn a_run_does_every_cell_once_and_a_second_run_none() {
    let folder = tempfile::tempdir().unwrap();
    let total = plan(&Filter::default()).0.cells.len();
    let first = run_quietly(&options(folder.path()), &[]);
    assert_eq!((first.total, first.done, first.left), (total, total, 0));
    assert_eq!((first.before, first.elsewhere, first.failed.len()), (0, 0, 0));
    let before = results(folder.path());
    let second = run_quietly(&options(folder.path()), &[]);
    assert_eq!((second.before, second.done, second.left), (total, 0, 0));
    assert_eq!(results(folder.path()), before);
    assert!(journal(folder.path()).values().all(|n| *n == 1));
    nothing_left_behind(folder.path());
}

#[test]
fn killed_at_random_moments_and_resumed_the_results_are_the_same_bit_for_bit() {
    let reference = tempfile::tempdir().unwrap();
    run_quietly(&options(reference.path()), &[]);
    let folder = tempfile::tempdir().unwrap();
    // A fixed sequence of moments (a linear congruential generator), so that a failure repeats.
    let mut state = 12_345_u64;
    let (mut unfinished, total) = (0, results(reference.path()).len());
    for _ in 0..20 {
        let mut child = process(folder.path(), 300);
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(20 + (state >> 33) % 180));
        child.kill().unwrap();
        child.wait().unwrap();
        unfinished += usize::from(results(folder.path()).len() < total);
    }
    assert!(unfinished >= 10, "only {unfinished} of 20 kills came in mid-run");
    let last = run_quietly(&options(folder.path()), &[]);
    assert_eq!((last.left, last.failed.len()), (0, 0));
    assert_eq!(results(folder.path()), results(reference.path()));
    nothing_left_behind(folder.path());
}

#[test]
fn of_two_processes_on_one_folder_no_cell_is_done_twice_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let total = plan(&Filter::default()).0.cells.len();
    let mut children = [process(folder.path(), 60), process(folder.path(), 60)];
    let own = run_quietly(&options(folder.path()), &[(DELAY, "60")]);
    assert_eq!((own.total, own.left, own.failed.len()), (total, 0, 0));
    assert_eq!(own.before + own.done + own.elsewhere, total);
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let counts = journal(folder.path());
    assert_eq!(counts.len(), total);
    assert!(counts.values().all(|n| *n == 1), "{counts:?}");
    nothing_left_behind(folder.path());
}

#[test]
fn a_worker_that_crashes_leaves_a_failed_row_that_names_the_signal() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = run_quietly(&options(folder.path()), &[(CRASH, "mse/w4a4")]);
    assert_eq!(crashed.failed.len(), 2);
    assert_eq!(crashed.left, 0);
    let (label, reason) = &crashed.failed[0];
    assert!(label.contains("mse/w4a4"), "{label}");
    assert!(reason.starts_with("the worker was killed by signal 6 (SIGABRT)"), "{reason}");
    assert!(reason.ends_with("about to crash on purpose"), "{reason}");
    let rows = Store::open(folder.path()).unwrap().rows().unwrap().0;
    assert_eq!(rows.iter().filter(|r| r.status == Status::Failed).count(), 2);

    let kept = RunOptions { retry_failed: false, ..options(folder.path()) };
    let kept = run_quietly(&kept, &[]);
    assert_eq!((kept.failed.len(), kept.done), (2, 0));
    let again = run_quietly(&options(folder.path()), &[]);
    assert_eq!((again.failed.len(), again.done), (0, 2));
}

#[test]
fn a_failed_gate_refuses_the_quantized_cells() {
    let folder = tempfile::tempdir().unwrap();
    let summary = run_quietly(&options(folder.path()), &[(GATE, "resnet-shapes10")]);
    assert_eq!(summary.done, 1);
    assert_eq!(summary.failed.len(), summary.total - 1);
    assert!(summary.failed[0].1.starts_with("FP32 gate: resnet-shapes10 does not reach"));
    assert_eq!(journal(folder.path()).len(), 1);

    let folder = tempfile::tempdir().unwrap();
    let summary = run_quietly(&options(folder.path()), &[(CRASH, "fp32")]);
    assert_eq!(summary.failed.len(), summary.total);
    assert!(summary.failed[1].1.starts_with("FP32 gate: the FP32 cell failed: the worker was"));
}

#[test]
fn an_interrupt_ends_workers_and_gives_claims_back() {
    let folder = tempfile::tempdir().unwrap();
    let interrupted = AtomicBool::new(false);
    let start = Instant::now();
    let (plan, catalog) = plan(&Filter::default());
    let mut slow = options(folder.path());
    slow.worker.splice(1..1, [OsString::from(format!("{DELAY}=100000000"))]);
    let summary = run_here(
        &plan,
        &catalog,
        &slow,
        &mut |event| {
            if matches!(event, Event::Started { .. }) {
                interrupted.store(true, Ordering::SeqCst);
            }
        },
        &interrupted,
        &here(),
    )
    .unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.left, summary.total);
    assert!(start.elapsed() < Duration::from_secs(20));
    nothing_left_behind(folder.path());
    assert!(files(&folder.path().join("rows")).is_empty());
}

#[test]
fn shards_share_the_cells_and_published_rows_count_as_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut done = 0;
    for part in 0..3 {
        let options = RunOptions { shard: Some((part, 3)), ..options(folder.path()) };
        let summary = run_quietly(&options, &[]);
        assert_eq!(summary.before, usize::from(part > 0), "the FP32 cell belongs to every shard");
        done += summary.done;
    }
    assert_eq!(done, plan(&Filter::default()).0.cells.len());
    assert!(journal(folder.path()).values().all(|n| *n == 1));

    let other = tempfile::tempdir().unwrap();
    let published =
        RunOptions { published: vec![folder.path().join("rows")], ..options(other.path()) };
    let summary = run_quietly(&published, &[]);
    assert_eq!((summary.before, summary.done), (done, 0));
    assert_eq!(results(other.path()), results(folder.path()), "reports read the run folder alone");
}

#[test]
fn a_card_that_is_corrected_opens_and_closes_the_gate_of_a_stored_fp32_row() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let (plan, mut catalog) = plan(&Filter::default());
    let fp32 = plan.cells[0].ids.as_ref().unwrap().cell.clone();
    let card = catalog.model("resnet-shapes10").unwrap().clone();
    let mut run = |top1| {
        catalog.insert_model(ModelCard { fp32_top1: top1, ..card.clone() });
        let never = AtomicBool::new(false);
        run_here(&plan, &catalog, &options, &mut |_| {}, &never, &here()).unwrap()
    };
    let gate = || {
        let row = Store::open(folder.path()).unwrap().row(&fp32).unwrap().unwrap().unwrap();
        row.result.unwrap().gate
    };
    let quantized = plan.cells.len() - 1;
    assert_eq!(run(card.fp32_top1).failed.len(), 0);
    assert_eq!(gate(), Gate::Passed);
    for cell in &plan.cells[1..] {
        fs::remove_file(Store::view(folder.path()).row_path(&cell.ids.as_ref().unwrap().cell))
            .unwrap();
    }
    let closed = run(Some(50.0));
    assert_eq!((closed.before, closed.done, closed.failed.len()), (1, 0, quantized));
    assert_eq!(gate(), Gate::Failed);
    let open = run(card.fp32_top1);
    assert_eq!((open.before, open.done, open.failed.len()), (1, quantized, 0));
    assert_eq!(gate(), Gate::Passed);
    run(None);
    assert_eq!(gate(), Gate::NotChecked);
}

/// A temporary file as a process of this machine leaves it that was killed while writing.
fn half_written(dir: &Path) -> std::path::PathBuf {
    let me = quantbench_runner::store::owner::Owner::me();
    dir.join(format!("rows/.x.json.{}-{}-1-0.qbpart", me.host_digest(), me.pid))
}

#[test]
fn half_written_files_of_lost_workers_are_gone_after_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let interrupted = AtomicBool::new(false);
    let (plan, catalog) = plan(&Filter::default());
    for (stop, crash) in [(true, "nothing"), (false, "mse")] {
        let mut options = options(folder.path());
        options.worker.splice(1..1, [OsString::from(format!("{CRASH}={crash}"))]);
        let mut leave = |event| {
            // The sweep before the run is over by now.
            if matches!(event, Event::Started { .. }) {
                fs::write(half_written(folder.path()), b"x").unwrap();
                interrupted.store(stop, Ordering::SeqCst);
            }
        };
        run_here(&plan, &catalog, &options, &mut leave, &interrupted, &here()).unwrap();
        nothing_left_behind(folder.path());
        interrupted.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_worker_that_closes_its_output_and_hangs_does_not_hold_up_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let interrupted = AtomicBool::new(false);
    let (plan, catalog) = plan(&Filter::default());
    let mut hung = options(folder.path());
    hung.worker = ["sh", "-c", "exec sleep 600 >&-"].map(OsString::from).into();
    let start = Instant::now();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            interrupted.store(true, Ordering::SeqCst);
        });
        run_here(&plan, &catalog, &hung, &mut |_| {}, &interrupted, &here()).unwrap()
    });
    assert!(summary.interrupted);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_corrupt_row_is_named_and_its_cell_done_again() {
    let folder = tempfile::tempdir().unwrap();
    run_quietly(&options(folder.path()), &[]);
    let rows = folder.path().join("rows");
    let file = rows.join(files(&rows).first().unwrap());
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let bad = Store::open(folder.path()).unwrap().rows().unwrap().1;
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].file, file);
    assert!(bad[0].to_string().contains("is not a row: EOF while parsing"), "{}", bad[0]);
    let (summary, events) = run_with(&options(folder.path()), &[], &AtomicBool::new(false));
    assert_eq!(summary.unwrap().done, 1);
    assert!(events.iter().any(|e| matches!(e, Event::BadRow(bad) if bad.file == file)));
    assert!(Store::open(folder.path()).unwrap().rows().unwrap().1.is_empty());

    let newer = String::from_utf8(whole).unwrap().replacen("\"schema\": 1", "\"schema\": 2", 1);
    fs::write(&file, newer).unwrap();
    let bad = Store::open(folder.path()).unwrap().rows().unwrap().1;
    assert_eq!(bad[0].reason, "its layout has version 2, this quantbench reads 1");
}

#[test]
fn rows_that_must_not_be_overwritten_stop_the_run_and_others_are_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let total = run_quietly(&options(folder.path()), &[]).total;
    let rows = folder.path().join("rows");
    let names: Vec<_> = files(&rows).into_iter().collect();
    let file = rows.join(&names[0]);
    let whole = fs::read_to_string(&file).unwrap();
    let again = || run_with(&options(folder.path()), &[], &AtomicBool::new(false));

    // Another cell's row, not UTF-8, an older layout: named, done again.
    let other = fs::read(rows.join(&names[1])).unwrap();
    let older = whole.replacen("\"schema\": 1", "\"schema\": 0", 1).into_bytes();
    for (content, expected) in [
        (other, "it holds the row of another cell, "),
        (b"{\"schema\": 1, \"survey\": \"\xff\"".to_vec(), "it is not UTF-8 text at byte 25"),
        (older, "its layout has version 0, this quantbench reads 1"),
    ] {
        fs::write(&file, content).unwrap();
        let (summary, events) = again();
        let summary = summary.unwrap();
        assert_eq!((summary.done, summary.before), (1, total - 1), "{expected}");
        let named = |e: &Event| matches!(e, Event::BadRow(bad) if bad.file == file && bad.reason.starts_with(expected));
        assert!(events.iter().any(named), "{expected}: {events:?}");
    }

    // A newer layout is somebody's result; nothing can be written over a folder.
    let newer = whole.replacen("\"schema\": 1", "\"schema\": 2", 1);
    fs::write(&file, &newer).unwrap();
    let text = again().0.unwrap_err().to_string();
    let what =
        "is not a row: its layout has version 2, this quantbench reads 1; use the quantbench";
    assert!(text.starts_with(&format!("{} {what}", file.display())), "{text}");
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let text = again().0.unwrap_err().to_string();
    let what = "is not a row: it is a folder; remove it and run again";
    assert_eq!(text, format!("{} {what}", file.display()));
    let (found, bad) = Store::open(folder.path()).unwrap().rows().unwrap();
    assert_eq!((found.len(), bad.len()), (total - 1, 1));
    fs::remove_dir(&file).unwrap();

    // A copy under another name is a second row of the same id, which reports count once.
    fs::write(&file, &whole).unwrap();
    fs::copy(&file, rows.join("a copy.json")).unwrap();
    assert_eq!(again().0.unwrap().before, total);
    assert_eq!(Store::open(folder.path()).unwrap().rows().unwrap().0.len(), total + 1);
    nothing_left_behind(folder.path());
}

#[test]
fn what_a_survey_asks_for_is_kept_whatever_part_was_run() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(None).unwrap();
    let survey = Survey::parse(SURVEY, "tiny.yaml").unwrap();
    let never = AtomicBool::new(false);
    let run = |filter: Filter| {
        let plan = plan_here(&survey, &catalog, &filter, &here()).unwrap();
        run_here(&plan, &catalog, &options(folder.path()), &mut |_| {}, &never, &here()).unwrap()
    };
    let missing = || {
        let store = Store::open(folder.path()).unwrap();
        let (rows, asked) = (store.rows().unwrap().0, store.asked().unwrap());
        quantbench_runner::missing(&asked, &rows).len()
    };
    let total = plan(&Filter::default()).0.cells.len();
    let part =
        run(Filter { only: vec!["method=mse".into(), "draw=0".into()], ..Filter::default() });
    assert_eq!((part.total, part.done, part.left), (4, 4, 0));
    assert_eq!(missing(), total - 4);
    run(Filter { images: Some(10), ..Filter::default() });
    assert_eq!(missing(), total - 4, "rows of partial evaluations fill no gap");
    let rest = run(Filter::default());
    assert_eq!((rest.before, missing()), (4, 0));
}

#[test]
fn a_time_budget_stops_starting_cells() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, catalog) = plan(&Filter { time_budget: Some(Duration::ZERO), ..Filter::default() });
    let never = AtomicBool::new(false);
    let summary =
        run_here(&plan, &catalog, &options(folder.path()), &mut |_| {}, &never, &here()).unwrap();
    assert_eq!((summary.left, summary.done), (summary.total, 0));
    assert!(summary.out_of_time);
    assert!(plan.selected.unwrap().contains("cells started within 0s"));
}

#[test]
fn folders_and_programs_that_cannot_be_are_clear_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    let below = file.join("runs");
    let (outcome, _) = run_with(&options(&below), &[], &AtomicBool::new(false));
    let text = outcome.unwrap_err().to_string();
    let expected = format!(
        "cannot make the run folder {}: {} is a file, not a folder; choose another output folder",
        below.display(),
        file.display()
    );
    assert_eq!(text, expected);

    let mut nobody = options(&folder.path().join("run"));
    nobody.worker = vec!["/nowhere/worker".into()];
    let (plan, catalog) = plan(&Filter::default());
    let never = AtomicBool::new(false);
    let outcome = run_here(&plan, &catalog, &nobody, &mut |_| {}, &never, &here());
    let text = outcome.unwrap_err().to_string();
    assert!(text.starts_with("cannot start a worker (/nowhere/worker): No such file"), "{text}");
    nothing_left_behind(&nobody.dir);

    let text = Store::open(Path::new("/nowhere/runs/x")).unwrap_err().to_string();
    assert_eq!(text, "there is no run folder /nowhere/runs/x; `quantbench run` makes one");
}

#[test]
fn what_is_missing_stops_the_run_before_any_cell() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(None).unwrap();
    let survey = Survey::parse(SURVEY, "tiny.yaml").unwrap();
    let roots = DataRoots { dirs: vec![], cache: folder.path().join("cache") };
    let bare = Here::with(roots, Err("no ONNX Runtime library".into()), "none".into());
    let plan = plan_here(&survey, &catalog, &Filter::default(), &bare).unwrap();
    let never = AtomicBool::new(false);
    let run = folder.path().join("run");
    let outcome = run_here(&plan, &catalog, &options(&run), &mut |_| {}, &never, &bare);
    assert!(matches!(&outcome, Err(RunError::Missing(what)) if what.len() == 1), "{outcome:?}");
    assert!(!run.exists());
}

#[test]
fn data_that_are_missing_stop_the_run_although_their_hashes_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(None).unwrap();
    let dir = folder.path().join("data");
    fs::create_dir(&dir).unwrap();
    // Plans do not look into model files; the worker does.
    fs::write(dir.join("resnet20-cifar10.onnx"), b"x").unwrap();
    let roots = DataRoots { dirs: vec![dir.clone()], cache: folder.path().join("cache") };
    let here = Here::with(roots, Ok("1.0.0".into()), "none".into());
    let plan = |methods: &str| {
        let text = SURVEY
            .replace("shapes10", "cifar10")
            .replace("resnet-cifar10", "resnet20-cifar10")
            .replace("minmax, mse, squant", methods);
        let survey = Survey::parse(&text, "tiny.yaml").unwrap();
        plan_here(&survey, &catalog, &Filter::default(), &here).unwrap()
    };
    let free = plan("squant");
    assert!(free.cells.iter().all(|c| c.ids.is_some()));
    assert_eq!(free.missing.len(), 1, "{:?}", free.missing);
    let test = "data set cifar10: cifar-10-batches-bin/test_batch.bin not found";
    assert!(free.missing[0].starts_with(test), "{:?}", free.missing);
    let granted = plan("minmax");
    assert_eq!(granted.missing.len(), 2, "{:?}", granted.missing);
    assert!(granted.missing[1].contains("data_batch_1.bin not found"), "{:?}", granted.missing);
    let never = AtomicBool::new(false);
    let run = folder.path().join("run");
    let outcome = run_here(&granted, &catalog, &options(&run), &mut |_| {}, &never, &here);
    assert!(matches!(&outcome, Err(RunError::Missing(what)) if what.len() == 2), "{outcome:?}");
    assert!(!run.exists());
    // An archive is enough; it is unpacked when it is first read.
    fs::write(dir.join(&catalog.dataset("cifar10").unwrap().archives[0].file), b"x").unwrap();
    assert_eq!(plan("minmax").missing, Vec::<String>::new());
}

#[test]
fn a_folder_that_takes_no_rows_stops_the_run_with_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, catalog) = plan(&Filter::default());
    let never = AtomicBool::new(false);
    let rows = folder.path().join("rows");
    let mut vanish = |event| {
        if matches!(event, Event::Started { .. }) {
            fs::remove_dir_all(&rows).unwrap_or_default();
        }
    };
    let outcome = run_here(&plan, &catalog, &options(folder.path()), &mut vanish, &never, &here());
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.starts_with(
            "the run stops, because the outcome of resnet-shapes10/fp32 (the worker ended with \
             code 4 and left no row; its last words: cannot write "
        ),
        "{text}"
    );
    assert!(text.contains("cannot be kept: cannot write "), "{text}");
}
