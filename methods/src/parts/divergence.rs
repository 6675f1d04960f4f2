//! How far two networks' predictions are apart.

/// Softmax in double precision.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&v| (f64::from(v) - f64::from(top)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// Mean over images of the Kullback-Leibler divergence `sum p ln(p / q)` in nats.
///
/// Rounding can make a divergence slightly negative: that counts as zero. A probability that
/// underflowed is taken as the smallest positive number.
pub fn mean_divergence(p: &[Vec<f64>], q: &[Vec<f64>]) -> f64 {
    let one = |p: &[f64], q: &[f64]| {
        let terms = p.iter().zip(q).filter(|(p, _)| **p > 0.0);
        terms.map(|(p, q)| p * (p / q.max(f64::MIN_POSITIVE)).ln()).sum::<f64>().max(0.0)
    };
    let total: f64 = p.iter().zip(q).map(|(p, q)| one(p, q)).sum();
    total / p.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::slice::from_ref;

    proptest! {
        #[test]
        fn zero_for_equals_and_positive_otherwise(a in prop::collection::vec(-50f32..50.0, 2..12), d in 0.1f32..20.0) {
            let (p, mut moved) = (softmax(&a), a.clone());
            moved[0] += d;
            let q = softmax(&moved);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert_eq!(mean_divergence(from_ref(&p), from_ref(&p)), 0.0);
            prop_assert!(mean_divergence(&[p], &[q]) >= 0.0);
        }
    }

    #[test]
    fn a_known_value_and_extreme_logits() {
        let (p, q) = (vec![0.5, 0.5], vec![0.25, 0.75]);
        let want = 0.5 * 2f64.ln() + 0.5 * (0.5f64 / 0.75).ln();
        assert!((mean_divergence(&[p], &[q]) - want).abs() < 1e-12);
        let far = mean_divergence(&[softmax(&[1000.0, -1000.0])], &[softmax(&[-1000.0, 1000.0])]);
        assert!(far.is_finite() && far > 100.0);
    }
}
