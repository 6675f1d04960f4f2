//! Smallest and largest value of a slice in one vectorisable sweep.

use crate::parts::vector::vectorised;

/// Lanes of the sweep: enough for two AVX-512 registers and harmless on smaller machines.
const LANES: usize = 32;

/// Exponent bits of an FP32 number; all set only in infinities and NaN.
const EXPONENT: u32 = 0x7f80_0000;

/// Smallest and largest value, and whether all values were finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Smallest value; positive infinity if there was none.
    pub lo: f32,
    /// Largest value; negative infinity if there was none.
    pub hi: f32,
    /// Whether no value was infinite or not a number.
    pub finite: bool,
}

impl Extent {
    /// The extent of nothing.
    pub const EMPTY: Extent = Extent { lo: f32::INFINITY, hi: f32::NEG_INFINITY, finite: true };

    /// The extent of a slice.
    pub fn of(values: &[f32]) -> Self {
        vectorised(
            #[inline(always)]
            || Self::and_zeros(values).0,
        )
    }

    /// The extent of a slice and how many of its values are zero.
    #[inline(always)]
    pub(super) fn and_zeros(values: &[f32]) -> (Self, u64) {
        let mut lo = [f32::INFINITY; LANES];
        let mut hi = [f32::NEG_INFINITY; LANES];
        let mut odd = [0u32; LANES];
        let mut none = [0u32; LANES];
        let blocks = values.chunks_exact(LANES);
        let rest = blocks.remainder();
        for block in blocks {
            for i in 0..LANES {
                let v = block[i];
                lo[i] = if v < lo[i] { v } else { lo[i] };
                hi[i] = if v > hi[i] { v } else { hi[i] };
                odd[i] |= u32::from(v.to_bits() & EXPONENT == EXPONENT);
                none[i] += u32::from(v == 0.0);
            }
        }
        let mut all = Self::EMPTY;
        for i in 0..LANES {
            all = all.join(Extent { lo: lo[i], hi: hi[i], finite: odd[i] == 0 });
        }
        for &v in rest {
            all = all.join(Extent { lo: v, hi: v, finite: v.is_finite() });
        }
        let zeros: u64 = none.iter().map(|&n| u64::from(n)).sum();
        (all, zeros + rest.iter().filter(|v| **v == 0.0).count() as u64)
    }

    /// The extent of both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            finite: self.finite && other.finite,
        }
    }

    /// Both ends moved so that zero lies between them; `(0, 0)` for nothing.
    pub fn with_zero(self) -> (f32, f32) {
        (self.lo.min(0.0), self.hi.max(0.0))
    }

    /// Largest magnitude; zero for nothing.
    pub fn max_abs(self) -> f32 {
        let (lo, hi) = self.with_zero();
        hi.max(-lo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn matches_a_plain_fold(values in prop::collection::vec(-1e6f32..1e6, 0..300)) {
            let extent = Extent::of(&values);
            let lo = values.iter().copied().fold(f32::INFINITY, f32::min);
            let hi = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(extent, Extent { lo, hi, finite: true });
        }

        #[test]
        fn one_bad_value_is_found_anywhere(at in 0usize..100, which in 0usize..3) {
            let mut values = vec![1.0f32; 100];
            values[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][which];
            prop_assert!(!Extent::of(&values).finite);
        }
    }

    #[test]
    fn nothing_has_an_empty_range() {
        assert_eq!(Extent::of(&[]).with_zero(), (0.0, 0.0));
        assert_eq!(Extent::of(&[]).max_abs(), 0.0);
    }
}
