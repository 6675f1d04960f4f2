//! Measured costs of what a run folder holds: artefact and FP32 network in turn, on this machine.

use std::collections::BTreeMap;

use quantbench_core::cost_row::{COST_SCHEMA, CostObserved, CostResult, LayerCostRow, Spread};
use quantbench_core::hash::id_of;
use quantbench_core::rng::Rng;
use quantbench_core::row::{FP32, Row, Status};
use quantbench_core::{CostKind, CostRow, Tensor};
use quantbench_datasets::DataRoots;
use quantbench_engine::{
    Optimisation, Options, Runtime, Session, byte_products, count_integer_layers,
};
use quantbench_graph::{Artefact, Dim, ExportOptions, Graph, decode, export};
use quantbench_hardware::{Profile, Work, Workload};
use quantbench_measure::{Repeats, Timed, interleaved, isa_class, load, machine};

use crate::config::Catalog;
use crate::costs::Costed;
use crate::store::Store;
use crate::work::WorkError;
use crate::work::order::now;

/// How latencies are measured.
#[derive(Debug, Clone, Copy)]
pub struct Measuring<'a> {
    /// Profile whose costs these are.
    pub profile: &'a Profile,
    /// Images per inference.
    pub batch: usize,
    /// Threads of the runtime.
    pub threads: usize,
    /// How often.
    pub repeats: Repeats,
    /// Command line, for provenance.
    pub command: &'a str,
    /// Commit of the program, for provenance.
    pub commit: &'a str,
}

/// What is measured of one model: its FP32 file and the shape of a batch.
struct Reference {
    onnx: Vec<u8>,
    batch: Tensor,
    /// Id of the FP32 artefact, where it is a row.
    artefact: Option<String>,
}

/// Measures the first draw and seed of each artefact of a run folder beside the FP32 network, and
/// stores both as cost rows; what is stored already is left as it is.
///
/// # Errors
/// The runtime, a model or an artefact, as [`WorkError`] says.
pub fn measure_artefacts(
    store: &Store,
    catalog: &Catalog,
    roots: &DataRoots,
    how: &Measuring<'_>,
    progress: &mut dyn FnMut(&str),
) -> Result<Costed, WorkError> {
    let runtime = Runtime::load()?;
    let rows = store.rows()?.0;
    let mut references: BTreeMap<String, Reference> = BTreeMap::new();
    let mut costed = Costed::default();
    for row in rows.iter().filter(|row| is_measured(row)) {
        let id = how.id(runtime, &row.ids.artefact);
        if store.has_cost(&id) {
            costed.kept += 1;
            continue;
        }
        let Some((bytes, _)) = store.artefact(&row.ids.artefact) else {
            costed.without_artefact += 1;
            continue;
        };
        let model = &row.cell.model;
        if !references.contains_key(model) {
            references.insert(model.clone(), reference(model, &rows, catalog, roots, how)?);
        }
        progress(&format!("measuring {} of {model}", row.cell.method));
        let measured = measure(runtime, row, &bytes, &references[model], how)?;
        for row in measured {
            costed.written += 1;
            store.put_cost(&row)?;
        }
    }
    Ok(costed)
}

/// Draws and seeds of one cell run equally long.
fn is_measured(row: &Row) -> bool {
    let first = |n: Option<u64>| n.is_none_or(|n| n == 0);
    row.status == Status::Done
        && row.cell.method != FP32
        && first(row.cell.draw)
        && first(row.cell.seed)
}

fn reference(
    model: &str,
    rows: &[Row],
    catalog: &Catalog,
    roots: &DataRoots,
    how: &Measuring<'_>,
) -> Result<Reference, WorkError> {
    let card = catalog.model(model).map_err(|e| WorkError::Unfit(e.to_string()))?;
    let onnx = card.bytes(roots)?;
    let graph = Graph::from_bytes(&onnx, model)?;
    let unknown = || {
        WorkError::Unfit(format!(
            "the input of {model} has no fixed size per image; latency cannot be measured"
        ))
    };
    let shape = graph.shape(graph.input()).ok_or_else(unknown)?;
    let rest: Vec<usize> =
        shape.iter().skip(1).map(fixed).collect::<Option<_>>().ok_or_else(unknown)?;
    let dims: Vec<usize> = std::iter::once(how.batch).chain(rest).collect();
    let mut rng = Rng::from_parts(&["latency", model]);
    let data = (0..dims.iter().product()).map(|_| rng.unit_f32()).collect();
    let fp32 = rows.iter().find(|r| r.cell.method == FP32 && r.cell.model == model);
    let artefact = fp32.map(|r| r.ids.artefact.clone());
    Ok(Reference { onnx, batch: Tensor::new(dims, data), artefact })
}

fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Known(size) => usize::try_from(*size).ok(),
        Dim::Batch => None,
    }
}

impl Measuring<'_> {
    fn id(&self, runtime: &Runtime, artefact: &str) -> String {
        id_of(&(
            "cost",
            artefact,
            &self.profile.name,
            CostKind::Measured,
            runtime.version(),
            isa_class(),
            machine(),
            (self.threads, self.batch),
        ))
    }
}

