//! The smallest change of a spec that wins most of the drop back.

use std::collections::BTreeSet;

use quantbench_core::row::Accuracy;
use quantbench_core::{Bits, Spec, Widths};
use quantbench_graph::sites;
use quantbench_methods::find;
use serde::Serialize;

use super::single::Parts;
use super::{Bench, LayerFinding};
use crate::config::snippet;
use crate::work::error::WorkError;
use crate::work::make::Progress;

/// A spec that gives the most harmful layers other widths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remedy {
    /// Which key of a spec does it: `exclude` or `layer_bits`.
    pub key: &'static str,
    /// The layers, the most harmful first.
    pub layers: Vec<String>,
    /// The whole spec.
    pub spec: Spec,
    /// The spec as a survey writes it.
    pub yaml: String,
    /// What the method reaches with it on the same images.
    pub accuracy: Accuracy,
    /// Share of the drop that is won back; negative if it loses more.
    pub recovered: f64,
}

/// What the search starts from.
pub(super) struct Remedies<'a> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) fp32: Accuracy,
    pub(super) quantized: Accuracy,
    /// The most harmful first.
    pub(super) layers: &'a [LayerFinding],
}

impl Remedies<'_> {
    /// Takes layers out one by one, the most harmful alone first, until what is left of the drop
    /// is at most `1 - recover` of it; then lets the method run with these layers excluded, and
    /// with them at eight bits.
    ///
    /// On the way the other quantizers stay as they are; the accuracy of a remedy is that of a
    /// fresh run. At least one layer stays quantized. No remedy where not even one image is lost
    /// or where all but one layer do not suffice; the text says so.
    pub(super) fn find(
        &self,
        bench: &Bench<'_>,
        spec: &Spec,
        recover: f64,
        progress: &mut Progress<'_>,
    ) -> Result<(Vec<Remedy>, Option<String>), WorkError> {
        if self.lost(self.quantized) <= 0.0 {
            return Ok((
                Vec::new(),
                Some("nothing is lost, so there is nothing to exclude".into()),
            ));
        }
        let quantized: Vec<&str> = self
            .layers
            .iter()
            .filter(|f| f.weight_bits.is_quantized() || f.activation_bits.is_quantized())
            .map(|f| f.layer.as_str())
            .collect();
        let most = quantized.len().saturating_sub(1);
        for n in 1..=most {
            progress(n - 1, most, "layers to exclude");
            bench.go_on()?;
            let layers = &quantized[..n];
            let asked = excluding(spec, layers);
            let kept = sites(&bench.folded, &asked)?.activations.into_iter().map(|s| s.value);
            let less = self.parts.without(layers, &kept.collect::<BTreeSet<String>>())?;
            let accuracy = bench.accuracy(&less, &mut |_, _, _| {})?;
            if self.recovered(accuracy) >= recover {
                return Ok((self.made(bench, spec, layers, progress)?, None));
            }
        }
        let text = format!(
            "excluding any number of layers in this order wins back less than {:.0} % of the drop",
            100.0 * recover
        );
        Ok((Vec::new(), Some(text)))
    }

    /// The remedies for these layers, by fresh runs of the method.
    fn made(
        &self,
        bench: &Bench<'_>,
        spec: &Spec,
        layers: &[&str],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Remedy>, WorkError> {
        let mut specs = vec![("exclude", excluding(spec, layers))];
        let wide = widened(spec, layers);
        if find(bench.request.method)?.card().fits_spec(&wide).is_ok() && wide != *spec {
            specs.push(("layer_bits", wide));
        }
        let mut remedies = Vec::new();
        for (key, spec) in specs {
            let artefact = bench.make(&spec, progress)?;
            let accuracy = bench.accuracy(&artefact, progress)?;
            let layers = layers.iter().map(ToString::to_string).collect();
            let (yaml, recovered) = (snippet(&spec), self.recovered(accuracy));
            remedies.push(Remedy { key, layers, spec, yaml, accuracy, recovered });
        }
        Ok(remedies)
    }

    /// Points lost against FP32.
    fn lost(&self, accuracy: Accuracy) -> f64 {
        self.fp32.percent() - accuracy.percent()
    }

    /// Share of the drop that is won back.
    fn recovered(&self, accuracy: Accuracy) -> f64 {
        1.0 - self.lost(accuracy) / self.lost(self.quantized)
    }
}

/// The spec with these layers in FP32.
fn excluding(spec: &Spec, layers: &[&str]) -> Spec {
    let mut spec = spec.clone();
    for layer in layers {
        spec.layer_bits.remove(*layer);
        spec.exclude.insert((*layer).to_string());
    }
    spec
}

/// The spec with these layers at eight bits (activations that are not quantized stay so).
fn widened(spec: &Spec, layers: &[&str]) -> Spec {
    let mut spec = spec.clone();
    for layer in layers {
        let own = spec.layer_bits.get(*layer).copied().unwrap_or(spec.bits);
        let activations = own.activations.max(Bits::EIGHT);
        let eight = Widths { weights: own.weights.max(Bits::EIGHT), ternary: false, activations };
        spec.layer_bits.insert((*layer).to_string(), eight);
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_touch_the_named_layers_only() {
        let mut spec = Spec::from_widths("w4a32".parse().unwrap());
        spec.layer_bits.insert("a".into(), "w2a4".parse().unwrap());
        let wide = widened(&spec, &["a", "b"]);
        assert_eq!(wide.layer_bits_label(), "a:w8a8+b:w8a32");
        let less = excluding(&spec, &["a", "b"]);
        assert_eq!((less.exclude_label().as_str(), less.layer_bits.len()), ("a+b", 0));
        assert_eq!((less.bits, less.sites), (spec.bits, spec.sites));
    }
}
