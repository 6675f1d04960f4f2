//! Systolic arrays, output- or weight-stationary, of any size.
//!
//! Closed forms of what SCALE-Sim v3 (Samajdar et al., ISPASS 2020; PyPI `scalesim` 3.0.0)
//! simulates, exact for cycles and buffer traffic. With M output positions, K inputs per output
//! and N filters of a group on R x C units:
//!
//! - output-stationary: every unit keeps one output; `ceil(M/R) ceil(N/C)` folds of
//!   `K + R + C - 2` cycles;
//! - weight-stationary: every unit keeps one weight; `ceil(K/R) ceil(N/C)` folds of
//!   `2R + C + M - 2` cycles, with partial sums that leave the array once per fold of K.
//!
//! Groups run one after the other, so that a depthwise layer keeps one column busy;
//! `depthwise: vector-unit` puts such layers on one row of C multipliers instead, each with a
//! channel of its own (an assumption, as no source states a mapping).

use serde::{Deserialize, Serialize};

use crate::constants::{Dram, Grid, Sram, Unit};
use crate::cost::{Before, LayerModel, ModelName, TargetModel, Unmappable};
use crate::modelled::{Energy, Flow, Level, Operand};
use crate::workload::{Work, bytes, product};

/// Bits of a partial sum.
const SUM_BITS: u64 = 32;

/// Which operand stays in the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dataflow {
    /// Outputs.
    OutputStationary,
    /// Weights.
    WeightStationary,
}

/// Where depthwise layers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depthwise {
    /// On the array, one group after the other.
    Serial,
    /// On a row of C multipliers beside it.
    VectorUnit,
}

/// Where partial sums of a weight-stationary array wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartialSums {
    /// In the output buffer.
    OnChip,
    /// Outside the chip, as SCALE-Sim counts them.
    Dram,
}

/// Section `cost` of a profile with `model: systolic`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Systolic {
    /// `systolic`.
    pub model: ModelName,
    /// Which operand stays in the units.
    pub dataflow: Dataflow,
    /// Where depthwise layers run.
    pub depthwise: Depthwise,
    /// Where partial sums wait.
    pub partial_sums: PartialSums,
    /// The array.
    pub array: Grid,
    /// The buffers; half of each is filled while the other half is in use.
    pub sram: Sram,
    /// A multiply-accumulate.
    pub mac: Unit,
    /// Memory outside the chip.
    pub dram: Dram,
}

/// What SCALE-Sim reports of a layer, in cycles and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Cycles without stalls.
    pub compute_cycles: u64,
    /// Words read from the input buffer.
    pub input_sram_reads: u64,
    /// Words read from the weight buffer.
    pub weight_sram_reads: u64,
    /// Words written to the output buffer: outputs, or partial sums of every fold of K.
    pub output_sram_writes: u64,
    /// The same as SCALE-Sim counts it: it adds the `R + C` cycles in which an output-stationary
    /// fold drains.
    pub output_sram_writes_as_tool: u64,
    /// Words read from outside for the input.
    pub input_dram_reads: u64,
    /// Words read from outside for the weights.
    pub weight_dram_reads: u64,
    /// Words written outside if partial sums go there.
    pub output_dram_writes: u64,
}

impl Systolic {
    /// The counts of a layer whose words have these many bits.
    pub fn counts(&self, work: &Work) -> Counts {
        let (r, c) = (self.array.rows.get(), self.array.columns.get());
        let (m, k, n, g) = (work.pixels, work.window, work.filters, work.groups);
        let (m_folds, k_folds, n_folds) = (m.div_ceil(r), k.div_ceil(r), n.div_ceil(c));
        let touched = work.input_elements / g.max(1);
        let half = |kib: u64, bits: u8| kib * 1024 * 8 / 2 / u64::from(bits.max(1));
        let input_half = half(self.sram.input_kib.get(), work.activation_bits);
        let weight_half = half(self.sram.weight_kib.get(), work.weight_bits);
        let fits = touched <= input_half;
        let streamed = product(&[m, k, n_folds]);
        // A window of more than one pixel reads its input again for every fold of the filters
        // (weight-stationary), or the touched input again (output-stationary).
        let refetched = touched.saturating_mul(n_folds);
        let one = match self.dataflow {
            Dataflow::OutputStationary => Counts {
                compute_cycles: product(&[m_folds, n_folds, k + r + c - 2]).saturating_sub(1),
                input_sram_reads: streamed,
                weight_sram_reads: product(&[k, n, m_folds]),
                output_sram_writes: m.saturating_mul(n),
                output_sram_writes_as_tool: m.saturating_mul(n).saturating_add(product(&[
                    m_folds,
                    n_folds,
                    r + c,
                ])),
                input_dram_reads: if fits { touched } else { refetched },
                weight_dram_reads: if k.saturating_mul(n.min(c)) <= weight_half {
                    k.saturating_mul(n)
                } else {
                    product(&[k, n, m_folds])
                },
                output_dram_writes: m.saturating_mul(n),
            },
            Dataflow::WeightStationary => {
                let sums = product(&[m, n, k_folds]);
                let one_pixel = work.kernel.iter().all(|&side| side == 1);
                Counts {
                    compute_cycles: product(&[k_folds, n_folds, 2 * r + c + m - 2])
                        .saturating_sub(1),
                    input_sram_reads: streamed,
                    weight_sram_reads: k.saturating_mul(n),
                    output_sram_writes: sums,
                    output_sram_writes_as_tool: sums,
                    input_dram_reads: match (fits, one_pixel) {
                        (true, _) => touched,
                        (false, true) => refetched,
                        (false, false) => streamed,
                    },
                    weight_dram_reads: k.saturating_mul(n),
                    output_dram_writes: sums,
                }
            }
        };
        one.times(g)
    }