/// The cost rows of an artefact and of the FP32 network beside it.
fn measure(
    runtime: &'static Runtime,
    row: &Row,
    packed: &[u8],
    reference: &Reference,
    how: &Measuring<'_>,
) -> Result<Vec<CostRow>, WorkError> {
    let label = format!("{} on {}", row.cell.method, row.cell.model);
    let artefact = decode(packed, &label)?;
    let options = Options { threads: how.threads, optimisation: Optimisation::All };
    let observed = CostObserved {
        machine: machine(),
        threads: Some(how.threads),
        load: load(),
        commit: how.commit.to_string(),
        finished: now(),
        command: how.command.to_string(),
    };
    let bytes = byte_products(runtime)?;
    let make = |artefact: &str, result: Result<CostResult, String>| {
        let (result, reason) = result.map_or_else(|no| (None, Some(no)), |yes| (Some(yes), None));
        CostRow {
            schema: COST_SCHEMA,
            id: how.id(runtime, artefact),
            artefact: artefact.to_string(),
            model: row.cell.model.clone(),
            profile: how.profile.name.clone(),
            kind: CostKind::Measured,
            by: format!("ONNX Runtime {}, {}, bytes {bytes}", runtime.version(), isa_class()),
            result,
            reason,
            observed: observed.clone(),
        }
    };
    let mut fp32 = Session::new(runtime, &reference.onnx, &options, &row.cell.model)?;
    let (mut own, onnx) = match optimised(runtime, &artefact, &options, &label)? {
        Ok(session) => session,
        Err(reason) => return Ok(vec![make(&row.ids.artefact, Err(reason))]),
    };
    let batch = &reference.batch;
    let nothing = &mut |_: usize, _: &[usize], _: &[f32]| {};
    let mut run_fp32 = || fp32.run_each(batch, nothing);
    let nothing = &mut |_: usize, _: &[usize], _: &[f32]| {};
    let mut run_own = || own.run_each(batch, nothing);
    let seconds = interleaved(&mut [&mut run_fp32, &mut run_own], how.repeats)?;
    let timed: Vec<Timed> = seconds.iter().filter_map(|s| Timed::of(s)).collect();
    let [plain, quantized] = timed.as_slice() else {
        return Err(WorkError::Unfit("no round was measured; ask for at least one".to_string()));
    };
    let (integer, layers) = count_integer_layers(runtime, &onnx, how.threads)?;
    let mut notes = vec![format!(
        "{integer} of {layers} layers ran as integer kernels; batch {}, {} threads",
        how.batch, how.threads
    )];
    if quantized.median > plain.median {
        notes.push(if integer < layers {
            format!(
                "slower than fp32: {} layers ran in float between quantizers that cost time",
                layers - integer
            )
        } else {
            "slower than fp32 although all layers ran as integer kernels".to_string()
        });
    }
    let workload = Workload::of(&artefact).map_err(|e| WorkError::Unfit(e.to_string()))?;
    let own = result(quantized, plain, &workload, how.batch, notes);
    let mut rows = vec![make(&row.ids.artefact, Ok(own))];
    if let Some(artefact) = &reference.artefact {
        let fp32 = workload.clone().at(32, 32);
        rows.push(make(artefact, Ok(result(plain, plain, &fp32, how.batch, Vec::new()))));
    }
    Ok(rows)
}

/// The artefact as the runtime optimises it, with its file: native low-bit types where it takes
/// them, else 8-bit containers; or why it takes neither.
fn optimised(
    runtime: &'static Runtime,
    artefact: &Artefact,
    options: &Options,
    label: &str,
) -> Result<Result<(Session, Vec<u8>), String>, WorkError> {
    let mut refused = String::new();
    for portable in [false, true] {
        let onnx = export(artefact, ExportOptions { portable })?;
        match Session::new(runtime, &onnx, options, label) {
            Ok(session) => return Ok(Ok((session, onnx))),
            Err(error) => refused = error.to_string(),
        }
    }
    Ok(Err(refused))
}

fn result(
    timed: &Timed,
    plain: &Timed,
    workload: &Workload,
    batch: usize,
    notes: Vec<String>,
) -> CostResult {
    let images = batch as f64;
    CostResult {
        seconds: timed.median / images,
        spread: Some(Spread {
            count: timed.count as u64,
            low_s: timed.low / images,
            high_s: timed.high / images,
            outliers: timed.outliers as u64,
        }),
        joules: None,
        dram_bytes: None,
        macs: workload.macs(),
        utilisation: None,
        reference: "fp32".to_string(),
        speed_up: plain.median / timed.median,
        ceiling: None,
        roofs: Vec::new(),
        layers: workload.layers.iter().map(layer).collect(),
        notes,
    }
}

/// What a layer asks for; its own time is not measured.
fn layer(work: &Work) -> LayerCostRow {
    let bytes = work.bytes();
    LayerCostRow {
        layer: work.name.clone(),
        weight_bits: work.weight_bits,
        activation_bits: work.activation_bits,
        macs: work.macs(),
        bit_operations: work.macs() * u64::from(work.weight_bits) * u64::from(work.activation_bits),
        bytes: bytes.input + bytes.weights + bytes.output,
        seconds: None,
        joules: None,
        limit: None,
    }
}
