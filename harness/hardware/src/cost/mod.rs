//! From a profile and a workload to a cost. One model, one file; what all of them share is here.
//!
//! A model says how many cycles its units need for a layer, which bytes move, and what arithmetic
//! and buffers spend. Time with memory, energy of memory and power, utilisation and totals are
//! made of that in one place, so that they mean the same for every target.

pub mod bitfusion;
pub mod bitserial;
pub mod edge_tpu;
pub mod eyeriss;
pub mod mcu;
pub mod systolic;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::constants::Dram;
use crate::modelled::{Bound, Energy, Flow, Level, ModelledCost, ModelledLayer, Operand, Totals};
use crate::profile::Profile;
use crate::roofline::{SpeedUp, rooflines};
use crate::workload::{Bytes, Work, Workload};

/// What a model says about one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerModel {
    /// Cycles of the arithmetic alone, whatever memory does.
    pub compute_cycles: u64,
    /// Traffic of every level.
    pub traffic: Vec<Flow>,
    /// Energy of arithmetic and buffers; memory outside the chip and power are added later.
    pub energy: Energy,
}

/// What the layers before a layer have done to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// Bytes of their weights.
    pub weight_bytes: u64,
}

/// A layer that a target has no mapping for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmappable {
    /// Key of the profile that sets the limit.
    pub key: &'static str,
    /// What does not fit.
    pub reason: String,
}

/// A model of a target: one file implements it for one section of a profile.
pub trait TargetModel {
    /// Clock in cycles per second.
    fn hertz(&self) -> f64;

    /// Multiply-accumulates per cycle of all units together at these widths.
    fn peak_macs_per_cycle(&self, weight_bits: u8, activation_bits: u8) -> f64;

    /// Memory outside the chip.
    fn dram(&self) -> Option<&Dram>;

    /// Cycles, traffic and energy of one layer.
    ///
    /// # Errors
    /// [`Unmappable`] where the source of the model gives no mapping of such a layer.
    fn layer(&self, work: &Work, before: Before) -> Result<LayerModel, Unmappable>;

    /// Power that is spent as long as a layer runs, in watts.
    fn watts(&self) -> f64 {
        0.0
    }

    /// Whether memory works while the units do: the longer of the two times counts, not the sum.
    fn overlaps_memory(&self) -> bool {
        true
    }

    /// Seconds that are spent once per inference.
    fn overhead_seconds(&self) -> f64 {
        0.0
    }

    /// What a reader should know about these numbers for this network.
    fn notes(&self, _workload: &Workload) -> Vec<String> {
        Vec::new()
    }
}

/// The kinds of models, as the key `cost.model` of a profile names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// [`bitfusion`].
    Bitfusion,
    /// [`bitserial`].
    Bitserial,
    /// [`edge_tpu`].
    EdgeTpu,
    /// [`eyeriss`].
    Eyeriss,
    /// [`mcu`].
    Mcu,
    /// [`systolic`].
    Systolic,
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ModelName::Bitfusion => "bitfusion",
            ModelName::Bitserial => "bitserial",
            ModelName::EdgeTpu => "edge-tpu",
            ModelName::Eyeriss => "eyeriss",
            ModelName::Mcu => "mcu",
            ModelName::Systolic => "systolic",
        })
    }
}

/// The section `cost` of a profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CostSection {
    /// Bit-flexible array.
    Bitfusion(bitfusion::Bitfusion),
    /// Bit-serial arrays.
    Bitserial(bitserial::Bitserial),
    /// Edge TPU as its benchmarks show it.
    EdgeTpu(edge_tpu::EdgeTpu),
    /// Row-stationary array.
    Eyeriss(eyeriss::Eyeriss),
    /// Microcontroller.
    Mcu(mcu::Mcu),
    /// Systolic array.
    Systolic(systolic::Systolic),
}

impl CostSection {
    /// Kind of the model.
    pub fn name(&self) -> ModelName {
        match self {
            CostSection::Bitfusion(_) => ModelName::Bitfusion,
            CostSection::Bitserial(_) => ModelName::Bitserial,
            CostSection::EdgeTpu(_) => ModelName::EdgeTpu,
            CostSection::Eyeriss(_) => ModelName::Eyeriss,
            CostSection::Mcu(_) => ModelName::Mcu,
            CostSection::Systolic(_) => ModelName::Systolic,
        }
    }

