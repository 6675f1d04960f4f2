//! Eyeriss, a row-stationary array (Chen et al., JSSC 2017 and ISCA 2016).
//!
//! A unit works on one row of a filter; `kh` units in a column make one row of outputs. With E
//! rows of outputs on an array of 12 x 14, the output rows are cut into `s = ceil(E/14)` strips
//! that are laid side by side as far as the rows of the array go, and the pattern is repeated:
//!
//! `A = kh E floor(12/(s kh))` active units if `s kh <= 12`, else `kh 14 floor(12/kh)`.
//!
//! Cycles are `MACs / (A eta)`. Every operand is a 16-bit word, whatever its own width is.
//! An FC layer is a convolution of one output row, so that 12 units work (for one image; the chip
//! was measured on convolutions alone). A depthwise or grouped layer counts like any other.
//! Convolutions of more than two dimensions, kernels of more rows than the array, and products of
//! two activations have no mapping.

use serde::{Deserialize, Serialize};

use crate::constants::{Count, Dram, Positive, Power, Share, Source};
use crate::cost::{Before, LayerModel, ModelName, TargetModel, Unmappable, once};
use crate::modelled::{Energy, Flow, Level, Operand};
use crate::workload::{Bytes, Work, WorkKind, bytes};

/// The array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    /// Rows.
    pub rows: Count,
    /// Columns.
    pub columns: Count,
    /// Clock in MHz.
    pub mhz: Positive,
    /// Bits of every operand.
    pub word_bits: Count,
    /// Source.
    pub source: Source,
}

/// Share of the active units' cycles that do work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// The share.
    pub eta: Share,
    /// Source.
    pub source: Source,
}

/// Lower shares of narrow kernels on wide maps, calibrated on a published table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WideMaps {
    /// Kernels of up to so many rows.
    pub kernel_up_to: Count,
    /// Shares by the width of the output, in ascending order.
    pub steps: Vec<Step>,
    /// Source.
    pub source: Source,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For outputs wider than this.
    pub wider_than: Count,
    /// The share.
    pub eta: Share,
}

/// The global buffer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// Bytes that cross it per multiply-accumulate, inputs and partial sums together.
    pub bytes_per_mac: Positive,
    /// Source.
    pub source: Source,
}

/// Section `cost` of a profile with `model: eyeriss`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eyeriss {
    /// `eyeriss`.
    pub model: ModelName,
    /// The array.
    pub array: Array,
    /// Share of the active units' cycles that do work.
    pub efficiency: Efficiency,
    /// The same for narrow kernels on wide maps.
    pub wide_maps: WideMaps,
    /// The global buffer.
    pub buffer: Buffer,
    /// Power of the chip, without memory outside.
    pub power: Power,
    /// Memory outside the chip.
    pub dram: Dram,
}

impl Eyeriss {
    /// Units that are at work on a layer.
    ///
    /// # Errors
    /// [`Unmappable`] for more than two dimensions, too many kernel rows, or two activations.
    pub fn active_units(&self, work: &Work) -> Result<u64, Unmappable> {
        let (rows, columns) = (self.array.rows.get(), self.array.columns.get());
        let fail = |key, reason: String| Err(Unmappable { key, reason });
        if work.kind == WorkKind::Product {
            let reason = "rows stay in the units, and a product of two activations has none";
            return fail("cost.model", reason.to_string());
        }
        if work.kernel.len() > 2 {
            let dims = work.kernel.len();
            let reason =
                format!("it is a convolution of {dims} dimensions, rows of one or two are kept");
            return fail("cost.model", reason);
        }
        let kernel_rows = work.kernel.first().copied().unwrap_or(1);
        if kernel_rows > rows {
            let reason = format!("its kernel has {kernel_rows} rows, the array {rows}");
            return fail("cost.array.rows", reason);
        }
        let output_rows = work.output_size.first().copied().unwrap_or(1);
        let strips = output_rows.div_ceil(columns);
        Ok(if strips * kernel_rows <= rows {
            kernel_rows * output_rows * (rows / (strips * kernel_rows))
        } else {
            kernel_rows * columns * (rows / kernel_rows)
        })
    }

    /// Share of the active units' cycles that do work on a layer.
    pub fn eta(&self, work: &Work) -> f64 {
        let kernel_rows = work.kernel.first().copied().unwrap_or(1);
        let width = work.output_size.last().copied().unwrap_or(1);
        let narrow = kernel_rows <= self.wide_maps.kernel_up_to.get();
        let step = self.wide_maps.steps.iter().rev().find(|s| width > s.wider_than.get());
        step.filter(|_| narrow).map_or(self.efficiency.eta, |s| s.eta).get()
    }
}

impl TargetModel for Eyeriss {
    fn hertz(&self) -> f64 {
        self.array.mhz.get() * 1e6
    }

    fn peak_macs_per_cycle(&self, _weight_bits: u8, _activation_bits: u8) -> f64 {
        (self.array.rows.get() * self.array.columns.get()) as f64
    }

    fn dram(&self) -> Option<&Dram> {
        Some(&self.dram)
    }

    fn layer(&self, work: &Work, _before: Before) -> Result<LayerModel, Unmappable> {
        let rate = self.active_units(work)? as f64 * self.eta(work);
        let word = self.array.word_bits.get();
        let words = Bytes {
            input: bytes(work.input_elements, word),
            weights: bytes(work.weights(), word),
            output: bytes(work.outputs(), word),
        };
        let macs = work.macs() as f64;
        let buffer = (macs * self.buffer.bytes_per_mac.get()).ceil() as u64;
        let mut traffic = vec![Flow { level: Level::Sram, operand: Operand::All, bytes: buffer }];
        traffic.extend(once(words));
        let compute_cycles = (macs / rate).ceil() as u64;
        Ok(LayerModel { compute_cycles, traffic, energy: Energy::default() })
    }

    fn watts(&self) -> f64 {
        self.power.watts.get()
    }
}
