//! Mean and interval over draws of calibration images and seeds.

use super::{Interval, t_quantile};

/// Mean of some observations with its interval, in their unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n - 1); none with fewer than two observations.
    pub sd: Option<f64>,
    /// 95 % interval of the mean by Student's t; none with fewer than two observations.
    pub interval: Option<Interval>,
    /// Number of observations.
    pub n: usize,
}

/// Mean, standard deviation and t-based 95 % interval of the mean of independent observations.
///
/// None without any observation. One observation has a mean and no interval: its spread is
/// unknown, which is not the same as zero.
pub fn over_draws(values: &[f64]) -> Option<Mean> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Some(Mean { mean, sd: None, interval: None, n });
    }
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1) as f64;
    let sd = variance.sqrt();
    let half = t_quantile(0.975, n - 1) * sd / (n as f64).sqrt();
    let interval = Some(Interval { low: mean - half, high: mean + half });
    Some(Mean { mean, sd: Some(sd), interval, n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_draws_by_hand() {
        // Mean 90, sd 1, half width 4.302653 / sqrt(3).
        let m = over_draws(&[89.0, 90.0, 91.0]).unwrap();
        assert_eq!((m.mean, m.sd, m.n), (90.0, Some(1.0), 3));
        assert!((m.interval.unwrap().half_width() - 2.484_138).abs() < 1e-5);
    }

    #[test]
    fn one_draw_has_no_interval_and_none_no_mean() {
        let one = over_draws(&[90.0]).unwrap();
        assert_eq!((one.mean, one.sd, one.interval), (90.0, None, None));
        assert_eq!(over_draws(&[]), None);
    }

    #[test]
    fn equal_draws_have_an_interval_of_no_width() {
        let interval = over_draws(&[90.0, 90.0]).unwrap().interval.unwrap();
        assert_eq!(interval, Interval { low: 90.0, high: 90.0 });
    }

    proptest! {
        #[test]
        fn contains_its_mean(values in prop::collection::vec(0.0_f64..100.0, 2..20)) {
            let m = over_draws(&values).unwrap();
            let i = m.interval.unwrap();
            prop_assert!(i.low <= m.mean && m.mean <= i.high);
        }

        #[test]
        fn shrinks_when_the_same_spread_is_seen_more_often(values in prop::collection::vec(0.0_f64..100.0, 2..10)) {
            prop_assume!(values.iter().any(|v| (v - values[0]).abs() > 1e-3));
            let twice: Vec<f64> = values.iter().chain(&values).copied().collect();
            let width = |v: &[f64]| over_draws(v).unwrap().interval.unwrap().half_width();
            prop_assert!(width(&twice) < width(&values));
        }
    }
}
