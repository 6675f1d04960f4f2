//! Min-max: the grid covers everything that was seen (Krishnamoorthi 2018, arXiv:1806.08342).

use quantbench_core::grid::{affine_params, symmetric_scale};
use quantbench_core::{Bits, Grid};

use super::{Detail, Extent, RangeEstimator, Summary, WeightStyle};

/// The range is `[min, max]` over all values, zero included.
pub struct MinMax;

impl RangeEstimator for MinMax {
    fn name(&self) -> &'static str {
        "min-max"
    }

    fn weights(&self, channel: &[f32], style: WeightStyle, bits: Bits) -> (f32, i32) {
        let extent = Extent::of(channel);
        match style {
            WeightStyle::Symmetric => (symmetric_scale(extent.max_abs(), bits), 0),
            WeightStyle::Affine => {
                let (lo, hi) = extent.with_zero();
                affine_params(lo, hi, bits)
            }
        }
    }

    fn detail(&self) -> Detail {
        Detail::Extent
    }

    fn activation(&self, seen: &Summary, bits: Bits) -> Grid {
        let (lo, hi) = seen.extent.with_zero();
        Grid::activation(lo, hi, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_whole_sixteenths_has_a_known_grid() {
        // From -51/16 to 204/16: 255 steps of 1/16, or 15 of 17/16.
        let values: Vec<f32> = (-51..=204).map(|k| k as f32 / 16.0).collect();
        let seen = Summary::of(&values);
        let grids = [8, 4].map(|b| MinMax.activation(&seen, Bits::new(b).unwrap()));
        let found = grids.map(|g| (g.scale[0], g.zero_point[0], g.code_range()));
        assert_eq!(found, [(0.0625, 51, (0, 255)), (1.0625, 3, (0, 15))]);
    }

    #[test]
    fn zero_channels_get_scale_one() {
        for style in [WeightStyle::Symmetric, WeightStyle::Affine] {
            assert_eq!(MinMax.weights(&[0.0; 9], style, Bits::EIGHT), (1.0, 0));
        }
    }

    #[test]
    fn a_symmetric_scale_reaches_the_largest_magnitude() {
        let four = Bits::new(4).unwrap();
        let (scale, zero) = MinMax.weights(&[-3.5, 1.0], WeightStyle::Symmetric, four);
        assert_eq!((scale, zero), (0.5, 0));
    }
}
