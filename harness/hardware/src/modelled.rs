//! What a cost model says: cycles, utilisation, traffic, energy, time, per layer and per network.

use serde::Serialize;

use crate::roofline::{Roofline, SpeedUp};
use crate::workload::Bytes;

/// A level of a target's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Buffers on the chip.
    Sram,
    /// Flash on the chip, from which weights are read.
    Flash,
    /// Memory outside the chip (for a device behind a host, the link to it).
    Dram,
}

/// An operand of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operand {
    /// Input.
    Input,
    /// Weights.
    Weights,
    /// Output and partial sums.
    Output,
    /// All operands together, where the sources tell them not apart.
    All,
}

/// Bytes that cross the border of a memory level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Level.
    pub level: Level,
    /// Operand.
    pub operand: Operand,
    /// Bytes read and written.
    pub bytes: u64,
}

/// Energy in joules, by where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Energy {
    /// Arithmetic units.
    pub compute_j: f64,
    /// Buffers on the chip.
    pub sram_j: f64,
    /// Memory outside the chip.
    pub dram_j: f64,
    /// Power of the whole target times time, where its source gives no breakdown.
    pub whole_j: f64,
}

impl Energy {
    /// All of it.
    pub fn total_j(&self) -> f64 {
        self.compute_j + self.sram_j + self.dram_j + self.whole_j
    }

    pub(crate) fn add(&mut self, other: &Energy) {
        self.compute_j += other.compute_j;
        self.sram_j += other.sram_j;
        self.dram_j += other.dram_j;
        self.whole_j += other.whole_j;
    }
}

/// What a layer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Memory outside the chip.
    Memory,
}

/// The cost of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelledLayer {
    /// Name of the node.
    pub layer: String,
    /// Width of the weights in bits.
    pub weight_bits: u8,
    /// Width of the input in bits.
    pub activation_bits: u8,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Weight bits x activation bits x multiply-accumulates.
    pub bit_operations: u64,
    /// Bytes of each operand, once.
    pub bytes: Bytes,
    /// Cycles of the arithmetic alone.
    pub compute_cycles: u64,
    /// Cycles with memory.
    pub cycles: u64,
    /// Time in seconds.
    pub seconds: f64,
    /// Multiply-accumulates over what the units could have done in `cycles`, up to 1.
    pub utilisation: f64,
    /// What the layer waits for.
    pub bound: Bound,
    /// Traffic of each memory level.
    pub traffic: Vec<Flow>,
    /// Energy.
    pub energy: Energy,
}

impl ModelledLayer {
    /// Bytes that cross a level, of all operands.
    pub fn bytes_at(&self, level: Level) -> u64 {
        self.traffic.iter().filter(|f| f.level == level).map(|f| f.bytes).sum()
    }
}

/// Sums over the layers of a network, with what is spent once per inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bit operations.
    pub bit_operations: u64,
    /// Bytes of all operands of all layers, each once.
    pub bytes: Bytes,
    /// Cycles.
    pub cycles: u64,
    /// Time in seconds.
    pub seconds: f64,
    /// Seconds of it that are spent once per inference and in no layer.
    pub overhead_seconds: f64,
    /// Mean utilisation over `cycles`: the time at the peak of each layer's widths over the time.
    pub utilisation: f64,
    /// Share of the layers' time in layers that wait for memory.
    pub memory_bound_share: f64,
    /// Traffic, by level and operand.
    pub traffic: Vec<Flow>,
    /// Energy.
    pub energy: Energy,
}

impl Totals {
    /// Bytes that cross a level, of all operands.
    pub fn bytes_at(&self, level: Level) -> u64 {
        self.traffic.iter().filter(|f| f.level == level).map(|f| f.bytes).sum()
    }
}

/// The cost of a network on a target, by a model: column `cost_modelled`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelledCost {
    /// Name of the profile.
    pub profile: String,
    /// Kind of the model.
    pub model: String,
    /// Layers in the order of the graph.
    pub layers: Vec<ModelledLayer>,
    /// Totals.
    pub total: Totals,
    /// Roofline of each pair of widths in use, in ascending order.
    pub rooflines: Vec<Roofline>,
    /// Against the widest operands of the target, with its ceiling.
    pub speed_up: SpeedUp,
    /// What a reader of the numbers should know.
    pub notes: Vec<String>,
}
