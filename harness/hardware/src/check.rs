//! Whether a spec runs on a target, and the nearest one that does.

use std::collections::BTreeSet;

use quantbench_core::{Bits, FirstLast, ImageRule, SitesRule, Spec, Widths};
use thiserror::Error;

use crate::profile::Profile;

/// A spec that a target cannot run in integers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{profile} cannot run {} in integers: {reason}{}", asked.bits, nearest_text(nearest.as_ref()))]
pub struct Unfit {
    /// Name of the profile.
    pub profile: String,
    /// What was asked.
    pub asked: Spec,
    /// What does not fit.
    pub reason: String,
    /// The nearest spec that fits, if there is one.
    pub nearest: Option<Spec>,
}

fn nearest_text(nearest: Option<&Spec>) -> String {
    nearest.map_or_else(String::new, |s| {
        let own = if s.layer_bits.is_empty() {
            String::new()
        } else {
            format!(" and layer_bits {}", s.layer_bits_label())
        };
        format!("; nearest that fits: {} with {} sites and image {}{own}", s.bits, s.sites, s.image)
    })
}

impl Profile {
    /// Whether every layer of a network quantized to `spec` runs in integers here.
    ///
    /// # Errors
    /// [`Unfit`] with the first reason and the nearest spec that fits: the same spec with each
    /// width raised to the next one that the target has.
    pub fn check(&self, spec: &Spec) -> Result<(), Box<Unfit>> {
        match self.first_obstacle(spec) {
            None => Ok(()),
            Some(reason) => Err(Box::new(Unfit {
                profile: self.name.clone(),
                asked: spec.clone(),
                reason,
                nearest: self.nearest(spec),
            })),
        }
    }

    fn first_obstacle(&self, spec: &Spec) -> Option<String> {
        let has = &self.executes;
        let (w, a) = (spec.bits.weights, spec.bits.activations);
        if spec.bits.ternary && !has.ternary {
            return Some("it has no mapping for ternary weights".to_string());
        }
        if !spec.bits.ternary && !has.weight_bits.contains(&w.get()) {
            return Some(format!("its weight widths are {:?}, not {w}", has.weight_bits));
        }
        if !has.activation_bits.contains(&a.get()) {
            return Some(format!("its activation widths are {:?}, not {a}", has.activation_bits));
        }
        if has.sites == SitesRule::Deployable && spec.sites == SitesRule::Academic {
            return Some("academic sites leave some layers without a quantized output".to_string());
        }
        if !spec.image_bits().is_quantized() {
            return Some("the image is not quantized".to_string());
        }
        if spec.first_last == FirstLast::Fp32 {
            return Some("the first and the last layer are left in FP32".to_string());
        }
        let first_last = spec.first_last_weight_bits();
        // Ternary first and last layers were settled above.
        let ternary = spec.bits.ternary && spec.first_last == FirstLast::Same;
        for (what, bits, widths) in [
            ("the first and last layer's weights", first_last, &has.weight_bits),
            ("the last layer's input", spec.last_activation_bits(), &has.activation_bits),
            ("the image", spec.image_bits(), &has.activation_bits),
        ] {
            let settled = ternary && bits == first_last;
            if !settled && !widths.contains(&bits.get()) {
                return Some(format!("{what} would have {bits} bits, its widths are {widths:?}"));
            }
        }
        if !spec.exclude.is_empty() {
            return Some(format!("layers are kept in FP32 ({})", spec.exclude_label()));
        }
        let own = spec.layer_bits.iter().find(|(_, own)| !self.has_widths(**own));
        if let Some((layer, own)) = own {
            return Some(format!("layer {layer:?} would have {own}, which it has not"));
        }
        if !has.per_channel_weights {
            return Some("the methods here give weights a scale per output channel".to_string());
        }
        None
    }

    /// Whether a layer of these widths runs in integers here.
    fn has_widths(&self, own: Widths) -> bool {
        let has = &self.executes;
        let weights =
            if own.ternary { has.ternary } else { has.weight_bits.contains(&own.weights.get()) };
        weights && has.activation_bits.contains(&own.activations.get())
    }

