//! Bit-serial arrays: Stripes (Judd et al., MICRO 2016), Loom (Sharify et al., DAC 2018), BISMO
//! (Umuroglu et al., FPL 2018). Time falls with every bit that is saved.
//!
//! An array takes `windows` output positions, `filters` output channels and `inputs` values of a
//! sum at a time. With M positions, K inputs per output and N filters:
//!
//! | design | convolution | FC and products |
//! |---|---|---|
//! | Stripes | `ceil(M/windows) ceil(N/filters) ceil(K/inputs) a` | `M ceil(N/filters) ceil(K/inputs)` |
//! | Loom | `ceil(M/windows) ceil(N/filters) ceil(K/inputs) a w` | `M ceil(N/filters) ceil(K/inputs) w` |
//! | BISMO | `ceil(M/windows) ceil(N/filters) ceil(K/inputs) a w` | the same |
//!
//! so that Stripes gains 16/a on convolutions and nothing on FC over its 16-bit base, and Loom
//! 256/(a w) and 16/w, as their papers state. Operands of more than 16 bits have no mapping on
//! Stripes and Loom. Groups run one after the other: a depthwise layer fills one of the filters.
//! Memory outside the chip holds every operand once, at its width.

use serde::{Deserialize, Serialize};

use crate::constants::{Count, Dram, Positive, Power, Source};
use crate::cost::{Before, LayerModel, ModelName, TargetModel, Unmappable, once};
use crate::modelled::Energy;
use crate::workload::{Work, WorkKind, product};

/// Width of the bit-parallel base of Stripes and Loom.
const BASE_BITS: u8 = 16;

/// Which array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Design {
    /// Weights and activations in series, any product.
    Bismo,
    /// Weights and activations in series on convolutions, weights on FC.
    Loom,
    /// Activations in series on convolutions.
    Stripes,
}

/// What is worked on at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lanes {
    /// Output positions.
    pub windows: Count,
    /// Output channels.
    pub filters: Count,
    /// Inputs of a sum.
    pub inputs: Count,
    /// Clock in MHz.
    pub mhz: Positive,
    /// Source.
    pub source: Source,
}

/// Section `cost` of a profile with `model: bitserial`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bitserial {
    /// `bitserial`.
    pub model: ModelName,
    /// Which array.
    pub design: Design,
    /// The array.
    pub array: Lanes,
    /// Its power.
    pub power: Power,
    /// Memory outside the chip.
    pub dram: Dram,
}

impl TargetModel for Bitserial {
    fn hertz(&self) -> f64 {
        self.array.mhz.get() * 1e6
    }

    fn peak_macs_per_cycle(&self, weight_bits: u8, activation_bits: u8) -> f64 {
        let lanes = &self.array;
        let all = (lanes.windows.get() * lanes.filters.get() * lanes.inputs.get()) as f64;
        let (w, a) = (f64::from(weight_bits), f64::from(activation_bits));
        match self.design {
            Design::Stripes => all / a,
            Design::Loom | Design::Bismo => all / (a * w),
        }
    }

    fn dram(&self) -> Option<&Dram> {
        Some(&self.dram)
    }

    fn layer(&self, work: &Work, _before: Before) -> Result<LayerModel, Unmappable> {
        let (w, a) = (u64::from(work.weight_bits), u64::from(work.activation_bits));
        let widest = work.weight_bits.max(work.activation_bits);
        if self.design != Design::Bismo && widest > BASE_BITS {
            let reason = format!("an operand has {widest} bits, its lanes take {BASE_BITS}");
            return Err(Unmappable { key: "cost.design", reason });
        }
        let windows = work.pixels.div_ceil(self.array.windows.get());
        let filters = work.filters.div_ceil(self.array.filters.get());
        let inputs = work.window.div_ceil(self.array.inputs.get());
        let conv = work.kind == WorkKind::Conv;
        let steps = match (self.design, conv) {
            (Design::Stripes, true) => product(&[windows, a]),
            (Design::Stripes, false) => work.pixels,
            (Design::Loom, false) => product(&[work.pixels, w]),
            (Design::Loom, true) | (Design::Bismo, _) => product(&[windows, a, w]),
        };
        Ok(LayerModel {
            compute_cycles: product(&[work.groups, steps, filters, inputs]),
            traffic: once(work.bytes()).to_vec(),
            energy: Energy::default(),
        })
    }

    fn watts(&self) -> f64 {
        self.power.watts.get()
    }
}
