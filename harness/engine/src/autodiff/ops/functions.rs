//! Functions of numbers without branches or calls of the C library, so that loops over them are
//! vectorised and give the same bits on every machine.

/// `e^x` to a few units in the last place (reduction and polynomial of Cephes' `expf`, S. Moshier);
/// beyond 88.3 on either side it stays where it is there.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this rounds to an integer, which then stands in the last bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    // Around zero by its series, where the difference below has no digits left.
    let s = x * x;
    let series = x * (1.0 - s * (1.0 / 3.0 - s * (2.0 / 15.0 - s * (17.0 / 315.0))));
    let difference = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if x.abs() < 0.2 { series } else { difference }
}

/// The error function to 2e-7 (Abramowitz and Stegun 1964, 7.1.26).
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let mut p = 1.061_405_4;
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p * t + c;
    }
    (1.0 - p * t * exp(-x * x)).copysign(x)
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    // ln(1 + e) = 2 artanh(e / (2 + e)) by its series, of an argument of at most a third.
    let e = exp(-x.abs());
    let t = e / (2.0 + e);
    let s = t * t;
    let mut p = 1.0 / 15.0;
    for n in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        p = p * s + 1.0 / n;
    }
    x.max(0.0) + 2.0 * t * p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_the_definition() {
        for i in -2000i16..=2000 {
            let x = f32::from(i) / 100.0;
            let d = f64::from(x);
            let near = |found: f32, want: f64, what: &str| {
                let off = (f64::from(found) - want).abs();
                assert!(off < 5e-7 * want.abs().max(0.1), "{what} {x}: {found} against {want}");
            };
            near(sigmoid(x), 1.0 / (1.0 + (-d).exp()), "sigmoid");
            near(tanh(x), d.tanh(), "tanh");
            near(softplus(x), d.max(0.0) + (-d.abs()).exp().ln_1p(), "softplus");
            let off = (f64::from(exp(x)) / d.exp() - 1.0).abs();
            assert!(off < 3e-7, "exp {x}: {off}");
        }
        // Values of tables.
        for (x, want) in
            [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (-2.0, -0.995_322_3), (9.0, 1.0)]
        {
            assert!((erf(x) - want).abs() < 3e-7, "erf {x}: {}", erf(x));
        }
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert!(exp(-1e9) < 1.3e-38 && exp(1e9) > 2e38 && exp(1e9).is_finite());
    }
}
