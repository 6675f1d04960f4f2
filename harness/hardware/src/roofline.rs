//! Rooflines, and the ceiling of a speed-up.

use serde::Serialize;

use crate::cost::TargetModel;
use crate::modelled::{Level, ModelledLayer};

/// The two roofs of a target at one pair of widths. A multiply-accumulate is two operations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Roofline {
    /// Width of the weights in bits.
    pub weight_bits: u8,
    /// Width of the activations in bits.
    pub activation_bits: u8,
    /// Operations per second of all units.
    pub peak_ops_per_s: f64,
    /// Bytes per second of the memory outside the chip; none where there is no such memory.
    pub bytes_per_s: Option<f64>,
}

impl Roofline {
    /// The roofs of a model.
    pub fn of(model: &dyn TargetModel, weight_bits: u8, activation_bits: u8) -> Self {
        Self {
            weight_bits,
            activation_bits,
            peak_ops_per_s: 2.0
                * model.peak_macs_per_cycle(weight_bits, activation_bits)
                * model.hertz(),
            bytes_per_s: model.dram().map(|d| d.gb_per_s.get() * 1e9),
        }
    }

    /// Operations per byte from which on arithmetic is what one waits for.
    pub fn ridge_ops_per_byte(&self) -> Option<f64> {
        self.bytes_per_s.map(|b| self.peak_ops_per_s / b)
    }

    /// The least time of so many operations and bytes: `max(ops/P, bytes/B)`.
    pub fn least_seconds(&self, ops: f64, bytes: f64) -> f64 {
        let memory = self.bytes_per_s.map_or(0.0, |b| bytes / b);
        (ops / self.peak_ops_per_s).max(memory)
    }
}

/// The rooflines of all pairs of widths in use, in ascending order.
pub(crate) fn rooflines(model: &dyn TargetModel, layers: &[ModelledLayer]) -> Vec<Roofline> {
    let pairs: std::collections::BTreeSet<(u8, u8)> =
        layers.iter().map(|l| (l.weight_bits, l.activation_bits)).collect();
    pairs.into_iter().map(|(w, a)| Roofline::of(model, w, a)).collect()
}

/// Time against the same network with the widest operands of the same target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpeedUp {
    /// Widths that it is measured against, for example `w16a16`.
    pub reference: String,
    /// Time of the reference over time.
    pub modelled: f64,
    /// The most that peaks and bandwidth allow, see [`ceiling`].
    pub ceiling: f64,
    /// The ceiling of every layer.
    pub layer_ceilings: Vec<f64>,
}

impl SpeedUp {
    /// Of `layers` over `reference`, the same layers at the widths `(w, a)`.
    pub(crate) fn over(
        model: &dyn TargetModel,
        (w, a): (u8, u8),
        reference: &[ModelledLayer],
        layers: &[ModelledLayer],
    ) -> Self {
        let time = |all: &[ModelledLayer]| {
            all.iter().map(|l| l.seconds).sum::<f64>() + model.overhead_seconds()
        };
        let least = |all: &[ModelledLayer]| -> Vec<f64> {
            let each = all.iter().map(|l| {
                let roofs = Roofline::of(model, l.weight_bits, l.activation_bits);
                roofs.least_seconds(2.0 * l.macs as f64, l.bytes_at(Level::Dram) as f64)
            });
            each.collect()
        };
        let (slow, fast) = (least(reference), least(layers));
        Self {
            reference: format!("w{w}a{a}"),
            modelled: ratio(time(reference), time(layers)),
            ceiling: ceiling(&slow, &fast),
            layer_ceilings: slow.iter().zip(&fast).map(|(s, f)| ratio(*s, *f)).collect(),
        }
    }
}

/// Ceiling of a network's speed-up: the sum of its layers' least times as reference over the sum
/// of their least times as quantized, each `max(ops/P, bytes/B)` ([`Roofline::least_seconds`])
/// with the peak and the bandwidth of one and the same target.
pub fn ceiling(reference: &[f64], quantized: &[f64]) -> f64 {
    ratio(reference.iter().sum(), quantized.iter().sum())
}

fn ratio(slow: f64, fast: f64) -> f64 {
    if fast > 0.0 { slow / fast } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roofs(peak: f64) -> Roofline {
        Roofline {
            weight_bits: 8,
            activation_bits: 8,
            peak_ops_per_s: peak,
            bytes_per_s: Some(10.0),
        }
    }

    #[test]
    fn the_ceiling_lies_between_the_ratio_of_bytes_and_that_of_peaks() {
        let (fp32, int8) = (roofs(100.0), roofs(200.0));
        // Left of the ridge bytes decide (4 x fewer), right of it peaks (2 x higher).
        let memory = (fp32.least_seconds(10.0, 40.0), int8.least_seconds(10.0, 10.0));
        let compute = (fp32.least_seconds(1e4, 40.0), int8.least_seconds(1e4, 10.0));
        assert_eq!(memory.0 / memory.1, 4.0);
        assert_eq!(compute.0 / compute.1, 2.0);
        let both = ceiling(&[memory.0, compute.0], &[memory.1, compute.1]);
        assert!(both > 2.0 && both < 4.0, "{both}");
        assert_eq!(fp32.ridge_ops_per_byte(), Some(10.0));
    }
}