    fn nearest(&self, spec: &Spec) -> Option<Spec> {
        let has = &self.executes;
        if !has.per_channel_weights {
            return None;
        }
        // Widths that no spec can ask for (16 bits) are of no use as an answer.
        let up = |widths: &[u8], asked: Bits| {
            let known: Vec<Bits> = widths.iter().filter_map(|&b| Bits::new(b).ok()).collect();
            known.iter().find(|b| **b >= asked).or(known.last()).copied()
        };
        let ternary = spec.bits.ternary && has.ternary;
        let weights =
            if ternary { spec.bits.weights } else { up(&has.weight_bits, spec.bits.weights)? };
        let activations = up(&has.activation_bits, spec.bits.activations)?;
        // Eight bits for image, first and last layer where the target has them, as asked or not.
        let eight = |widths: &[u8]| widths.contains(&8);
        let image = match spec.image {
            ImageRule::Same => ImageRule::Same,
            _ if eight(&has.activation_bits) => ImageRule::EightBit,
            _ => ImageRule::Same,
        };
        let first_last = match spec.first_last {
            FirstLast::Same => FirstLast::Same,
            _ if eight(&has.weight_bits) && eight(&has.activation_bits) => FirstLast::EightBit,
            _ => FirstLast::Same,
        };
        let bits = Widths { weights, ternary, activations };
        let sites = has.sites.max(spec.sites);
        // Rules for single layers that it cannot follow give way to the common widths.
        let layer_bits = spec.layer_bits.iter().filter(|(_, own)| self.has_widths(**own));
        let layer_bits = layer_bits.map(|(layer, own)| (layer.clone(), *own)).collect();
        Some(Spec { bits, sites, image, first_last, exclude: BTreeSet::new(), layer_bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(label: &str) -> Spec {
        Spec::from_widths(label.parse().unwrap())
    }

    #[test]
    fn eight_bits_run_everywhere_and_the_nearest_spec_always_fits() {
        for profile in Profile::builtin().unwrap() {
            assert_eq!(profile.check(&spec("w8a8")), Ok(()), "{}", profile.name);
            for label in ["w4a4", "w3a3", "w2a2", "w4a32", "w2ta8", "w2ta32", "w1a1", "w6a6"] {
                if let Err(unfit) = profile.check(&spec(label)) {
                    let nearest = unfit.nearest.unwrap();
                    assert_eq!(profile.check(&nearest), Ok(()), "{} {label}", profile.name);
                }
            }
        }
    }

    #[test]
    fn first_last_image_and_granularity_count_too() {
        let profiles = Profile::builtin().unwrap();
        let mut narrow = profiles.iter().find(|p| p.name == "bitfusion").unwrap().clone();
        narrow.executes.weight_bits = vec![2, 4];
        narrow.executes.activation_bits = vec![2, 4];
        let unfit = narrow.check(&spec("w4a4")).unwrap_err();
        assert!(unfit.reason.contains("first and last layer's weights would have 8 bits"));
        assert_eq!(narrow.check(&unfit.nearest.unwrap()), Ok(()));
        let fp32 = Spec { first_last: FirstLast::Fp32, ..spec("w8a8") };
        let avx2 = profiles.iter().find(|p| p.name == "x86-avx2").unwrap();
        assert!(avx2.check(&fp32).unwrap_err().reason.contains("left in FP32"));
        narrow.executes.per_channel_weights = false;
        assert_eq!(
            narrow
                .check(&Spec {
                    first_last: FirstLast::Same,
                    image: ImageRule::Same,
                    ..spec("w4a4")
                })
                .unwrap_err()
                .nearest,
            None
        );
    }

    #[test]
    fn the_reason_names_the_widths_that_the_target_has() {
        let profiles = Profile::builtin().unwrap();
        let avx2 = profiles.iter().find(|p| p.name == "x86-avx2").unwrap();
        let message = avx2.check(&spec("w4a4")).unwrap_err().to_string();
        assert_eq!(
            message,
            "x86-avx2 cannot run w4a4 in integers: its weight widths are [8], not 4; \
             nearest that fits: w8a8 with deployable sites and image 8bit"
        );
    }
}
