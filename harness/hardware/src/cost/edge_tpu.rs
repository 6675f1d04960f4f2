//! The Edge TPU as its published benchmarks show it.
//!
//! `t = MACs / (units f u) + streamed / B + t0` with three fitted constants (utilisation u,
//! bandwidth B of the link to the host, fixed time t0). Weights are kept on the chip as far as
//! they fit, in the order of the layers, and the rest is streamed for every image, which nothing
//! overlaps. The inside of the chip is not published: this is a model of its behaviour, a
//! depthwise layer counts like any other (its mapping is not known), and buffer traffic is not
//! stated.

use serde::{Deserialize, Serialize};

use crate::constants::{Count, Dram, NotNegative, Positive, Power, Share, Source};
use crate::cost::{Before, LayerModel, ModelName, TargetModel, Unmappable};
use crate::modelled::{Energy, Flow, Level, Operand};
use crate::workload::{Work, Workload};

/// The arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Units {
    /// Multiply-accumulates per cycle.
    pub macs_per_cycle: Count,
    /// Clock in MHz.
    pub mhz: Positive,
    /// Share of the peak that networks reach.
    pub utilisation: Share,
    /// Source.
    pub source: Source,
}

/// What is spent once per inference, and what fits on the chip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Bytes of weights that stay on the chip, in 10^6 bytes.
    pub on_chip_mb: Positive,
    /// Fixed time per inference in milliseconds.
    pub overhead_ms: NotNegative,
    /// Source.
    pub source: Source,
}

/// Section `cost` of a profile with `model: edge-tpu`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeTpu {
    /// `edge-tpu`.
    pub model: ModelName,
    /// The arithmetic.
    pub units: Units,
    /// The chip and its host.
    pub host: Host,
    /// The link to the host's memory.
    pub dram: Dram,
    /// Power of the chip.
    pub power: Power,
}

impl TargetModel for EdgeTpu {
    fn hertz(&self) -> f64 {
        self.units.mhz.get() * 1e6
    }

    fn peak_macs_per_cycle(&self, _weight_bits: u8, _activation_bits: u8) -> f64 {
        self.units.macs_per_cycle.get() as f64
    }

    fn dram(&self) -> Option<&Dram> {
        Some(&self.dram)
    }

    fn layer(&self, work: &Work, before: Before) -> Result<LayerModel, Unmappable> {
        let rate = self.units.macs_per_cycle.get() as f64 * self.units.utilisation.get();
        let room = (self.host.on_chip_mb.get() * 1e6) as u64;
        let behind = before.weight_bytes.saturating_add(work.stored_bytes());
        let streamed = behind.saturating_sub(room) - before.weight_bytes.saturating_sub(room);
        let flow = Flow { level: Level::Dram, operand: Operand::Weights, bytes: streamed };
        Ok(LayerModel {
            compute_cycles: (work.macs() as f64 / rate).ceil() as u64,
            traffic: vec![flow],
            energy: Energy::default(),
        })
    }

    fn watts(&self) -> f64 {
        self.power.watts.get()
    }

    fn overlaps_memory(&self) -> bool {
        false
    }

    fn overhead_seconds(&self) -> f64 {
        self.host.overhead_ms.get() * 1e-3
    }

    fn notes(&self, workload: &Workload) -> Vec<String> {
        let weights: u64 = workload.layers.iter().map(Work::stored_bytes).sum();
        let room = self.host.on_chip_mb.get() * 1e6;
        if weights as f64 > room {
            return vec![format!(
                "{:.1} of {:.1} MB of weights do not fit on the chip and are streamed for every image",
                (weights as f64 - room) / 1e6,
                weights as f64 / 1e6
            )];
        }
        Vec::new()
    }
}
