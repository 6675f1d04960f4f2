//! What becomes of a part's output in the network behind it (Liu et al. 2023, equation 5).

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::distillation;
use quantbench_engine::autodiff::{Map, Network, Tape, Unchanged, Value, Var};

use super::settings::Difference;
use super::unfit;
use crate::contract::MethodError;

/// The network behind a part, in float, and what the FP32 network gives.
pub(super) struct Behind<'a> {
    /// None behind the last part.
    pub(super) network: Option<Network>,
    /// Output of the FP32 network for all images.
    pub(super) logits: &'a Map,
    pub(super) how: Difference,
}

impl Behind<'_> {
    /// The divergence of the FP32 network's output from that which a part's output leads to, and
    /// what it counts.
    pub(super) fn loss(
        &self,
        tape: &mut Tape,
        output: Var,
        picked: &[usize],
        method: &'static str,
    ) -> Result<(Var, f32), MethodError> {
        let logits = match &self.network {
            None => Some(output),
            Some(network) => {
                let constant = |tensor: &Tensor| Value::Flat(tensor.clone());
                let parameters = network.parameters().iter();
                let parameters: BTreeMap<String, Var> =
                    parameters.map(|(n, t)| (n.clone(), tape.constant(constant(t)))).collect();
                let inputs = BTreeMap::from([(network.input().to_string(), output)]);
                let run = network.run(tape, inputs, &parameters, false, &mut Unchanged)?;
                run.values.get(network.output()).copied()
            }
        };
        let (temperature, target) = (self.how.temperature as f32, self.logits.gather(picked));
        let loss = logits.and_then(|l| distillation(tape, l, &target, temperature));
        let loss = loss.ok_or_else(|| {
            unfit(method, "the network's output is not one number per class and image")
        })?;
        // Distillation counts the divergence times the squared temperature.
        Ok((loss, (self.how.weight / f64::from(temperature).powi(2)) as f32))
    }
}
