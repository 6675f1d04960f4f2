//! Microcontrollers with int8 kernels (CMSIS-NN, X-CUBE-AI).
//!
//! `t = MACs / (r f)` with a measured rate r for each kind of layer, `E = P t`. Narrow weights are
//! unpacked to 8 bits before they are multiplied: they save flash and no time. Rates: `conv` for
//! kernels of more than one pixel, `separable` for depthwise layers and kernels of one pixel (what
//! depthwise-separable blocks are made of), `fc` for the rest.

use serde::{Deserialize, Serialize};

use crate::constants::{Count, Dram, Positive, Power, Source};
use crate::cost::{Before, LayerModel, ModelName, TargetModel, Unmappable};
use crate::modelled::{Energy, Flow, Level, Operand};
use crate::workload::{Work, WorkKind, Workload};

/// The processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Clock in MHz.
    pub mhz: Positive,
    /// Multiply-accumulates per cycle that its instructions allow.
    pub peak_macs_per_cycle: Count,
    /// Source.
    pub source: Source,
}

/// Measured multiply-accumulates per cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Convolutions with kernels of more than one pixel.
    pub conv: Positive,
    /// Depthwise layers and kernels of one pixel.
    pub separable: Positive,
    /// Fully connected layers and products.
    pub fc: Positive,
    /// Source.
    pub source: Source,
}

/// Its memories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Flash in KiB.
    pub flash_kib: Count,
    /// SRAM in KiB.
    pub sram_kib: Count,
    /// Source.
    pub source: Source,
}

/// Section `cost` of a profile with `model: mcu`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mcu {
    /// `mcu`.
    pub model: ModelName,
    /// The processor.
    pub core: Core,
    /// Measured rates.
    pub rates: Rates,
    /// Its memories.
    pub memory: Memory,
    /// Power of the board.
    pub power: Power,
}

impl Mcu {
    /// Rate of a kind of layer in multiply-accumulates per cycle, never above the peak.
    fn rate(&self, work: &Work) -> f64 {
        let one_pixel = work.kernel.iter().all(|&side| side == 1);
        let rate = match work.kind {
            WorkKind::Conv if one_pixel || work.is_depthwise() => self.rates.separable,
            WorkKind::Conv => self.rates.conv,
            WorkKind::Fc | WorkKind::Product => self.rates.fc,
        };
        rate.get().min(self.core.peak_macs_per_cycle.get() as f64)
    }
}

impl TargetModel for Mcu {
    fn hertz(&self) -> f64 {
        self.core.mhz.get() * 1e6
    }

    fn peak_macs_per_cycle(&self, _weight_bits: u8, _activation_bits: u8) -> f64 {
        self.core.peak_macs_per_cycle.get() as f64
    }

    fn dram(&self) -> Option<&Dram> {
        None
    }

    fn layer(&self, work: &Work, _before: Before) -> Result<LayerModel, Unmappable> {
        let bytes = work.bytes();
        let activations = bytes.input.saturating_add(bytes.output);
        let held = if work.kind == WorkKind::Product { Level::Sram } else { Level::Flash };
        Ok(LayerModel {
            compute_cycles: (work.macs() as f64 / self.rate(work)).ceil() as u64,
            traffic: vec![
                Flow { level: held, operand: Operand::Weights, bytes: bytes.weights },
                Flow { level: Level::Sram, operand: Operand::All, bytes: activations },
            ],
            energy: Energy::default(),
        })
    }

    fn watts(&self) -> f64 {
        self.power.watts.get()
    }

    fn notes(&self, workload: &Workload) -> Vec<String> {
        let mut notes = Vec::new();
        let weights: u64 = workload.layers.iter().map(Work::stored_bytes).sum();
        let flash = self.memory.flash_kib.get() * 1024;
        if weights > flash {
            notes.push(format!(
                "the weights take {} KiB, the flash has {}: the time is that of a chip with more",
                weights.div_ceil(1024),
                self.memory.flash_kib.get()
            ));
        }
        let maps = workload.layers.iter().map(|w| w.bytes().input + w.bytes().output).max();
        let maps = maps.unwrap_or(0).div_ceil(1024);
        if maps > self.memory.sram_kib.get() {
            notes.push(format!(
                "input and output of one layer take {maps} KiB, the SRAM has {}: the time is that \
                 of a chip with more",
                self.memory.sram_kib.get()
            ));
        }
        notes
    }
}
