//! Mean squared error: the range is shrunk until rounding and clipping errors balance
//! (Choukroun et al. 2019, arXiv:1902.06822; Nagel et al. 2021, arXiv:2106.08295).

use quantbench_core::grid::{SignedRange, affine_params, symmetric_scale};
use quantbench_core::{Bits, Grid};

use super::{Detail, Extent, RangeEstimator, Summary, WeightStyle};

/// Number of candidate ranges: `k / 100` of `[min, max]` for `k = 1 ..= 100`.
pub const FACTORS: u8 = 100;

/// The range `t * [min, max]` with the smallest sum of squared errors over the factors
/// `t = k / 100`; of equal ones the smallest.
pub struct Mse;

/// The candidate factors, smallest first.
fn factors() -> impl Iterator<Item = f32> {
    (1..=FACTORS).map(|k| f32::from(k) / f32::from(FACTORS))
}

/// The candidate with the smallest loss, the first of equal ones.
fn best(candidates: impl Iterator<Item = ((f32, i32), f64)>) -> (f32, i32) {
    let mut found = ((1.0, 0), f64::INFINITY);
    for candidate in candidates {
        if candidate.1 < found.1 {
            found = candidate;
        }
    }
    found.0
}

impl RangeEstimator for Mse {
    fn name(&self) -> &'static str {
        "mean squared error"
    }

    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32) {
        let extent = Extent::of(channel);
        let (qmin, qmax) = match style {
            WeightStyle::Symmetric => SignedRange::default_for(bits).codes(bits),
            WeightStyle::Affine => (0, (1 << bits.get()) - 1),
        };
        let (lo, hi) = extent.with_zero();
        best(factors().map(|t| {
            let (scale, zero) = match style {
                WeightStyle::Symmetric => (symmetric_scale(t * extent.max_abs(), bits), 0),
                WeightStyle::Affine => affine_params(t * lo, t * hi, bits),
            };
            ((scale, zero), squared_error(channel, scale, zero, (qmin, qmax)))
        }))
    }

    fn detail(&self) -> Detail {
        Detail::Moments
    }

    fn activation(&self, seen: &Summary, bits: Bits) -> Grid {
        let (lo, hi) = seen.extent.with_zero();
        let whole = Grid::activation(lo, hi, bits);
        let Some(histogram) = &seen.histogram else { return whole };
        let top = whole.code_range().1;
        let (scale, zero) = best(factors().map(|t| {
            let (scale, zero) = affine_params(t * lo, t * hi, bits);
            ((scale, zero), histogram.squared_error(scale, zero, top))
        }));
        Grid { scale: vec![scale], zero_point: vec![zero], ..whole }
    }
}

/// Sum of squared rounding errors of values on a grid, in a fixed order of summation.
///
/// The arithmetic is that of [`Grid::round`]; adding and subtracting `1.5 * 2^23` rounds half to
/// even and, unlike a call of the rounding function, is a vector instruction everywhere.
pub(crate) fn squared_error(values: &[f32], scale: f32, zero: i32, codes: (i32, i32)) -> f64 {
    const LANES: usize = 16;
    const MAGIC: f32 = 12_582_912.0;
    let (lo, hi) = ((codes.0 - zero) as f32, (codes.1 - zero) as f32);
    let error = |v: f32| {
        let r = v / scale;
        // Plain comparisons: `clamp` checks its ends at every call.
        let r = if r < lo { lo } else { r };
        let r = if r > hi { hi } else { r };
        let d = f64::from(((r + MAGIC) - MAGIC) * scale - v);
        d * d
    };
    let mut sums = [0.0f64; LANES];
    let blocks = values.chunks_exact(LANES);
    let rest: f64 = blocks.remainder().iter().map(|&v| error(v)).sum();
    for block in blocks {
        for (sum, &v) in sums.iter_mut().zip(block) {
            *sum += error(v);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::ranges::MinMax;
    use proptest::prelude::*;
    use quantbench_core::Tensor;

    fn grid(values: &[f32], style: WeightStyle, bits: Bits, by: &dyn RangeEstimator) -> Grid {
        let (scale, zero) = by.weights(values, style, bits);
        crate::parts::weights::grid(vec![scale], vec![zero], 0, style, bits)
    }

    fn loss(values: &[f32], grid: &Grid) -> f64 {
        let tensor = Tensor::new(vec![1, values.len()], values.to_vec());
        let back = grid.quantize(&tensor).unwrap().dequantize();
        values.iter().zip(&back.data).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    }

    proptest! {
        #[test]
        fn never_worse_than_min_max(
            values in prop::collection::vec(-2f32..5.0, 1..100), b in 2u8..=8, affine: bool,
        ) {
            let style = if affine { WeightStyle::Affine } else { WeightStyle::Symmetric };
            let bits = Bits::new(b).unwrap();
            let (searched, plain) =
                (grid(&values, style, bits, &Mse), grid(&values, style, bits, &MinMax));
            prop_assert!(loss(&values, &searched) <= loss(&values, &plain) * (1.0 + 1e-9) + 1e-12);
        }

        #[test]
        fn the_fast_error_is_that_of_the_grid(
            values in prop::collection::vec(-9f32..9.0, 1..100), b in 2u8..=8, m in 0.1f32..9.0,
        ) {
            let bits = Bits::new(b).unwrap();
            let grid = Grid::symmetric(vec![symmetric_scale(m, bits)], 0, bits, SignedRange::Full);
            let fast = squared_error(&values, grid.scale[0], 0, grid.code_range());
            let want = loss(&values, &grid);
            prop_assert!((fast - want).abs() <= 1e-6 * want + 1e-9, "{fast} against {want}");
        }
    }

    #[test]
    fn an_outlier_of_an_activation_is_cut_off() {
        let mut values: Vec<f32> = (0..10_000).map(|i| (i % 100) as f32 / 100.0).collect();
        values.push(20.0);
        let top = Mse.activation(&Summary::of(&values), Bits::new(3).unwrap()).ends(0).1;
        assert!((0.5..2.0).contains(&top), "{top}");
    }

    #[test]
    fn fixed_values_have_fixed_grids() {
        // Cubes of the integers from -20 to 31 in a scattered order, in units of 1/1024.
        let values: Vec<f32> =
            (0..5200).map(|i| (i * 11 % 52 - 20) as f32).map(|k| k * k * k / 1024.0).collect();
        let seen = Summary::of(&values);
        let grids = [8, 4, 2].map(|b| Mse.activation(&seen, Bits::new(b).unwrap()));
        let found = grids.map(|g| (g.scale[0], g.zero_point[0], g.code_range()));
        // The factors 1, 0.98 and 0.87, as a search over the values themselves finds them too.
        let want =
            [(0.144_726_56, 54, (0, 255)), (2.411_144_5, 3, (0, 15)), (10.702_53, 1, (0, 3))];
        assert_eq!(found, want);
    }

    #[test]
    fn an_activation_that_is_always_zero_gets_scale_one() {
        assert_eq!(Mse.activation(&Summary::of(&[0.0; 64]), Bits::EIGHT).scale, [1.0]);
    }
}