    /// A depthwise layer on the vector unit: every multiplier sums up one channel.
    fn on_vector_unit(&self, work: &Work) -> Counts {
        let channels = work.groups * work.filters;
        let folds = channels.div_ceil(self.array.columns.get());
        let products = work.macs();
        Counts {
            compute_cycles: product(&[folds, work.pixels, work.window]),
            input_sram_reads: products,
            weight_sram_reads: work.weights(),
            output_sram_writes: work.outputs(),
            output_sram_writes_as_tool: work.outputs(),
            input_dram_reads: work.input_elements,
            weight_dram_reads: work.weights(),
            output_dram_writes: work.outputs(),
        }
    }
}

impl Counts {
    /// The same layer so many times, one after the other.
    fn times(self, groups: u64) -> Self {
        let all = |count: u64| count.saturating_mul(groups);
        Self {
            compute_cycles: all(self.compute_cycles),
            input_sram_reads: all(self.input_sram_reads),
            weight_sram_reads: all(self.weight_sram_reads),
            output_sram_writes: all(self.output_sram_writes),
            output_sram_writes_as_tool: all(self.output_sram_writes_as_tool),
            input_dram_reads: all(self.input_dram_reads),
            weight_dram_reads: all(self.weight_dram_reads),
            output_dram_writes: all(self.output_dram_writes),
        }
    }
}

impl TargetModel for Systolic {
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
        let vector = self.depthwise == Depthwise::VectorUnit && work.is_depthwise();
        let counts = if vector { self.on_vector_unit(work) } else { self.counts(work) };
        let (w, a) = (u64::from(work.weight_bits), u64::from(work.activation_bits));
        // What leaves the array is a finished output at the width of the input, or a partial sum.
        let finished = counts.output_sram_writes == work.outputs();
        let sum_bits = if finished { a } else { SUM_BITS };
        let output = match self.partial_sums {
            PartialSums::OnChip => bytes(work.outputs(), a),
            PartialSums::Dram => bytes(counts.output_dram_writes, sum_bits),
        };
        let traffic = vec![
            flow(Level::Sram, Operand::Input, bytes(counts.input_sram_reads, a)),
            flow(Level::Sram, Operand::Weights, bytes(counts.weight_sram_reads, w)),
            flow(Level::Sram, Operand::Output, bytes(counts.output_sram_writes, sum_bits)),
            flow(Level::Dram, Operand::Input, bytes(counts.input_dram_reads, a)),
            flow(Level::Dram, Operand::Weights, bytes(counts.weight_dram_reads, w)),
            flow(Level::Dram, Operand::Output, output),
        ];
        let per_bit = [
            self.sram.input_pj_per_bit.get(),
            self.sram.weight_pj_per_bit.get(),
            self.sram.output_pj_per_bit.get(),
        ];
        let sram_pj: f64 =
            traffic.iter().zip(per_bit).map(|(f, pj)| f.bytes as f64 * 8.0 * pj).sum();
        let energy = Energy {
            compute_j: work.macs() as f64 * self.mac.pj.get() * 1e-12,
            sram_j: sram_pj * 1e-12,
            ..Energy::default()
        };
        Ok(LayerModel { compute_cycles: counts.compute_cycles, traffic, energy })
    }
}

fn flow(level: Level, operand: Operand, bytes: u64) -> Flow {
    Flow { level, operand, bytes }
}
