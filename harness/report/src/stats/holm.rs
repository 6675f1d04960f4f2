//! Several tests at once.

/// Holm's step-down adjustment: p-values that keep the chance of any false finding below the
/// level at which they are read, in the order given.
///
/// S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut before = 0.0_f64;
    for (rank, i) in order.into_iter().enumerate() {
        before = before.max(p[i] * (p.len() - rank) as f64).min(1.0);
        adjusted[i] = before;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn adjusted_values_are_those_of_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, want) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - want).abs() < 1e-12, "{found} {want}");
        }
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn none_falls_and_order_stays(p in prop::collection::vec(0.0_f64..=1.0, 1..20)) {
            let adjusted = holm(&p);
            for (i, a) in adjusted.iter().enumerate() {
                prop_assert!(*a >= p[i] && *a <= 1.0);
                for (j, b) in adjusted.iter().enumerate() {
                    prop_assert!(p[i] > p[j] || a <= b);
                }
            }
        }
    }
}
