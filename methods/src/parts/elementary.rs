//! Exponential, logarithm and hyperbolic tangent in FP32 arithmetic that a compiler can do for several numbers at once.

/// `e^x` to 3e-7 of itself, for `x` up to 88; 0 below -87. Polynomial of degree 6 on
/// `[-ln 2 / 2, ln 2 / 2]` after the power of two is split off.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    // ln 2 in two parts, the first of them with few bits, so that the difference is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // The low bits of the shifted number are those of n.
    let power = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    let value = p * f32::from_bits(power);
    if x <= -87.0 { 0.0 } else { value }
}

/// `ln x` to 3e-7 of the larger of itself and 1, for normal numbers above zero.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // The mantissa between sqrt(1/2) and sqrt(2), and the exponent that goes with it.
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let n = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    // ln m = 2 artanh((m - 1) / (m + 1)).
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let p = 2.0 / 9.0;
    let p = p * s + 2.0 / 7.0;
    let p = p * s + 2.0 / 5.0;
    let p = p * s + 2.0 / 3.0;
    n * std::f32::consts::LN_2 + (p * s * t + 2.0 * t)
}

/// `tanh x` to 3e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_those_of_the_definition(x in -86f32..88.0, y in -100f32..100.0) {
            let want = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - want).abs() < 3e-7 * want, "{x}");
            let y = 2f32.powf(y);
            let want = f64::from(y).ln();
            prop_assert!((f64::from(ln(y)) - want).abs() < 3e-7 * want.abs().max(1.0), "{y}");
            prop_assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "{x}");
        }
    }

    #[test]
    fn far_arguments_do_no_harm() {
        assert_eq!((exp(-1e9), exp(0.0), ln(1.0)), (0.0, 1.0, 0.0));
        assert!(exp(1e9).is_finite() && exp(1e9) > 1e38);
    }
}
