//! Wilson's score interval of a proportion.

use super::Interval;

/// 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of `successes` out of `trials`, as proportions in [0, 1].
///
/// `successes` may be a mean over draws and therefore a fraction: the draws share their test
/// images, so that `trials` stays the number of images and is not multiplied by the draws.
/// With no trial nothing is known and the interval is [0, 1].
///
/// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
/// JASA 22 (1927); in the form of Agresti and Coull (1998), without continuity correction.
pub fn wilson(successes: f64, trials: f64) -> Interval {
    if trials <= 0.0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let p = (successes / trials).clamp(0.0, 1.0);
    let shrink = 1.0 + Z * Z / trials;
    let centre = (p + Z * Z / (2.0 * trials)) / shrink;
    let half = Z / shrink * (p * (1.0 - p) / trials + Z * Z / (4.0 * trials * trials)).sqrt();
    // At p = 0 and p = 1 one end is exactly p; rounding must not push it past the estimate.
    Interval { low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_scipy() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        for (k, n, low, high) in [
            (50.0, 100.0, 0.403_831_5, 0.596_168_5),
            (0.0, 10.0, 0.0, 0.277_532_8),
            (10.0, 10.0, 0.722_467_2, 1.0),
            (9173.0, 10_000.0, 0.911_740_1, 0.922_539_4),
        ] {
            let got = wilson(k, n);
            assert!((got.low - low).abs() < 1e-6, "{k}/{n}: low {} for {low}", got.low);
            assert!((got.high - high).abs() < 1e-6, "{k}/{n}: high {} for {high}", got.high);
        }
    }

    #[test]
    fn no_trial_tells_nothing() {
        assert_eq!(wilson(0.0, 0.0), Interval { low: 0.0, high: 1.0 });
    }

    proptest! {
        #[test]
        fn contains_its_estimate_within_the_unit_interval(n in 1_u32..200_000, share in 0.0_f64..=1.0) {
            let n = f64::from(n);
            let k = (share * n).floor();
            let i = wilson(k, n);
            prop_assert!(0.0 <= i.low && i.low <= k / n && k / n <= i.high && i.high <= 1.0);
            prop_assert!(i.low < i.high);
        }

        #[test]
        fn shrinks_with_more_images(n in 1_u32..50_000, share in 0.0_f64..=1.0, times in 2_u32..20) {
            let (n, times) = (f64::from(n), f64::from(times));
            let k = (share * n).floor();
            prop_assert!(wilson(k * times, n * times).half_width() < wilson(k, n).half_width());
        }

        #[test]
        fn is_symmetric_in_hits_and_misses(n in 1_u32..50_000, share in 0.0_f64..=1.0) {
            let n = f64::from(n);
            let k = (share * n).floor();
            let (hits, misses) = (wilson(k, n), wilson(n - k, n));
            prop_assert!((hits.low - (1.0 - misses.high)).abs() < 1e-12);
        }
    }
}
