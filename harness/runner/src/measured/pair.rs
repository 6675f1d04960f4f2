//! One quantized network beside its FP32 network, in turn in one process.

use quantbench_core::Tensor;
use quantbench_core::cost_row::{CostResult, LayerCostRow, Spread};
use quantbench_engine::{
    Optimisation, Options, Runtime, Session, count_integer_layers, operator_times,
};
use quantbench_graph::Graph;
use quantbench_hardware::{Work, Workload};
use quantbench_measure::{Timed, interleaved};

use super::Measuring;
use super::layers::ByLayer;
use crate::work::WorkError;

/// Rounds of the profiled run at most: its file holds every operator of every round.
const PROFILED: usize = 200;

/// An FP32 network and a batch for it.
pub(super) struct Plain {
    pub name: String,
    pub onnx: Vec<u8>,
    pub graph: Graph,
    pub batch: Tensor,
}

/// A quantized network.
pub(super) struct Own<'a> {
    /// For messages.
    pub label: &'a str,
    /// Its ONNX file; further ones are tried where the runtime refuses the first.
    pub files: Vec<Vec<u8>>,
    /// The graph with the names of its layers.
    pub graph: &'a Graph,
    /// What the layers ask for.
    pub workload: &'a Workload,
}

/// What both take.
pub(super) struct Pair {
    pub own: CostResult,
    pub fp32: CostResult,
}

/// Measures both; the inner error says why the runtime takes none of the files.
pub(super) fn measure(
    runtime: &'static Runtime,
    own: &Own<'_>,
    plain: &Plain,
    how: &Measuring<'_>,
) -> Result<Result<Pair, String>, WorkError> {
    let options = Options { threads: how.threads, optimisation: Optimisation::All };
    let mut fp32 = Session::new(runtime, &plain.onnx, &options, &plain.name)?;
    let (mut session, onnx) = match first_taken(runtime, own, &options) {
        Ok(taken) => taken,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut run_fp32 = || fp32.run_each(&plain.batch, &mut |_, _, _| {});
    let mut run_own = || session.run_each(&plain.batch, &mut |_, _, _| {});
    let seconds = interleaved(&mut [&mut run_fp32, &mut run_own], how.repeats)?;
    let timed: Vec<Timed> = seconds.iter().filter_map(|s| Timed::of(s)).collect();
    let [slow, fast] = timed.as_slice() else {
        return Err(WorkError::Unfit("no round was measured; ask for at least one".to_string()));
    };
    // A run of its own, so that writing the profile is in no latency.
    let rounds = (how.repeats.warm_up.min(PROFILED), how.repeats.rounds.min(PROFILED));
    let by_layer = |onnx: &[u8], graph: &Graph, label: &str| {
        let operators = operator_times(runtime, onnx, &options, &plain.batch, rounds, label)?;
        let names = own.workload.layers.iter().map(|work| work.name.as_str());
        Ok::<_, WorkError>(ByLayer::of(&operators, graph, names))
    };
    let own_layers = by_layer(onnx, own.graph, own.label)?;
    let fp32_layers = by_layer(&plain.onnx, &plain.graph, &plain.name)?;
    let (integer, all) = count_integer_layers(runtime, onnx, how.threads)?;
    let mut notes = vec![format!(
        "{integer} of {all} layers ran as integer kernels; batch {}, {} threads",
        how.batch, how.threads
    )];
    notes.extend(slower(fast.median > slow.median, (integer, all), &own_layers));
    let result = |timed, workload, layers, notes| {
        Timing { timed, reference: slow, batch: how.batch }.result(workload, layers, notes)
    };
    Ok(Ok(Pair {
        own: result(fast, own.workload, &own_layers, notes),
        fp32: result(slow, &own.workload.clone().at(32, 32), &fp32_layers, Vec::new()),
    }))
}

/// A session of the first file that the runtime takes, and that file.
fn first_taken<'o>(
    runtime: &Runtime,
    own: &'o Own<'_>,
    options: &Options,
) -> Result<(Session, &'o [u8]), String> {
    let mut refused = String::new();
    for onnx in &own.files {
        match Session::new(runtime, onnx, options, own.label) {
            Ok(session) => return Ok((session, onnx)),
            Err(error) => refused = error.to_string(),
        }
    }
    Err(refused)
}

/// Why a network is slower than FP32, if it is.
fn slower(is_slower: bool, (integer, all): (u64, u64), layers: &ByLayer) -> Option<String> {
    let share = 100.0 * layers.quantizer_share();
    is_slower.then(|| match all - integer {
        0 => format!(
            "slower than fp32 although all layers ran as integer kernels; quantizers take {share:.0} % \
             of the operators' time"
        ),
        float => format!(
            "slower than fp32: {float} layers ran in float between quantizers, which take {share:.0} % \
             of the operators' time"
        ),
    })
}

/// Seconds of a batch, and of the FP32 network.
struct Timing<'a> {
    timed: &'a Timed,
    reference: &'a Timed,
    batch: usize,
}

impl Timing<'_> {
    fn result(&self, workload: &Workload, times: &ByLayer, mut notes: Vec<String>) -> CostResult {
        let images = self.batch as f64;
        let timed = self.timed;
        let layers: Vec<LayerCostRow> = workload
            .layers
            .iter()
            .map(|work| layer(work, times.layers.get(&work.name).map(|s| s / images)))
            .collect();
        let unknown = layers.iter().filter(|layer| layer.seconds.is_none()).count();
        if unknown > 0 {
            notes.push(format!(
                "{unknown} layers have no time of their own: the runtime gave their operators other \
                 names"
            ));
        }
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
            speed_up: self.reference.median / timed.median,
            ceiling: None,
            roofs: Vec::new(),
            layers,
            notes,
        }
    }
}

/// What a layer asks for, and what its operator took per image.
fn layer(work: &Work, seconds: Option<f64>) -> LayerCostRow {
    let bytes = work.bytes();
    LayerCostRow {
        layer: work.name.clone(),
        weight_bits: work.weight_bits,
        activation_bits: work.activation_bits,
        macs: work.macs(),
        bit_operations: work.macs() * u64::from(work.weight_bits) * u64::from(work.activation_bits),
        bytes: bytes.input + bytes.weights + bytes.output,
        seconds,
        joules: None,
        limit: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slower_hears_why() {
        let layers = ByLayer { quantizers: 1.0, all: 4.0, ..ByLayer::default() };
        assert_eq!(slower(false, (0, 3), &layers), None);
        let why = slower(true, (1, 3), &layers).unwrap();
        assert!(why.contains("2 layers ran in float") && why.contains("25 %"), "{why}");
        let why = slower(true, (3, 3), &layers).unwrap();
        assert!(why.contains("although all layers") && why.contains("25 %"), "{why}");
    }
}
