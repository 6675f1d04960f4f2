//! Mean and spread of a channel of weights, restored after rounding (Banner et al. 2019,
//! arXiv:1810.05723, section 5, equations 12 and 13).

/// Mean and standard deviation (of the population).
pub(super) fn of(values: &[f32]) -> (f64, f64) {
    let count = (values.len() as f64).max(1.0);
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// Scale and zero point under which codes have the standard deviation of `row` and the mean that
/// is nearest to its own; those given where the codes are all the same.
///
/// The zero point may lie outside the codes of the grid.
pub(super) fn restore(row: &[f32], codes: &[i32], scale: f32, zero: i32) -> (f32, i32) {
    let (mean, deviation) = of(row);
    let codes: Vec<f32> = codes.iter().map(|&q| q as f32).collect();
    let (middle, spread) = of(&codes);
    let step = (deviation / spread) as f32;
    if !(spread > 0.0 && step > 0.0 && step.is_finite()) {
        return (scale, zero);
    }
    let zero = (middle - mean / f64::from(step)).round_ties_even().clamp(-1e6, 1e6);
    (step, zero as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_give_known_parameters() {
        assert_eq!(of(&[1.0, 3.0]), (2.0, 1.0));
        // Codes 0 and 4 have mean 2 and deviation 2: a step of 1/2; the mean 2 is four steps up.
        assert_eq!(restore(&[1.0, 3.0], &[0, 4], 1.0, 0), (0.5, -2));
        assert_eq!(restore(&[1.0, 3.0], &[2, 2], 0.7, 1), (0.7, 1));
        assert_eq!(restore(&[2.0, 2.0], &[2, 3], 0.7, 1), (0.7, 1));
    }
}
