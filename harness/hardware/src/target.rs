//! A target's cost as methods may ask for it.

use quantbench_core::{Bits, CostModel, LayerCost};

use crate::cost::{Before, CostError};
use crate::profile::Profile;
use crate::workload::{WorkKind, Workload};

/// The cost of single layers of one network on one target, for methods that choose widths.
///
/// What lies before a layer counts at the widths of the workload that was given. A layer that the
/// target has no mapping or no units for costs infinitely much.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetCost {
    profile: Profile,
    workload: Workload,
    /// Index in the workload of every layer with weights.
    layers: Vec<usize>,
    /// What lies before each of the workload's layers.
    before: Vec<Before>,
}

impl TargetCost {
    /// The costs of a network on a target.
    ///
    /// # Errors
    /// [`CostError::NoModel`] for a profile without a model.
    pub fn new(profile: &Profile, workload: &Workload) -> Result<Self, CostError> {
        profile.section()?;
        let weighted = |(i, work): (usize, &crate::workload::Work)| {
            (work.kind != WorkKind::Product).then_some(i)
        };
        let mut sum = Before::default();
        let before = workload.layers.iter().map(|work| {
            let here = sum;
            sum.weight_bytes = sum.weight_bytes.saturating_add(work.stored_bytes());
            here
        });
        Ok(Self {
            profile: profile.clone(),
            layers: workload.layers.iter().enumerate().filter_map(weighted).collect(),
            before: before.collect(),
            workload: workload.clone(),
        })
    }
}

impl CostModel for TargetCost {
    fn layer(&self, layer: usize, weights: Bits, activations: Bits) -> LayerCost {
        let never = LayerCost { seconds: f64::INFINITY, joules: f64::INFINITY };
        let Some(&index) = self.layers.get(layer) else { return never };
        let Ok(section) = self.profile.section() else { return never };
        let work = self.workload.layers[index].clone().at(weights.get(), activations.get());
        match self.profile.one(section.model(), &work, self.before[index]) {
            Ok(cost) => LayerCost {
                seconds: cost.seconds / work.images as f64,
                joules: cost.energy.total_j() / work.images as f64,
            },
            Err(_) => never,
        }
    }
}
