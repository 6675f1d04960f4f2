//! A modelled cost as a row that is stored beside those of a survey.

use quantbench_core::cost_row::{COST_SCHEMA, CostObserved, CostResult, LayerCostRow, Limit, Roof};
use quantbench_core::hash::id_of;
use quantbench_core::{CostKind, CostRow};

use crate::cost::CostError;
use crate::modelled::{Bound, Level, ModelledCost, ModelledLayer};
use crate::profile::Profile;
use crate::roofline::Roofline;
use crate::workload::Workload;

/// Raised whenever a model computes something else than before.
const MODELS: u32 = 1;

impl Profile {
    /// The id of the modelled cost of an artefact here: any change of the profile changes it.
    pub fn cost_id(&self, artefact: &str) -> String {
        id_of(&("cost", artefact, self, CostKind::Modelled, MODELS))
    }

    /// The modelled cost of an artefact of a model as a row; one without numbers, but with the
    /// reason, where this target cannot run it.
    pub fn cost_row(
        &self,
        artefact: &str,
        model: &str,
        workload: &Workload,
        observed: CostObserved,
    ) -> CostRow {
        let (result, reason) = match self.cost(workload) {
            Ok(cost) => (Some(result_of(&cost)), None),
            Err(error) => (None, Some(self.short(&error))),
        };
        CostRow {
            schema: COST_SCHEMA,
            id: self.cost_id(artefact),
            artefact: artefact.to_string(),
            model: model.to_string(),
            profile: self.name.clone(),
            kind: CostKind::Modelled,
            by: self.cost.as_ref().map_or_else(String::new, |section| section.name().to_string()),
            result,
            reason,
            observed,
        }
    }

    /// Why an artefact does not run here, in the words of a table.
    fn short(&self, error: &CostError) -> String {
        match error {
            CostError::Width { layer, what, bits, have, .. } => {
                let have: Vec<String> = have.iter().map(ToString::to_string).collect();
                format!("no {bits}-bit {what} ({layer}); it has {} bits", have.join(", "))
            }
            CostError::Mapping { layer, reason, .. } => format!("no mapping of {layer}: {reason}"),
            CostError::NoModel { .. } => format!("{} has no model", self.name),
        }
    }
}

fn result_of(cost: &ModelledCost) -> CostResult {
    let total = &cost.total;
    let outside = total.traffic.iter().any(|flow| flow.level == Level::Dram);
    CostResult {
        seconds: total.seconds,
        spread: None,
        joules: Some(total.energy.total_j()).filter(|joules| *joules > 0.0),
        dram_bytes: outside.then(|| total.bytes_at(Level::Dram)),
        macs: total.macs,
        utilisation: Some(total.utilisation),
        reference: cost.speed_up.reference.clone(),
        speed_up: cost.speed_up.modelled,
        ceiling: Some(cost.speed_up.ceiling),
        roofs: cost.rooflines.iter().map(roof).collect(),
        layers: cost.layers.iter().map(layer).collect(),
        notes: cost.notes.clone(),
    }
}

fn roof(roofline: &Roofline) -> Roof {
    Roof {
        weight_bits: roofline.weight_bits,
        activation_bits: roofline.activation_bits,
        peak_ops_per_s: roofline.peak_ops_per_s,
        bytes_per_s: roofline.bytes_per_s,
    }
}

fn layer(layer: &ModelledLayer) -> LayerCostRow {
    LayerCostRow {
        layer: layer.layer.clone(),
        weight_bits: layer.weight_bits,
        activation_bits: layer.activation_bits,
        macs: layer.macs,
        bit_operations: layer.bit_operations,
        bytes: layer.bytes.input + layer.bytes.weights + layer.bytes.output,
        seconds: Some(layer.seconds),
        joules: Some(layer.energy.total_j()).filter(|joules| *joules > 0.0),
        limit: Some(match layer.bound {
            Bound::Compute => Limit::Compute,
            Bound::Memory => Limit::Memory,
        }),
    }
}
