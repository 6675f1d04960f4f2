//! Real cells on the embedded data and model, through the real worker; skipped where ONNX Runtime
//! is not installed.
#![allow(clippy::unwrap_used)] // In tests outside `#[cfg(test)]` a panic is the failure too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::row::{Gate, Status};
use quantbench_datasets::DataRoots;
use quantbench_engine::Runtime;
use quantbench_runner::plan::here::Here;
use quantbench_runner::plan::plan_here;
use quantbench_runner::run::run_here;
use quantbench_runner::store::disk::{Disk, DiskFile, RealDisk};
use quantbench_runner::work::cell::row_of;
use quantbench_runner::work::order::Order;
use quantbench_runner::{
    Catalog, EvaluateRequest, Filter, Note, Plan, QuantizeRequest, RunOptions, Store, Summary,
    Survey, evaluate_file, quantize_one, worker_main,
};

/// Which part this process plays; unset in the test process itself.
const PART: &str = "QUANTBENCH_TEST_PART";

const SURVEY: &str = "name: tiny
dataset: shapes10
models: [resnet-shapes10]
methods: [minmax, squant, {name: twn, specs: [w2ta8]}]
specs: [w8a8, w4a4]
calibration: {images: 32, draws: [0]}
histograms: true
";

/// The machine, or none with a word of why.
fn machine() -> Option<Here> {
    let here = Here::look();
    if let Err(reason) = &here.runtime {
        eprintln!("skipped: {reason}");
        return None;
    }
    let cache = std::env::temp_dir().join("quantbench-runner-tests");
    Some(Here::with(DataRoots { dirs: vec![], cache }, here.runtime, here.isa))
}

fn filter() -> Filter {
    Filter { images: Some(200), ..Filter::default() }
}

fn plan(here: &Here, filter: &Filter) -> (Plan, Catalog) {
    let catalog = Catalog::load(None).unwrap();
    let survey = Survey::parse(SURVEY, "tiny.yaml").unwrap();
    (plan_here(&survey, &catalog, filter, here).unwrap(), catalog)
}

fn myself(part: &str) -> Vec<OsString> {
    let exe = std::env::current_exe().unwrap().into_os_string();
    let words = ["env".to_string(), format!("{PART}={part}")].map(OsString::from);
    let test = ["parts_are_played_on_request", "--exact", "--nocapture", "--quiet"];
    words.into_iter().chain([exe]).chain(test.map(OsString::from)).collect()
}

fn run_in(dir: &Path, here: &Here) -> Summary {
    run_some(dir, here, &filter())
}

fn run_some(dir: &Path, here: &Here, filter: &Filter) -> Summary {
    let (plan, catalog) = plan(here, filter);
    let options = RunOptions {
        dir: dir.to_path_buf(),
        published: vec![],
        jobs: 1,
        threads: 1,
        worker: myself("worker"),
        shard: None,
        keep_going: true,
        retry_failed: true,
        command: "test".into(),
        commit: "test".into(),
    };
    let never = AtomicBool::new(false);
    run_here(&plan, &catalog, &options, &mut |_| {}, &never, here).unwrap()
}

#[test]
fn parts_are_played_on_request() {
    if std::env::var_os(PART).is_some() {
        std::process::exit(worker_main());
    }
    // A worker without an order says so and ends with its own code.
    let words = myself("worker");
    let out = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("workers are started by `quantbench run`"), "{text}");
}

/// Histograms lie beside the artefact of every quantized cell, small and in line with its row.
fn check_histograms(store: &Store, rows: &[quantbench_core::Row]) {
    let (all, bad) = store.all_histograms().unwrap();
    assert_eq!(bad, []);
    assert_eq!(all.len(), rows.iter().filter(|r| r.cell.spec.is_some()).count());
    for row in rows.iter().filter(|r| r.cell.spec.is_some()) {
        let seen = all.iter().find(|h| h.artefact == row.ids.artefact).unwrap();
        let label = format!("{} {:?}", row.cell.method, row.cell.spec);
        assert_eq!(seen.images, row.cell.calibration_images, "{label}");
        let allocation = &row.result.as_ref().unwrap().allocation;
        assert_eq!(seen.layers.len(), allocation.len(), "{label}");
        for (layer, bits) in seen.layers.iter().zip(allocation) {
            assert_eq!(layer.layer, bits.layer, "{label}");
            let grid = layer.weights.grid.as_ref().unwrap();
            assert_eq!(grid.bits, bits.weights, "{label}: {}", bits.layer);
            assert!(grid.low < 0.0 && grid.high > 0.0 && grid.clipped.is_some(), "{label}");
            assert_eq!(layer.input.grid.is_some(), bits.activations.is_quantized(), "{label}");
            assert_eq!(layer.input.histogram.is_some(), seen.images > 0, "{label}");
            let heights = &layer.weights.histogram.as_ref().unwrap().heights;
            assert_eq!((heights.len(), heights.iter().max()), (64, Some(&10_000)), "{label}");
            if row.cell.method == "minmax" {
                // Ranges that reach to the outermost value clip none of those they were read from.
                assert_eq!(layer.input.grid.as_ref().and_then(|g| g.clipped), Some(0.0), "{label}");
            }
        }
    }
    for file in fs::read_dir(store.dir().join("histograms")).unwrap() {
        assert!(file.unwrap().metadata().unwrap().len() < 10_000);
    }
}