    /// The model itself.
    pub fn model(&self) -> &dyn TargetModel {
        match self {
            CostSection::Bitfusion(model) => model,
            CostSection::Bitserial(model) => model,
            CostSection::EdgeTpu(model) => model,
            CostSection::Eyeriss(model) => model,
            CostSection::Mcu(model) => model,
            CostSection::Systolic(model) => model,
        }
    }
}

/// A network that a profile gives no cost for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CostError {
    /// A profile without a model.
    #[error(
        "{origin}: cost: there is no such section, the numbers of {profile} are {execution}; take a \
         profile with a cost model (`quantbench list profiles` shows them as modelled)"
    )]
    NoModel {
        /// File of the profile.
        origin: String,
        /// Name of the profile.
        profile: String,
        /// How its numbers come about.
        execution: String,
    },
    /// A width without units on this target.
    #[error(
        "{origin}: {key}: layer {layer:?} has {what} of {bits} bits, its widths are {have:?}; \
         quantize the layer to one of them or take another profile"
    )]
    Width {
        /// File of the profile.
        origin: String,
        /// Key of the profile.
        key: &'static str,
        /// Layer.
        layer: String,
        /// Weights or inputs.
        what: &'static str,
        /// Width asked.
        bits: u8,
        /// Widths of the target.
        have: Vec<u8>,
    },
    /// A layer without a mapping on this target.
    #[error("{origin}: {key}: layer {layer:?} cannot be mapped: {reason}")]
    Mapping {
        /// File of the profile.
        origin: String,
        /// Key of the profile that sets the limit.
        key: &'static str,
        /// Layer.
        layer: String,
        /// What does not fit.
        reason: String,
    },
}

impl Profile {
    /// The model's section.
    ///
    /// # Errors
    /// [`CostError::NoModel`] for a target that is measured or emulated.
    pub fn section(&self) -> Result<&CostSection, CostError> {
        self.cost.as_ref().ok_or_else(|| CostError::NoModel {
            origin: self.origin.clone(),
            profile: self.name.clone(),
            execution: self.execution.to_string(),
        })
    }

    /// The cost of a workload here.
    ///
    /// # Errors
    /// [`CostError`]: no model, a layer of a width that is not in `executes`, a layer without a
    /// mapping.
    pub fn cost(&self, workload: &Workload) -> Result<ModelledCost, CostError> {
        let section = self.section()?;
        let model = section.model();
        let layers = self.layers(model, &workload.layers)?;
        let (w, a) = self.widest();
        let reference = workload.clone().at(w, a);
        let widest = self.layers(model, &reference.layers)?;
        let total = totals(model, &layers);
        Ok(ModelledCost {
            profile: self.name.clone(),
            model: section.name().to_string(),
            rooflines: rooflines(model, &layers),
            speed_up: SpeedUp::over(model, (w, a), &widest, &layers),
            total,
            layers,
            notes: model.notes(workload),
        })
    }

    /// The widest operands that it executes.
    pub(crate) fn widest(&self) -> (u8, u8) {
        let most = |widths: &[u8]| widths.iter().copied().max().unwrap_or(8);
        (most(&self.executes.weight_bits), most(&self.executes.activation_bits))
    }

    fn layers(
        &self,
        model: &dyn TargetModel,
        works: &[Work],
    ) -> Result<Vec<ModelledLayer>, CostError> {
        let mut before = Before::default();
        let mut layers = Vec::with_capacity(works.len());
        for work in works {
            layers.push(self.one(model, work, before)?);
            before.weight_bytes = before.weight_bytes.saturating_add(work.stored_bytes());
        }
        Ok(layers)
    }

    /// The cost of one layer behind others.
    pub(crate) fn one(
        &self,
        model: &dyn TargetModel,
        work: &Work,
        before: Before,
    ) -> Result<ModelledLayer, CostError> {
        self.check_widths(work)?;
        let found = model.layer(work, before).map_err(|no| CostError::Mapping {
            origin: self.origin.clone(),
            key: no.key,
            layer: work.name.clone(),
            reason: no.reason,
        })?;
        Ok(with_memory(model, work, found))
    }

