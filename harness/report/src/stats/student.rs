//! Quantiles of Student's t distribution.

use std::f64::consts::{FRAC_PI_2, PI};

/// Above this the t distribution is the normal one to better than 3e-5 at 97.5 %.
const MANY: usize = 100_000;

/// The `p` quantile of Student's t with `dof` degrees of freedom, for `p` in (0, 1).
///
/// The distribution function of an integer number of degrees of freedom is a finite sum in
/// theta = atan(t / sqrt(dof)); it is inverted by bisection over theta, which also holds the heavy
/// tails of one and two degrees in a bounded range.
/// No degree of freedom leaves nothing to estimate and gives infinity.
///
/// Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
pub fn t_quantile(p: f64, dof: usize) -> f64 {
    if dof == 0 {
        return f64::INFINITY;
    }
    let dof = dof.min(MANY);
    let target = (2.0 * p - 1.0).abs();
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if central_probability(middle, dof) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high).tan() * (dof as f64).sqrt() * (2.0 * p - 1.0).signum()
}

/// P(|T| < t) with t = sqrt(dof) tan(theta).
fn central_probability(theta: f64, dof: usize) -> f64 {
    let (sin, cos) = theta.sin_cos();
    let odd = dof % 2 == 1;
    // The sum runs over cos^1, cos^3, ... (odd) or cos^0, cos^2, ... (even) up to cos^(dof - 2).
    let mut power = usize::from(odd);
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    while power + 2 <= dof {
        sum += term;
        if term < 1e-18 {
            break;
        }
        // The factor leads from cos^power to cos^(power + 2): 2/3, 4/5, ... or 1/2, 3/4, ...
        term *= cos * cos * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    if odd { 2.0 / PI * (theta + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_scipy() {
        // scipy.stats.t.ppf(0.975, dof)
        for (dof, want) in [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (5, 2.570_582),
            (9, 2.262_157),
            (29, 2.045_230),
            (100, 1.983_972),
        ] {
            let got = t_quantile(0.975, dof);
            assert!((got - want).abs() < 1e-5, "{dof} degrees: {got} for {want}");
        }
        // scipy.stats.t.ppf(0.995, 1) and (0.9, 4)
        assert!((t_quantile(0.995, 1) - 63.656_741).abs() < 1e-4);
        assert!((t_quantile(0.9, 4) - 1.533_206).abs() < 1e-5);
    }

    #[test]
    fn ends_of_the_degrees() {
        assert_eq!(t_quantile(0.975, 0), f64::INFINITY);
        assert!((t_quantile(0.975, usize::MAX) - 1.959_964).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn is_odd_about_the_median(p in 0.5_f64..0.9999, dof in 1_usize..200) {
            prop_assert!((t_quantile(p, dof) + t_quantile(1.0 - p, dof)).abs() < 1e-6 * t_quantile(p, dof).max(1.0));
        }

        #[test]
        fn falls_towards_the_normal(dof in 1_usize..500) {
            let (few, more) = (t_quantile(0.975, dof), t_quantile(0.975, dof + 1));
            prop_assert!(few > more && more > 1.959_963);
        }
    }
}