#[test]
fn a_row_tells_what_the_cell_was() {
    let Some(here) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let summary = run_in(folder.path(), &here);
    assert_eq!((summary.left, summary.failed), (0, vec![]));
    let store = Store::open(folder.path()).unwrap();
    let rows = store.rows().unwrap().0;
    for row in &rows {
        let result = row.result.as_ref().unwrap();
        assert_eq!(result.gate, Gate::NotChecked, "a partial run checks no gate");
        assert_eq!(result.acc_simulated.images, 200);
        assert_eq!(store.predictions(&row.ids.eval).unwrap().len(), 200);
        assert!(row.observed.cell_s > 0.0 && row.observed.finished.ends_with('Z'));
    }
    check_histograms(&store, &rows);
    let of = |method: &str, weights: u8| {
        let fits = |r: &&quantbench_core::Row| {
            let widths = r.cell.spec.as_ref().map_or(32, |s| s.bits.weights.get());
            r.cell.method == method && widths == weights
        };
        rows.iter().find(fits).unwrap()
    };
    let plain = of("fp32", 32).result.as_ref().unwrap();
    assert!(plain.acc_simulated.percent() > 85.0);
    assert_eq!(plain.bit_operations, plain.bit_operations_fp32);
    let minmax = of("minmax", 8).result.as_ref().unwrap();
    assert_eq!(minmax.images_read, 32);
    let deployed = minmax.acc_deployed.as_ref().unwrap();
    assert!(deployed.integer_layers > 0);
    assert!(minmax.sizes.weight_bits * 4 == minmax.sizes.weight_bits_fp32);
    assert!(of("minmax", 8).observed.method.unwrap().wall_s > 0.0);
    let squant = of("squant", 4);
    assert_eq!(squant.result.as_ref().unwrap().images_read, 0);
    assert_eq!(squant.ids.train_data, "");
    assert!(squant.result.as_ref().unwrap().acc_deployed.is_none());
}

/// The files below a part of a run folder with their content.
fn files(dir: &Path, part: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir.join(part)).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// The artefacts' bytes, without what they cost.
fn artefacts(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let packed = |name: &str| name.rsplit_once('.').is_some_and(|(_, end)| end == "qba");
    files(dir, "artefacts").into_iter().filter(|(name, _)| packed(name)).collect()
}

#[test]
fn cells_share_statistics_and_are_charged_as_if_alone() {
    let Some(here) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let rows = || {
        let filter = Filter { only: vec!["minmax".into()], ..filter() };
        let summary = run_some(dir, &here, &filter);
        assert_eq!((summary.left, summary.failed), (0, vec![]));
        let rows = Store::open(dir).unwrap().rows().unwrap().0;
        let rows = rows.into_iter().filter(|r| r.cell.method == "minmax");
        rows.map(|r| (r.ids.artefact, (r.result, r.observed))).collect::<BTreeMap<_, _>>()
    };
    let again = || {
        for part in ["rows", "artefacts"] {
            fs::remove_dir_all(dir.join(part)).unwrap();
        }
        rows()
    };
    let first = rows();
    let made = artefacts(dir);
    // At the deployable and at the academic sites.
    let kept = files(dir, "statistics");
    assert_eq!((first.len(), kept.len()), (2, 2));
    assert!(first.values().all(|(_, seen)| seen.shared_cpu_s == 0.0));

    let second = again();
    assert_eq!(artefacts(dir), made);
    assert_eq!(files(dir, "statistics"), kept, "nothing is gathered twice");
    for (id, (result, seen)) in &second {
        assert_eq!(*result, first[id].0);
        assert_eq!(result.as_ref().unwrap().images_read, 32);
        let cost = seen.method.unwrap();
        assert!(seen.shared_cpu_s > 0.0 && cost.cpu_s >= seen.shared_cpu_s, "{seen:?}");
        assert!(cost.wall_s > 0.0 && cost.peak_mib > 0.0, "{seen:?}");
    }

    // A file that was cut or changed is not believed but made anew.
    for (i, (name, bytes)) in kept.iter().take(2).enumerate() {
        let damaged = match i {
            0 => bytes[..bytes.len() / 2].to_vec(),
            _ => bytes.iter().map(|b| b ^ 0x40).collect(),
        };
        fs::write(dir.join("statistics").join(name), damaged).unwrap();
    }
    let third = again();
    assert_eq!(artefacts(dir), made);
    for (id, (result, seen)) in &third {
        assert_eq!((result, seen.shared_cpu_s), (&first[id].0, 0.0));
    }
    let sizes = |files: &BTreeMap<String, Vec<u8>>| -> Vec<(String, usize)> {
        files.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect()
    };
    assert_eq!(sizes(&files(dir, "statistics")), sizes(&kept));
}

