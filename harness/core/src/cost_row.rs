//! A cost row: what one artefact costs on one target, measured, emulated or by a model.
//!
//! An artefact has as many cost rows as targets; they never change it, and a row of a survey never
//! holds one. They are joined by the artefact's id.

use serde::{Deserialize, Serialize};

use crate::row::Machine;

/// Version of the cost row's layout; raised when a field changes its meaning.
pub const COST_SCHEMA: u32 = 1;

/// How a cost was obtained; the columns `cost_measured`, `cost_emulated` and `cost_modelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostKind {
    /// On this machine.
    Measured,
    /// Another instruction set through an emulator, with a model of the core's throughput.
    Emulated,
    /// By a model of the target; nothing ran.
    Modelled,
}

impl CostKind {
    /// As in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Emulated => "emulated",
            Self::Modelled => "modelled",
        }
    }
}

/// What a layer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Arithmetic.
    Compute,
    /// Memory.
    Memory,
}

/// One layer's share of a cost, per image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCostRow {
    /// Name of the layer's node.
    pub layer: String,
    /// Width of the weights in bits.
    pub weight_bits: u8,
    /// Width of the input in bits.
    pub activation_bits: u8,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Weight bits x activation bits x multiply-accumulates.
    pub bit_operations: u64,
    /// Bytes of input, weights and output, each once.
    pub bytes: u64,
    /// Seconds, where they are known by layer.
    pub seconds: Option<f64>,
    /// Joules, where the target states them.
    pub joules: Option<f64>,
    /// What it waits for, where that is known.
    pub limit: Option<Limit>,
}

/// The roof of a target for one pair of widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roof {
    /// Width of the weights in bits.
    pub weight_bits: u8,
    /// Width of the activations in bits.
    pub activation_bits: u8,
    /// Operations per second, two for each multiply-accumulate.
    pub peak_ops_per_s: f64,
    /// Bytes per second to and from memory outside the chip, where the target has some.
    pub bytes_per_s: Option<f64>,
}

/// How often a time was measured and how it scattered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Measurements.
    pub count: u64,
    /// Lower end of the 95 % interval of the median in seconds.
    pub low_s: f64,
    /// Upper end.
    pub high_s: f64,
    /// Measurements further than three median absolute deviations from the median.
    pub outliers: u64,
}

/// The numbers of a cost row, per image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostResult {
    /// Seconds; the median where they were measured.
    pub seconds: f64,
    /// How they scattered, where they were measured.
    pub spread: Option<Spread>,
    /// Joules, where the target states them.
    pub joules: Option<f64>,
    /// Bytes that cross the border of the chip, where the model tells.
    pub dram_bytes: Option<u64>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Share of the target's arithmetic in use, up to 1, where the model tells.
    pub utilisation: Option<f64>,
    /// What `speed_up` compares with: `fp32`, or the widest operands that the target has.
    pub reference: String,
    /// Seconds of the reference over `seconds`.
    pub speed_up: f64,
    /// The speed-up that peak and bandwidth of the target allow, where they are known.
    pub ceiling: Option<f64>,
    /// Roofs of the pairs of widths in use.
    pub roofs: Vec<Roof>,
    /// Layers in the order of the graph.
    pub layers: Vec<LayerCostRow>,
    /// What a reader of the numbers should know.
    pub notes: Vec<String>,
}

/// Where and when a cost row was made; never compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct CostObserved {
    /// The machine.
    pub machine: Machine,
    /// Threads, where something ran.
    pub threads: Option<usize>,
    /// Mean number of runnable processes at the start, where something ran.
    pub load: Option<f64>,
    /// Commit that the binary was built from, with `+dirty` if the tree was changed.
    pub commit: String,
    /// RFC 3339.
    pub finished: String,
    /// Command line.
    pub command: String,
}

/// What one artefact costs on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostRow {
    /// Layout version, [`COST_SCHEMA`].
    pub schema: u32,
    /// hash(artefact, profile, kind, what ran it).
    pub id: String,
    /// Id of the artefact, as in [`crate::row::Ids`].
    pub artefact: String,
    /// Name of the model.
    pub model: String,
    /// Name of the profile.
    pub profile: String,
    /// How the cost was obtained.
    pub kind: CostKind,
    /// What obtained it: the model of the profile, or the runtime and its kernels.
    pub by: String,
    /// The numbers; none where the target cannot run the artefact.
    pub result: Option<CostResult>,
    /// Why there are none.
    pub reason: Option<String>,
    /// Where and when.
    pub observed: CostObserved,
}
