//! L_p error: the range is shrunk until the sum of `|x - q(x)|^p` is smallest (Nahshan et al.
//! 2019, arXiv:1911.07190, section 4.1).

use quantbench_core::grid::{SignedRange, affine_params, symmetric_scale};
use quantbench_core::{Bits, Grid};

use super::pieces::{Piece, pieces};
use super::{Detail, Extent, FACTORS, RangeEstimator, Summary, WeightStyle};

/// Intervals of the tables over rounding errors from zero to half a step.
const INTERVALS: usize = 4096;

/// The range `t * [min, max]` with the smallest sum of `|x - q(x)|^p` over the factors
/// `t = k / 100`; of equal ones the smallest.
///
/// Errors of weights are summed one by one, those of activations are integrated over the bins
/// with a uniform density in each. Powers of errors within half a step come from a table with
/// linear interpolation.
pub struct Lp {
    p: f64,
    /// `u^p`.
    power: Vec<f64>,
    /// Its integral from zero, `u^(p+1) / (p+1)`.
    integral: Vec<f64>,
}

/// `f` at the ends of the intervals.
fn table(f: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..=INTERVALS).map(|i| f(0.5 * i as f64 / INTERVALS as f64)).collect()
}

/// The table's value at `u` between 0 and 1/2.
#[inline]
fn look_up(table: &[f64], u: f64) -> f64 {
    let at = u * (2 * INTERVALS) as f64;
    let i = (at as usize).min(INTERVALS - 1);
    table[i] + (table[i + 1] - table[i]) * (at - i as f64)
}

/// Half-to-even rounding of a number far below 2^51, a vector instruction everywhere.
#[inline]
fn round(x: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    (x + MAGIC) - MAGIC
}

impl Lp {
    /// The estimator with exponent `p`, at least 1.
    pub fn new(p: f64) -> Self {
        let integral = table(|u| u.powf(p + 1.0) / (p + 1.0));
        Self { p, power: table(|u| u.powf(p)), integral }
    }

    /// Sum of errors of values on a grid. Where it exceeds `bound`, a part of it that does.
    fn of_values(
        &self,
        values: &[f32],
        scale: f32,
        zero: i32,
        codes: (i32, i32),
        bound: f64,
    ) -> f64 {
        let (lo, hi) = (f64::from(codes.0 - zero), f64::from(codes.1 - zero));
        let unit = f64::from(scale).powf(self.p);
        let bound = bound / unit;
        let mut sum = 0.0;
        for block in values.chunks(64) {
            for &v in block {
                let y = f64::from(v / scale);
                // Clipped first: a value of a channel is at most 100 times its range away.
                let d = (y - round(y.max(lo).min(hi))).abs();
                sum += if d <= 0.5 { look_up(&self.power, d) } else { d.powf(self.p) };
            }
            if sum > bound {
                break;
            }
        }
        sum * unit
    }

    /// Integral of the error from zero to `y`, in steps, with codes from `lo` to `hi` around zero.
    #[inline]
    fn up_to(&self, y: f64, lo: f64, hi: f64) -> f64 {
        let code = round(y.max(lo).min(hi));
        let d = y - code;
        let u = d.abs();
        let rest = if u <= 0.5 {
            look_up(&self.integral, u)
        } else {
            u.powf(self.p + 1.0) / (self.p + 1.0)
        };
        // A whole step holds twice the integral to its half.
        code * 2.0 * self.integral[INTERVALS] + rest.copysign(d)
    }

    /// Sum of errors of the values in pieces. Where it exceeds `bound`, a part of it that does.
    pub(super) fn of_pieces(
        &self,
        list: &[Piece],
        scale: f32,
        zero: i32,
        codes: (i32, i32),
        bound: f64,
    ) -> f64 {
        let (lo, hi) = (f64::from(codes.0 - zero), f64::from(codes.1 - zero));
        let scale = f64::from(scale);
        let (inverse, unit) = (1.0 / scale, scale.powf(self.p));
        let bound = bound / unit;
        let mut sum = 0.0;
        // From above: what is clipped comes first, and a hopeless range is left early.
        let mut known = (f64::NAN, 0.0);
        for piece in list.iter().rev() {
            let (left, right) = (piece.left * inverse, piece.right * inverse);
            if left < right {
                let to = if known.0 == right { known.1 } else { self.up_to(right, lo, hi) };
                let from = self.up_to(left, lo, hi);
                sum += piece.count * ((to - from) / (right - left)).max(0.0);
                known = (left, from);
            } else {
                let d = (left - round(left.max(lo).min(hi))).abs();
                sum += piece.count * d.powf(self.p);
            }
            if sum > bound {
                break;
            }
        }
        sum * unit
    }
}

