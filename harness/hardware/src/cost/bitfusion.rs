//! BitFusion, an array of units that fuse 2-bit bricks (Sharma et al., ISCA 2018).
//!
//! A fusion unit does `p = floor(8/max(a,2)) floor(8/max(w,2))` products per cycle, so 1 at 8 x 8
//! bits, 4 at 4 x 4, 16 at 2 x 2; above 8 bits it needs `ceil(a/8) ceil(w/8)` cycles for one, and
//! above 16 it has no mapping. On R rows and C columns, with M output positions:
//!
//! - `M ceil(N/C) kh kw ceil(Cin/(R p))` cycles for a convolution,
//! - `M ceil(N/C) ceil(K/(R p))` for FC and for the first layer, whose few channels are unrolled
//!   together with the kernel.
//!
//! Buffers are counted as the authors' simulator counts them: a weight and an input are read for
//! every product, an output is written and read as a 32-bit sum. Memory outside the chip holds
//! every operand once, at its width (the simulator moves 32-bit sums: ours is lower).
//! Groups run one after the other, so that a depthwise layer keeps one column busy.

use serde::{Deserialize, Serialize};

use crate::constants::{Dram, Grid, Sram, Unit};
use crate::cost::{Before, LayerModel, ModelName, TargetModel, Unmappable, once};
use crate::modelled::{Energy, Flow, Level, Operand};
use crate::workload::{Work, WorkKind, bytes, product};

/// Widest operand of a fusion unit in one pass.
const UNIT_BITS: u64 = 8;
/// Widest operand at all.
const MOST_BITS: u8 = 16;
/// Bits of a sum in the output buffer.
const SUM_BITS: u64 = 32;

/// Section `cost` of a profile with `model: bitfusion`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bitfusion {
    /// `bitfusion`.
    pub model: ModelName,
    /// The array of fusion units.
    pub array: Grid,
    /// A fusion unit in use.
    pub unit: Unit,
    /// The buffers.
    pub sram: Sram,
    /// Memory outside the chip.
    pub dram: Dram,
}

/// Products of a fusion unit per cycle, and cycles for one product: one of them is 1.
fn fused(weight_bits: u8, activation_bits: u8) -> (u64, u64) {
    let (w, a) = (u64::from(weight_bits.max(2)), u64::from(activation_bits.max(2)));
    let passes = w.div_ceil(UNIT_BITS) * a.div_ceil(UNIT_BITS);
    ((UNIT_BITS / w).max(1) * (UNIT_BITS / a).max(1), passes)
}

impl Bitfusion {
    /// Cycles of the units.
    ///
    /// # Errors
    /// [`Unmappable`] above 16 bits.
    pub fn compute_cycles(&self, work: &Work) -> Result<u64, Unmappable> {
        let widest = work.weight_bits.max(work.activation_bits);
        if widest > MOST_BITS {
            let reason = format!("an operand has {widest} bits, fused bricks hold {MOST_BITS}");
            return Err(Unmappable { key: "cost.model", reason });
        }
        let (parallel, passes) = fused(work.weight_bits, work.activation_bits);
        let inputs = self.array.rows.get() * parallel;
        let positions: u64 = work.kernel.iter().product();
        let together = work.is_first || work.kind != WorkKind::Conv;
        let steps = if together {
            work.window.div_ceil(inputs)
        } else {
            positions * (work.window / positions).div_ceil(inputs)
        };
        let folds = work.filters.div_ceil(self.array.columns.get());
        Ok(product(&[work.groups, work.pixels, folds, steps, passes]))
    }
}

impl TargetModel for Bitfusion {
    fn hertz(&self) -> f64 {
        self.array.mhz.get() * 1e6
    }

    fn peak_macs_per_cycle(&self, weight_bits: u8, activation_bits: u8) -> f64 {
        let (parallel, passes) = fused(weight_bits, activation_bits);
        let units = self.array.rows.get() * self.array.columns.get();
        (units * parallel) as f64 / passes as f64
    }

    fn dram(&self) -> Option<&Dram> {
        Some(&self.dram)
    }

    fn layer(&self, work: &Work, _before: Before) -> Result<LayerModel, Unmappable> {
        let compute_cycles = self.compute_cycles(work)?;
        let macs = work.macs();
        let read = |operand, bits: u8| Flow {
            level: Level::Sram,
            operand,
            bytes: bytes(macs, u64::from(bits)),
        };
        let sums = bytes(work.outputs().saturating_mul(2), SUM_BITS);
        let mut traffic = vec![
            read(Operand::Input, work.activation_bits),
            read(Operand::Weights, work.weight_bits),
            Flow { level: Level::Sram, operand: Operand::Output, bytes: sums },
        ];
        let per_bit = [
            self.sram.input_pj_per_bit.get(),
            self.sram.weight_pj_per_bit.get(),
            self.sram.output_pj_per_bit.get(),
        ];
        let sram_pj: f64 =
            traffic.iter().zip(per_bit).map(|(f, pj)| f.bytes as f64 * 8.0 * pj).sum();
        let units = (self.array.rows.get() * self.array.columns.get()) as f64;
        let energy = Energy {
            compute_j: compute_cycles as f64 * units * self.unit.pj.get() * 1e-12,
            sram_j: sram_pj * 1e-12,
            ..Energy::default()
        };
        traffic.extend(once(work.bytes()));
        Ok(LayerModel { compute_cycles, traffic, energy })
    }
}