    fn check_widths(&self, work: &Work) -> Result<(), CostError> {
        let has = &self.executes;
        for (key, what, bits, have) in [
            ("executes.weight_bits", "weights", work.weight_bits, &has.weight_bits),
            ("executes.activation_bits", "inputs", work.activation_bits, &has.activation_bits),
        ] {
            if !have.contains(&bits) {
                return Err(CostError::Width {
                    origin: self.origin.clone(),
                    key,
                    layer: work.name.clone(),
                    what,
                    bits,
                    have: have.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Adds memory outside the chip and power to what a model says.
fn with_memory(model: &dyn TargetModel, work: &Work, found: LayerModel) -> ModelledLayer {
    let LayerModel { compute_cycles, traffic, mut energy } = found;
    let outside: u64 = traffic.iter().filter(|f| f.level == Level::Dram).map(|f| f.bytes).sum();
    let mut memory_cycles = 0;
    if let Some(dram) = model.dram() {
        let seconds = outside as f64 / (dram.gb_per_s.get() * 1e9);
        memory_cycles = (seconds * model.hertz()).ceil() as u64;
        energy.dram_j += outside as f64 * 8.0 * dram.pj_per_bit.get() * 1e-12;
    }
    let cycles = if model.overlaps_memory() {
        compute_cycles.max(memory_cycles)
    } else {
        compute_cycles.saturating_add(memory_cycles)
    };
    let seconds = cycles as f64 / model.hertz();
    energy.whole_j += model.watts() * seconds;
    let bound = if memory_cycles > compute_cycles { Bound::Memory } else { Bound::Compute };
    let peak = model.peak_macs_per_cycle(work.weight_bits, work.activation_bits);
    let macs = work.macs();
    ModelledLayer {
        layer: work.name.clone(),
        weight_bits: work.weight_bits,
        activation_bits: work.activation_bits,
        macs,
        bit_operations: work.bit_operations(),
        bytes: work.bytes(),
        compute_cycles,
        cycles,
        seconds,
        utilisation: macs as f64 / (peak * (cycles as f64).max(1.0)),
        bound,
        traffic,
        energy,
    }
}

fn totals(model: &dyn TargetModel, layers: &[ModelledLayer]) -> Totals {
    let overhead_seconds = model.overhead_seconds();
    let mut energy = Energy { whole_j: model.watts() * overhead_seconds, ..Energy::default() };
    let mut traffic: Vec<Flow> = Vec::new();
    let (mut seconds, mut waiting, mut ideal) = (0.0, 0.0, 0.0);
    let mut bytes = Bytes::default();
    for layer in layers {
        energy.add(&layer.energy);
        seconds += layer.seconds;
        ideal += layer.utilisation * layer.cycles as f64;
        if layer.bound == Bound::Memory {
            waiting += layer.seconds;
        }
        bytes.input = bytes.input.saturating_add(layer.bytes.input);
        bytes.weights = bytes.weights.saturating_add(layer.bytes.weights);
        bytes.output = bytes.output.saturating_add(layer.bytes.output);
        for flow in &layer.traffic {
            let same = |f: &&mut Flow| (f.level, f.operand) == (flow.level, flow.operand);
            match traffic.iter_mut().find(same) {
                Some(sum) => sum.bytes = sum.bytes.saturating_add(flow.bytes),
                None => traffic.push(*flow),
            }
        }
    }
    let sum = |of: fn(&ModelledLayer) -> u64| layers.iter().map(of).fold(0, u64::saturating_add);
    let cycles = sum(|l| l.cycles);
    Totals {
        macs: sum(|l| l.macs),
        bit_operations: sum(|l| l.bit_operations),
        bytes,
        cycles,
        seconds: seconds + overhead_seconds,
        overhead_seconds,
        utilisation: ideal / (cycles as f64).max(1.0),
        memory_bound_share: if seconds > 0.0 { waiting / seconds } else { 0.0 },
        traffic,
        energy,
    }
}

/// Bytes of every operand that cross the border of the chip once.
pub(crate) fn once(bytes: Bytes) -> [Flow; 3] {
    [
        Flow { level: Level::Dram, operand: Operand::Input, bytes: bytes.input },
        Flow { level: Level::Dram, operand: Operand::Weights, bytes: bytes.weights },
        Flow { level: Level::Dram, operand: Operand::Output, bytes: bytes.output },
    ]
}
