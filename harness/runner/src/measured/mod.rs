//! Measured costs: artefact and FP32 network in turn, on this machine.

mod layers;
mod pair;

use std::collections::BTreeMap;

use quantbench_core::cost_row::{COST_SCHEMA, CostObserved, CostResult};
use quantbench_core::hash::id_of;
use quantbench_core::rng::Rng;
use quantbench_core::row::{FP32, Row, Status};
use quantbench_core::{CostKind, CostRow, Tensor};
use quantbench_datasets::DataRoots;
use quantbench_engine::{Runtime, byte_products};
use quantbench_graph::{Artefact, Dim, ExportOptions, Graph, decode, export};
use quantbench_hardware::{Profile, Workload};
use quantbench_measure::{Repeats, isa_class, load, machine};

use self::pair::{Own, Pair, Plain};
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

/// A quantized network and the FP32 model that it was made from.
#[derive(Debug, Clone, Copy)]
pub struct MeasureRequest<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Bytes of its FP32 file.
    pub fp32: &'a [u8],
    /// The quantized network.
    pub artefact: &'a Artefact,
    /// The ONNX file that it was read from, which runs as it is; none for one that is exported.
    pub onnx: Option<&'a [u8]>,
    /// Its name for messages.
    pub origin: &'a str,
}

/// What a quantized network and its FP32 model take.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredPair {
    /// The quantized network.
    pub own: CostResult,
    /// The FP32 model.
    pub fp32: CostResult,
    /// Runtime and kernels.
    pub by: String,
    /// Where and when.
    pub observed: CostObserved,
}

/// Measures one quantized network beside its FP32 model; nothing is stored.
///
/// # Errors
/// The runtime, or one of the networks, as [`WorkError`] says.
pub fn measure_one(
    request: &MeasureRequest<'_>,
    how: &Measuring<'_>,
) -> Result<MeasuredPair, WorkError> {
    let runtime = Runtime::load()?;
    let MeasureRequest { model, fp32, artefact, onnx, origin } = *request;
    let files = onnx.map_or_else(|| exports(artefact), |onnx| Ok(vec![onnx.to_vec()]))?;
    let workload = workload(artefact)?;
    let own = Own { label: origin, files, graph: &artefact.graph, workload: &workload };
    let plain = plain(model, fp32.to_vec(), how.batch)?;
    let by = by(runtime)?;
    let observed = how.observed();
    let Pair { own, fp32 } =
        pair::measure(runtime, &own, &plain, how)?.map_err(WorkError::Unfit)?;
    Ok(MeasuredPair { own, fp32, by, observed })
}

/// What is measured of one model of a run folder.
struct Reference {
    plain: Plain,
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
        for row in cost_rows(runtime, row, &bytes, &references[model], how)? {
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
    let plain = plain(model, card.bytes(roots)?, how.batch)?;
    let fp32 = rows.iter().find(|r| r.cell.method == FP32 && r.cell.model == model);
    Ok(Reference { plain, artefact: fp32.map(|r| r.ids.artefact.clone()) })
}

/// An FP32 model with a batch of random images for it.
fn plain(model: &str, onnx: Vec<u8>, batch: usize) -> Result<Plain, WorkError> {
    let graph = Graph::from_bytes(&onnx, model)?;
    let unknown = || {
        WorkError::Unfit(format!(
            "the input of {model} has no fixed size per image; latency cannot be measured"
        ))
    };
    let shape = graph.shape(graph.input()).ok_or_else(unknown)?;
    let rest: Vec<usize> =
        shape.iter().skip(1).map(fixed).collect::<Option<_>>().ok_or_else(unknown)?;
    let dims: Vec<usize> = std::iter::once(batch).chain(rest).collect();
    let mut rng = Rng::from_parts(&["latency", model]);
    let data = (0..dims.iter().product()).map(|_| rng.unit_f32()).collect();
    Ok(Plain { name: model.to_string(), onnx, graph, batch: Tensor::new(dims, data) })
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

    fn observed(&self) -> CostObserved {
        CostObserved {
            machine: machine(),
            threads: Some(self.threads),
            load: load(),
            commit: self.commit.to_string(),
            finished: now(),
            command: self.command.to_string(),
        }
    }
}

/// Runtime and kernels in words.
fn by(runtime: &Runtime) -> Result<String, WorkError> {
    let bytes = byte_products(runtime)?;
    Ok(format!("ONNX Runtime {}, {}, bytes {bytes}", runtime.version(), isa_class()))
}

/// The cost rows of an artefact and of the FP32 network beside it.
fn cost_rows(
    runtime: &'static Runtime,
    row: &Row,
    packed: &[u8],
    reference: &Reference,
    how: &Measuring<'_>,
) -> Result<Vec<CostRow>, WorkError> {
    let label = format!("{} on {}", row.cell.method, row.cell.model);
    let artefact = decode(packed, &label)?;
    let workload = workload(&artefact)?;
    let (by, observed) = (by(runtime)?, how.observed());
    let make = |artefact: &str, result: Result<CostResult, String>| {
        let (result, reason) = result.map_or_else(|no| (None, Some(no)), |yes| (Some(yes), None));
        CostRow {
            schema: COST_SCHEMA,
            id: how.id(runtime, artefact),
            artefact: artefact.to_string(),
            model: row.cell.model.clone(),
            profile: how.profile.name.clone(),
            kind: CostKind::Measured,
            by: by.clone(),
            result,
            reason,
            observed: observed.clone(),
        }
    };
    let files = exports(&artefact)?;
    let own = Own { label: &label, files, graph: &artefact.graph, workload: &workload };
    Ok(match pair::measure(runtime, &own, &reference.plain, how)? {
        Err(reason) => vec![make(&row.ids.artefact, Err(reason))],
        Ok(Pair { own, fp32 }) => {
            let mut rows = vec![make(&row.ids.artefact, Ok(own))];
            rows.extend(reference.artefact.as_ref().map(|artefact| make(artefact, Ok(fp32))));
            rows
        }
    })
}

/// The artefact's file with native low-bit types, and the one with 8-bit containers.
fn exports(artefact: &Artefact) -> Result<Vec<Vec<u8>>, WorkError> {
    let export = |portable| Ok(export(artefact, ExportOptions { portable })?);
    [false, true].into_iter().map(export).collect()
}

fn workload(artefact: &Artefact) -> Result<Workload, WorkError> {
    Workload::of(artefact).map_err(|e| WorkError::Unfit(e.to_string()))
}
