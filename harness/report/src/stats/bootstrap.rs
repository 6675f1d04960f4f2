//! Intervals over draws and seeds without an assumption on their distribution.

use quantbench_core::rng::Rng;

use super::Interval;

/// Resamples.
const RESAMPLES: usize = 2000;

/// Percentile bootstrap: the 95 % interval of the mean of independent observations (B. Efron,
/// R. J. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13).
///
/// The same observations give the same interval anywhere. None with fewer than five: with less
/// there are too few different resamples, and Student's interval is the one to read.
pub fn bootstrap_mean(values: &[f64]) -> Option<Interval> {
    if values.len() < 5 {
        return None;
    }
    let mut rng = Rng::from_parts(&["bootstrap of a mean"]);
    let mut mean = || {
        let picked = (0..values.len()).map(|_| values[rng.below(values.len() as u64) as usize]);
        picked.sum::<f64>() / values.len() as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean()).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLES as f64 * share) as usize).min(RESAMPLES - 1)];
    Some(Interval { low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_near_students_for_many_even_draws_and_the_same_each_time() {
        let values: Vec<f64> = (0..40).map(|i| 90.0 + f64::from(i % 8) * 0.1).collect();
        let interval = bootstrap_mean(&values).unwrap();
        let student = super::super::over_draws(&values).unwrap().interval.unwrap();
        assert!((interval.low - student.low).abs() < 0.02, "{interval:?} {student:?}");
        assert!((interval.high - student.high).abs() < 0.02);
        assert_eq!(bootstrap_mean(&values), Some(interval));
        assert_eq!(bootstrap_mean(&[1.0, 2.0, 3.0, 4.0]), None);
    }
}