#[test]
fn a_model_is_quantized_into_a_file_that_knows_its_preprocessing() {
    let Some(here) = machine() else { return };
    let catalog = Catalog::load(None).unwrap();
    let card = catalog.model("resnet-shapes10").unwrap();
    let dataset = catalog.dataset("shapes10").unwrap();
    let model = card.bytes(&here.roots).unwrap();
    let mut request = QuantizeRequest {
        model: &model,
        origin: "resnet-shapes10",
        dataset,
        preprocess: &card.preprocess,
        method: "minmax",
        params: quantbench_core::Params::new(),
        spec: quantbench_core::Spec::from_widths("w8a8".parse().unwrap()),
        images: 32,
        draw: 0,
        seed: 0,
        portable: false,
        threads: 1,
    };
    let never = AtomicBool::new(false);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let made = quantize_one(&request, &here.roots, &mut quiet, &never).unwrap();
    assert_eq!(made.images_read, 32);
    let note = Note::read(&made.onnx).unwrap();
    assert_eq!((note.dataset.as_str(), &note.preprocess), ("shapes10", &card.preprocess));
    let evaluated = evaluate_file(
        &EvaluateRequest {
            model: &made.onnx,
            origin: "q.onnx",
            dataset,
            preprocess: &note.preprocess,
            images: Some(200),
            optimisation: quantbench_engine::Optimisation::All,
            batch: 50,
            threads: 1,
        },
        &here.roots,
        &mut quiet,
    )
    .unwrap();
    assert!(evaluated.accuracy.percent() > 85.0);
    assert!(evaluated.integer_layers.unwrap().0 > 0);

    request.method = "minmx";
    let text = quantize_one(&request, &here.roots, &mut quiet, &never).unwrap_err().to_string();
    assert!(text.contains("did you mean \"minmax\"?"), "{text}");
    request.method = "twn";
    let text = quantize_one(&request, &here.roots, &mut quiet, &never).unwrap_err().to_string();
    assert!(text.contains("twn gives ternary weights only"), "{text}");
}

/// A disk without room for anything.
struct Full;

struct NoRoom;

impl Write for NoRoom {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(28))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for NoRoom {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for Full {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path)?;
        Ok(Box::new(NoRoom))
    }
}

#[test]
fn a_full_disk_becomes_the_reason_of_a_failed_row() {
    let Some(here) = machine() else { return };
    let (plan, catalog) = plan(&here, &filter());
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap().on_disk(Arc::new(Full));
    let cell = &plan.cells[0];
    let order = Order {
        foreign: None,
        survey: plan.survey.clone(),
        label: cell.label.clone(),
        cell: cell.cell.clone(),
        ids: cell.ids.clone().unwrap(),
        model: catalog.model(&cell.cell.model).unwrap().clone(),
        dataset: catalog.dataset(&plan.dataset).unwrap().clone(),
        dirs: here.roots.dirs.clone(),
        cache: here.roots.cache.clone(),
        store: folder.path().to_path_buf(),
        runtime: here.runtime.clone().unwrap(),
        isa: here.isa.clone(),
        batch: 100,
        threads: 1,
        jobs: 1,
        gate: None,
        histograms: false,
        command: "test".into(),
        commit: "test".into(),
    };
    let row = row_of(&order, &store, &mut |_, _, _| {});
    assert_eq!(row.status, Status::Failed);
    let reason = row.reason.unwrap();
    assert!(reason.starts_with("cannot write "), "{reason}");
    assert!(reason.contains("No space left on device (os error 28)"), "{reason}");
    assert_eq!(fs::read_dir(folder.path().join("predictions")).unwrap().count(), 0);

    let elsewhere = Order { isa: "another".into(), ..order };
    let row = row_of(&elsewhere, &store, &mut |_, _, _| {});
    assert!(row.reason.unwrap().starts_with("the plan was made for ONNX Runtime"));
    assert!(Runtime::load().is_ok());
}
