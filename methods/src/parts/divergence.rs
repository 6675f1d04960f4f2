//! How far two networks' predictions are apart.

/// Predicted distributions that others are compared with: the softmax of logits, in double
/// precision, with its logarithm.
pub struct Reference {
    classes: usize,
    probability: Vec<f64>,
    log: Vec<f64>,
}

impl Reference {
    /// The distributions of finite logits, `classes` per image.
    pub fn new(logits: &[f32], classes: usize) -> Self {
        let classes = classes.max(1);
        let mut log = Vec::with_capacity(logits.len());
        for image in logits.chunks(classes) {
            let shift = log_sum(image);
            log.extend(image.iter().map(|&v| f64::from(v) - shift));
        }
        let probability = log.iter().map(|v| v.exp()).collect();
        Self { classes, probability, log }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.log.len() / self.classes
    }

    /// Kullback-Leibler divergence `sum p ln(p / q)` in nats of image `i`, `q` being the softmax
    /// of other finite logits.
    ///
    /// It is computed from logarithms, so that no probability underflows. Rounding can make it
    /// slightly negative: that counts as zero.
    pub fn divergence(&self, i: usize, logits: &[f32]) -> f64 {
        let at = i * self.classes..(i + 1) * self.classes;
        let (p, log) = (&self.probability[at.clone()], &self.log[at]);
        let shift = log_sum(logits);
        let terms = p.iter().zip(log).zip(logits);
        let sum: f64 = terms.map(|((p, log), &v)| p * (log - (f64::from(v) - shift))).sum();
        sum.max(0.0)
    }
}

/// `ln sum exp` of an image's logits.
fn log_sum(logits: &[f32]) -> f64 {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    top + logits.iter().map(|&v| (f64::from(v) - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zero_for_equals_and_positive_otherwise(
            a in prop::collection::vec(-50f32..50.0, 2..12), d in 0.1f32..20.0, shift in -9f32..9.0,
        ) {
            let reference = Reference::new(&a, a.len());
            prop_assert!((reference.probability.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert_eq!(reference.divergence(0, &a), 0.0);
            let mut moved = a.clone();
            moved[0] += d;
            let found = reference.divergence(0, &moved);
            prop_assert!(found >= 0.0);
            // Against the definition, where nothing underflows.
            let softmax = |l: &[f32]| -> Vec<f64> {
                let powers: Vec<f64> = l.iter().map(|&v| f64::from(v).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.iter().map(|p| p / sum).collect()
            };
            let (p, q) = (softmax(&a), softmax(&moved));
            let want: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
            prop_assert!((found - want).abs() <= 1e-9 * (1.0 + want), "{found} {want}");
            // A constant on all logits changes nothing.
            let shifted: Vec<f32> = a.iter().map(|v| v + shift).collect();
            prop_assert!(reference.divergence(0, &shifted) < 1e-4);
        }
    }

    #[test]
    fn a_known_value_and_extreme_logits() {
        let logits = [0.0, 0.0, 0.0, 3f32.ln()];
        let reference = Reference::new(&logits, 2);
        assert_eq!(reference.images(), 2);
        let want = 0.5 * 2f64.ln() + 0.5 * (0.5f64 / 0.75).ln();
        assert!((reference.divergence(0, &logits[2..]) - want).abs() < 1e-7);
        let far = Reference::new(&[1000.0, -1000.0], 2).divergence(0, &[-1000.0, 1000.0]);
        assert!((far - 2000.0).abs() < 1e-9);
    }
}