/// The factor's parameters with the smallest error, of equal ones the smallest factor. `error`
/// gets the smallest error so far.
fn search(
    params: impl Fn(f32) -> (f32, i32),
    error: impl Fn((f32, i32), f64) -> f64,
) -> (f32, i32) {
    let mut found = ((1.0, 0), f64::INFINITY);
    // From the whole range down, so that ranges which clip much are compared with a good one.
    for k in (1..=FACTORS).rev() {
        let candidate = params(f32::from(k) / f32::from(FACTORS));
        let error = error(candidate, found.1);
        if error <= found.1 {
            found = (candidate, error);
        }
    }
    found.0
}

impl RangeEstimator for Lp {
    fn name(&self) -> &'static str {
        "L_p error"
    }

    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32) {
        let extent = Extent::of(channel);
        let (lo, hi) = extent.with_zero();
        let codes = match style {
            WeightStyle::Symmetric => SignedRange::default_for(bits).codes(bits),
            WeightStyle::Affine => (0, (1 << bits.get()) - 1),
        };
        search(
            |t| match style {
                WeightStyle::Symmetric => (symmetric_scale(t * extent.max_abs(), bits), 0),
                WeightStyle::Affine => affine_params(t * lo, t * hi, bits),
            },
            |(scale, zero), bound| self.of_values(channel, scale, zero, codes, bound),
        )
    }

    fn detail(&self) -> Detail {
        Detail::Moments
    }

    fn activation(&self, seen: &Summary, bits: Bits) -> Grid {
        let (lo, hi) = seen.extent.with_zero();
        let whole = Grid::activation(lo, hi, bits);
        let list = pieces(seen);
        if list.is_empty() {
            return whole;
        }
        let codes = whole.code_range();
        let (scale, zero) = search(
            |t| affine_params(t * lo, t * hi, bits),
            |(scale, zero), bound| self.of_pieces(&list, scale, zero, codes, bound),
        );
        Grid { scale: vec![scale], zero_point: vec![zero], ..whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::ranges::{MinMax, Mse};
    use proptest::prelude::*;

    /// The error by the grid's own arithmetic and the power function.
    fn direct(values: &[f32], grid: &Grid, p: f64) -> f64 {
        values.iter().map(|&v| f64::from(grid.round(v, 0) - v).abs().powf(p)).sum()
    }

    proptest! {
        #[test]
        fn errors_of_values_are_those_of_the_grid(
            values in prop::collection::vec(-9f32..9.0, 1..200), b in 2u8..=8, m in 0.5f32..9.0,
            p in 1f64..=4.0,
        ) {
            let bits = Bits::new(b).unwrap();
            let grid = Grid::symmetric(vec![symmetric_scale(m, bits)], 0, bits, SignedRange::Full);
            let found =
                Lp::new(p).of_values(&values, grid.scale[0], 0, grid.code_range(), f64::INFINITY);
            let want = direct(&values, &grid, p);
            prop_assert!((found - want).abs() <= 1e-4 * want + 1e-6, "{found} against {want}");
        }

        #[test]
        fn errors_of_pieces_are_close_to_those_of_the_values(
            values in prop::collection::vec(-1f32..3.0, 500..800), b in 2u8..=5, k in 20u8..=100,
            p in 1f64..=4.0,
        ) {
            let t = f32::from(k) / 100.0;
            let grid = Grid::activation(-t, 3.0 * t, Bits::new(b).unwrap());
            let list = pieces(&Summary::of(&values));
            let codes = grid.code_range();
            let (scale, zero) = (grid.scale[0], grid.zero_point[0]);
            let found = Lp::new(p).of_pieces(&list, scale, zero, codes, f64::INFINITY);
            let want = direct(&values, &grid, p);
            prop_assert!((found - want).abs() <= 0.05 * want + 1e-6, "{found} against {want}");
        }

        #[test]
        fn never_worse_than_min_max_and_never_outside_the_extent(
            values in prop::collection::vec(-2f32..5.0, 1..100), b in 2u8..=8, affine: bool,
            p in 1f64..=4.0,
        ) {
            let style = if affine { WeightStyle::Affine } else { WeightStyle::Symmetric };
            let bits = Bits::new(b).unwrap();
            let grid = |by: &dyn RangeEstimator| {
                let (scale, zero) = by.weights(&values, style, bits);
                crate::parts::weights::grid(vec![scale], vec![zero], 0, style, bits)
            };
            let (searched, plain) = (grid(&Lp::new(p)), grid(&MinMax));
            prop_assert!(
                direct(&values, &searched, p) <= direct(&values, &plain, p) * (1.0 + 1e-4) + 1e-6
            );
            prop_assert!(searched.scale[0] <= plain.scale[0]);
            let seen = Summary::of(&values);
            let wide = MinMax.activation(&seen, bits);
            prop_assert!(Lp::new(p).activation(&seen, bits).scale[0] <= wide.scale[0]);
        }
    }

    #[test]
    fn exponent_two_is_the_squared_error() {
        let values: Vec<f32> =
            (0..5200).map(|i| (i * 11 % 52 - 20) as f32).map(|k| k * k * k / 1024.0).collect();
        for bits in [2, 3, 4, 8] {
            let bits = Bits::new(bits).unwrap();
            for style in [WeightStyle::Symmetric, WeightStyle::Affine] {
                let found = Lp::new(2.0).weights(&values, style, bits);
                let want = Mse.weights(&values, style, bits);
                let ratio = found.0 / want.0;
                assert!((0.97..1.03).contains(&ratio), "{bits} {style:?}: {found:?} {want:?}");
            }
        }
    }

    #[test]
    fn a_larger_exponent_clips_less() {
        // Quantiles of a Laplace law.
        let law: Vec<f32> = (0..20_000)
            .map(|i| (f64::from(i) + 0.5) / 20_000.0)
            .map(|u| if u < 0.5 { (2.0 * u).ln() } else { -(2.0 - 2.0 * u).ln() } as f32)
            .collect();
        let four = Bits::new(4).unwrap();
        let seen = Summary::of(&law);
        let exponents = [1.0, 2.0, 2.4, 3.0, 4.0];
        let weights = exponents.map(|p| Lp::new(p).weights(&law, WeightStyle::Symmetric, four).0);
        let activations = exponents.map(|p| Lp::new(p).activation(&seen, four).scale[0]);
        for scales in [weights, activations] {
            assert!(scales.is_sorted() && scales[0] < scales[4], "{scales:?}");
        }
        // The squared error of a Laplace law is smallest at 5.03 b.
        assert!((activations[1] * 7.5 - 5.03).abs() < 0.4, "{activations:?}");
    }

    #[test]
    fn an_outlier_of_an_activation_is_cut_off() {
        let mut values: Vec<f32> = (0..100_000).map(|i| (i % 100) as f32 / 100.0).collect();
        values.push(5.0);
        let top = Lp::new(2.4).activation(&Summary::of(&values), Bits::new(3).unwrap()).ends(0).1;
        assert!((0.5..2.0).contains(&top), "{top}");
    }

    #[test]
    fn degenerate_tensors_have_sound_grids() {
        let lp = Lp::new(2.4);
        let grid = |values: &[f32]| lp.activation(&Summary::of(values), Bits::EIGHT);
        assert_eq!(grid(&[0.0; 64]).scale, [1.0]);
        assert_eq!(lp.weights(&[0.0; 9], WeightStyle::Symmetric, Bits::EIGHT), (1.0, 0));
        for value in [3.0f32, -3.0] {
            let found = grid(&[value; 9]);
            assert!((found.round(value, 0) - value).abs() <= 0.5 * found.scale[0]);
            let (lo, hi) = found.ends(0);
            assert!(lo >= value.min(0.0) - 1e-5 && hi <= value.max(0.0) + 1e-5);
        }
    }
}
