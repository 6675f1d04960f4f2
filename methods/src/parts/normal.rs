//! The normal distribution: what is left of it after a clip.

/// Mean, variance and share of positive values of a clipped normal variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clipped {
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub var: f64,
    /// Probability of a value above zero.
    pub positive: f64,
}

/// Moments of `min(max(x, lo), hi)` for normal `x`; an end that is `None` does not clip.
///
/// A variance of zero gives the clipped mean.
pub fn clipped(mean: f64, var: f64, lo: Option<f64>, hi: Option<f64>) -> Clipped {
    let sd = var.max(0.0).sqrt();
    if sd == 0.0 {
        let value = mean.max(lo.unwrap_or(mean)).min(hi.unwrap_or(f64::INFINITY));
        return Clipped { mean: value, var: 0.0, positive: f64::from(u8::from(value > 0.0)) };
    }
    // Mass and moments of the part below `lo`, between, and above `hi`.
    let end = |end: Option<f64>, sign: f64| match end {
        Some(e) => {
            let t = (e - mean) / sd;
            (cumulative(t), density(t), t * density(t), cumulative(sign * t) * e)
        }
        None => (if sign > 0.0 { 0.0 } else { 1.0 }, 0.0, 0.0, 0.0),
    };
    let (below, d_lo, td_lo, from_lo) = end(lo, 1.0);
    let (up_to, d_hi, td_hi, from_hi) = end(hi, -1.0);
    let inside = up_to - below;
    let m1 = from_lo + from_hi + mean * inside + sd * (d_lo - d_hi);
    let squares = from_lo * lo.unwrap_or(0.0) + from_hi * hi.unwrap_or(0.0);
    let m2 = squares
        + (mean * mean + var) * inside
        + 2.0 * mean * sd * (d_lo - d_hi)
        + var * (td_lo - td_hi);
    Clipped { mean: m1, var: (m2 - m1 * m1).max(0.0), positive: cumulative(mean / sd) }
}

/// Density of the standard normal distribution.
pub fn density(t: f64) -> f64 {
    (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Distribution function of the standard normal distribution, within 1.2e-7 of the truth
/// (Chebyshev fit of the complementary error function, Press et al. 1992, section 6.2).
pub fn cumulative(t: f64) -> f64 {
    const FIT: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let x = t.abs() * std::f64::consts::FRAC_1_SQRT_2;
    let u = 1.0 / (1.0 + 0.5 * x);
    let series = FIT.iter().fold(0.0, |sum, c| sum * u + c);
    let tail = 0.5 * u * (series - x * x).exp();
    if t > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Moments by the midpoint rule.
    fn by_sums(mean: f64, var: f64, lo: Option<f64>, hi: Option<f64>) -> Clipped {
        let (steps, sd) = (40_000, var.sqrt());
        let width = 16.0 / f64::from(steps);
        let (mut m1, mut m2, mut positive) = (0.0, 0.0, 0.0);
        for i in 0..steps {
            let t = -8.0 + (f64::from(i) + 0.5) * width;
            let x = mean + sd * t;
            let y = x.max(lo.unwrap_or(x)).min(hi.unwrap_or(f64::INFINITY));
            let p = density(t) * width;
            m1 += p * y;
            m2 += p * y * y;
            positive += if y > 0.0 { p } else { 0.0 };
        }
        Clipped { mean: m1, var: m2 - m1 * m1, positive }
    }

    proptest! {
        #[test]
        fn equals_the_integral(
            mean in -3f64..3.0, var in 0.1f64..4.0, top in 0.5f64..6.0, low: bool, high: bool,
        ) {
            let (lo, hi) = (low.then_some(0.0), high.then_some(top));
            let (found, want) = (clipped(mean, var, lo, hi), by_sums(mean, var, lo, hi));
            prop_assert!((found.mean - want.mean).abs() < 1e-4, "{found:?} {want:?}");
            prop_assert!((found.var - want.var).abs() < 1e-3, "{found:?} {want:?}");
            prop_assert!((found.positive - want.positive).abs() < 1e-3, "{found:?} {want:?}");
        }
    }

    #[test]
    fn known_values() {
        assert!((cumulative(0.0) - 0.5).abs() < 1e-6);
        assert!((cumulative(1.959_963_985) - 0.975).abs() < 1e-6);
        assert!((cumulative(-3.0) - 0.001_349_898).abs() < 1e-7);
        let constant = clipped(-2.0, 0.0, Some(0.0), None);
        assert_eq!((constant.mean, constant.var, constant.positive), (0.0, 0.0, 0.0));
    }
}
