//! Grids: the levels of a quantizer, and the arithmetic of rounding onto them.
//!
//! Conventions (design, section 5): rounding is half to even; zero is always on an affine grid;
//! an empty range gives scale 1 and zero point 0.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bits::Bits;
use crate::table::Table;
use crate::tensor::Tensor;

/// Over which values one scale reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// One scale for the tensor.
    Tensor,
    /// One scale per index of `axis`.
    Channel {
        /// The axis whose indices have a scale each.
        axis: usize,
    },
}

/// The kind of levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Levels {
    /// Equally spaced codes `qmin ..= qmax`, value `scale * (code - zero_point)`.
    Affine {
        /// Smallest code.
        qmin: i32,
        /// Largest code.
        qmax: i32,
    },
    /// `{-scale, 0, +scale}`, codes -1, 0, 1, two bits of storage.
    Ternary,
    /// `{-scale, +scale}`, codes -1 and 1, one bit of storage. Sign(0) is +1.
    Binary,
    /// Any levels, codes counted from the lowest, value `scale * level`.
    Table(Table),
}

/// The levels of a quantizer with their scales.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Kind of levels.
    pub levels: Levels,
    /// Bits of storage per code.
    pub bits: Bits,
    /// Over which values a scale reaches.
    pub granularity: Granularity,
    /// Scales: one, or one per channel. Positive and finite.
    pub scale: Vec<f32>,
    /// Zero points: one per scale; zero for all but affine grids.
    pub zero_point: Vec<i32>,
}

/// A grid whose parts contradict each other.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GridError {
    /// A scale that is not a positive finite number.
    #[error("scale {scale} of channel {channel} is not a positive finite number")]
    Scale {
        /// Index of the scale.
        channel: usize,
        /// Its value.
        scale: f32,
    },
    /// Scales and zero points, or scales and channels, differ in number.
    #[error("grid has {scales} scales and {zero_points} zero points for {channels} channels")]
    Count {
        /// Scales given.
        scales: usize,
        /// Zero points given.
        zero_points: usize,
        /// Channels of the tensor.
        channels: usize,
    },
    /// A zero point or end that the bits cannot hold.
    #[error("codes {qmin} to {qmax} with zero point {zero_point} do not fit {bits} bits")]
    Codes {
        /// Smallest code.
        qmin: i32,
        /// Largest code.
        qmax: i32,
        /// Zero point.
        zero_point: i32,
        /// Bits of storage.
        bits: Bits,
    },
    /// A table of levels that cannot be used.
    #[error("{0}")]
    Table(String),
}

/// How the codes of a symmetric signed grid end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedRange {
    /// `-2^(b-1) ..= 2^(b-1)-1`.
    Full,
    /// `-(2^(b-1)-1) ..= 2^(b-1)-1`.
    Restricted,
}

impl SignedRange {
    /// The default at a width: restricted at 8 bits, full below.
    pub fn default_for(bits: Bits) -> Self {
        if bits == Bits::EIGHT { SignedRange::Restricted } else { SignedRange::Full }
    }

    /// Smallest and largest code at a width.
    pub fn codes(self, bits: Bits) -> (i32, i32) {
        let half = 1i32 << (bits.get() - 1);
        match self {
            SignedRange::Full => (-half, half - 1),
            // At one bit a restricted range would hold zero alone.
            SignedRange::Restricted => (-(half - 1).max(1), (half - 1).max(1)),
        }
    }
}

/// Scale and zero point of an unsigned affine grid over `[lo, hi]` (conventions, "Affine").
///
/// Zero is put on the grid first; an empty range gives `(1, 0)`.
pub fn affine_params(lo: f32, hi: f32, bits: Bits) -> (f32, i32) {
    let (lo, hi) = (lo.min(0.0), hi.max(0.0));
    let steps = ((1u32 << bits.get()) - 1) as f32;
    let scale = (hi - lo) / steps;
    if !(scale > 0.0 && scale.is_finite() && (1.0 / scale).is_finite()) {
        return (1.0, 0);
    }
    let zero = (-lo / scale).round_ties_even().clamp(0.0, steps);
    (scale, zero as i32)
}

/// Scale of a symmetric signed grid: `max|w| / (2^(b-1) - 1)`; 1 for an all-zero channel.
pub fn symmetric_scale(max_abs: f32, bits: Bits) -> f32 {
    let top = ((1i32 << (bits.get() - 1)) - 1).max(1) as f32;
    let scale = max_abs / top;
    if scale > 0.0 && scale.is_finite() && (1.0 / scale).is_finite() { scale } else { 1.0 }
}

impl Grid {
    /// A per-tensor unsigned affine grid over `[lo, hi]`: the usual activation grid.
    pub fn activation(lo: f32, hi: f32, bits: Bits) -> Self {
        let (scale, zero) = affine_params(lo, hi, bits);
        Self {
            levels: Levels::Affine { qmin: 0, qmax: (1 << bits.get()) - 1 },
            bits,
            granularity: Granularity::Tensor,
            scale: vec![scale],
            zero_point: vec![zero],
        }
    }

    /// A symmetric signed grid with the given scales along `axis`.
    pub fn symmetric(scale: Vec<f32>, axis: usize, bits: Bits, range: SignedRange) -> Self {
        let (qmin, qmax) = range.codes(bits);
        let zero_point = vec![0; scale.len()];
        Self {
            levels: Levels::Affine { qmin, qmax },
            bits,
            granularity: Granularity::Channel { axis },
            scale,
            zero_point,
        }
    }

    /// A ternary grid with the given scales along `axis`.
    pub fn ternary(scale: Vec<f32>, axis: usize) -> Self {
        let zero_point = vec![0; scale.len()];
        Self {
            levels: Levels::Ternary,
            bits: Bits::new(2).unwrap_or(Bits::EIGHT),
            granularity: Granularity::Channel { axis },
            scale,
            zero_point,
        }
    }

    /// A binary grid with the given scales along `axis`.
    pub fn binary(scale: Vec<f32>, axis: usize) -> Self {
        let zero_point = vec![0; scale.len()];
        Self {
            levels: Levels::Binary,
            bits: Bits::new(1).unwrap_or(Bits::EIGHT),
            granularity: Granularity::Channel { axis },
            scale,
            zero_point,
        }
    }

    /// A per-tensor grid of any levels in units of `scale`.
    pub fn table(table: Table, scale: f32, bits: Bits) -> Self {
        Self {
            levels: Levels::Table(table),
            bits,
            granularity: Granularity::Tensor,
            scale: vec![scale],
            zero_point: vec![0],
        }
    }

    /// Smallest and largest code.
    pub fn code_range(&self) -> (i32, i32) {
        match &self.levels {
            Levels::Affine { qmin, qmax } => (*qmin, *qmax),
            Levels::Ternary | Levels::Binary => (-1, 1),
            Levels::Table(table) => (0, table.count() as i32 - 1),
        }
    }

    /// Whether codes can be negative.
    pub fn is_signed(&self) -> bool {
        self.code_range().0 < 0
    }

    /// Code of `x` in channel `c`: nearest level, half to even, clipped to the ends. In a table
    /// the number of thresholds at or below it.
    pub fn code(&self, x: f32, c: usize) -> i32 {
        let (s, z) = (self.scale[c], self.zero_point[c]);
        match &self.levels {
            Levels::Affine { qmin, qmax } => {
                // Clip in floating point first: the cast saturates, the sum must not overflow.
                let r = (x / s).round_ties_even().clamp(-1.0e9, 1.0e9);
                (r as i32 + z).clamp(*qmin, *qmax)
            }
            Levels::Ternary => (x / s).round_ties_even().clamp(-1.0, 1.0) as i32,
            Levels::Binary => {
                if x >= 0.0 {
                    1
                } else {
                    -1
                }
            }
            Levels::Table(table) => {
                table.thresholds(c).iter().filter(|t| x >= s * **t).count() as i32
            }
        }
    }

    /// Value of a code in channel `c`.
    pub fn value(&self, code: i32, c: usize) -> f32 {
        match &self.levels {
            Levels::Table(table) => self.scale[c] * table.row(c)[code as usize],
            _ => self.scale[c] * (code - self.zero_point[c]) as f32,
        }
    }

    /// `x` on the grid: the value of its code.
    pub fn round(&self, x: f32, c: usize) -> f32 {
        self.value(self.code(x, c), c)
    }

    /// Lowest and highest value in channel `c`.
    pub fn ends(&self, c: usize) -> (f32, f32) {
        let (lo, hi) = self.code_range();
        (self.value(lo, c), self.value(hi, c))
    }

    /// The channel of each element of a tensor with these dimensions: `(outer, channels, inner)`
    /// such that element `((o * channels) + c) * inner + i` belongs to channel `c`.
    pub fn layout(&self, dims: &[usize]) -> (usize, usize, usize) {
        match self.granularity {
            Granularity::Tensor => (1, 1, dims.iter().product()),
            Granularity::Channel { axis } => {
                (dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product())
            }
        }
    }

    /// Checks scales, counts and codes against a tensor of these dimensions.
    pub fn check(&self, dims: &[usize]) -> Result<(), GridError> {
        let (_, channels, _) = self.layout(dims);
        if self.scale.len() != channels || self.zero_point.len() != channels {
            return Err(GridError::Count {
                scales: self.scale.len(),
                zero_points: self.zero_point.len(),
                channels,
            });
        }
        for (channel, &scale) in self.scale.iter().enumerate() {
            if !(scale > 0.0 && scale.is_finite()) {
                return Err(GridError::Scale { channel, scale });
            }
        }
        if let Some(fault) = match &self.levels {
            Levels::Table(table) => table.fault(channels, self.bits.get()),
            _ => None,
        } {
            return Err(GridError::Table(fault));
        }
        let (qmin, qmax) = self.code_range();
        for &zero_point in &self.zero_point {
            let span = i64::from(qmax) - i64::from(qmin);
            let fits = span < (1i64 << self.bits.get()) || self.levels == Levels::Binary;
            if !fits || zero_point < qmin || zero_point > qmax {
                return Err(GridError::Codes { qmin, qmax, zero_point, bits: self.bits });
            }
        }
        Ok(())
    }

    /// Rounds a tensor to codes.
    pub fn quantize(&self, tensor: &Tensor) -> Result<QuantTensor, GridError> {
        self.check(&tensor.dims)?;
        Ok(self.put(tensor))
    }

    /// [`Grid::quantize`] for a grid that is known to fit the tensor.
    ///
    /// # Panics
    /// If it does not: a bug of the caller.
    pub fn put(&self, tensor: &Tensor) -> QuantTensor {
        let (_, channels, inner) = self.layout(&tensor.dims);
        let mut codes = Vec::with_capacity(tensor.data.len());
        for (i, row) in tensor.data.chunks(inner.max(1)).enumerate() {
            let c = i % channels;
            match &self.levels {
                Levels::Table(table) => {
                    let scale = self.scale[c];
                    let thresholds = table.thresholds(c);
                    let code = |x: &f32| thresholds.iter().filter(|t| *x >= scale * **t).count();
                    codes.extend(row.iter().map(|x| code(x) as i32));
                }
                _ => codes.extend(row.iter().map(|&x| self.code(x, c))),
            }
        }
        QuantTensor { dims: tensor.dims.clone(), grid: self.clone(), codes }
    }
}

/// A tensor of codes on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantTensor {
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The grid.
    pub grid: Grid,
    /// Codes, row-major.
    pub codes: Vec<i32>,
}

impl QuantTensor {
    /// The values that the codes stand for.
    pub fn dequantize(&self) -> Tensor {
        let (_, channels, inner) = self.grid.layout(&self.dims);
        let data = self
            .codes
            .chunks(inner.max(1))
            .enumerate()
            .flat_map(|(i, row)| row.iter().map(move |&q| self.grid.value(q, i % channels)))
            .collect();
        Tensor::new(self.dims.clone(), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits() -> impl Strategy<Value = Bits> {
        (1u8..=8).prop_map(|b| Bits::new(b).unwrap())
    }

    proptest! {
        #[test]
        fn zero_is_on_every_affine_grid(lo in -1e3f32..1e3, hi in -1e3f32..1e3, b in bits()) {
            let grid = Grid::activation(lo.min(hi), lo.max(hi), b);
            prop_assert_eq!(grid.round(0.0, 0), 0.0);
            prop_assert!(grid.check(&[4]).is_ok());
        }

        #[test]
        fn inside_the_range_the_error_is_at_most_half_a_step(
            lo in -100f32..-0.01, hi in 0.01f32..100.0, t in 0f32..1.0, b in bits()
        ) {
            let grid = Grid::activation(lo, hi, b);
            let (l, u) = grid.ends(0);
            let x = l + t * (u - l);
            prop_assert!((grid.round(x, 0) - x).abs() <= grid.scale[0] * 0.5001);
        }

        #[test]
        fn rounding_is_idempotent_and_saturates(x in -1e30f32..1e30, m in 1e-3f32..1e3, b in bits()) {
            let grid = Grid::symmetric(vec![symmetric_scale(m, b)], 0, b, SignedRange::Full);
            let once = grid.round(x, 0);
            prop_assert_eq!(grid.round(once, 0), once);
            let (lo, hi) = grid.ends(0);
            prop_assert!(once >= lo && once <= hi);
        }
    }

    #[test]
    fn half_rounds_to_even() {
        let grid = Grid::symmetric(vec![1.0], 0, Bits::EIGHT, SignedRange::Restricted);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|x| grid.code(x, 0)), [0, 2, 2, 0, -2]);
    }

    #[test]
    fn an_empty_range_gives_scale_one() {
        assert_eq!(affine_params(0.0, 0.0, Bits::EIGHT), (1.0, 0));
        assert_eq!(symmetric_scale(0.0, Bits::EIGHT), 1.0);
    }

    #[test]
    fn per_channel_codes_use_their_own_scale() {
        let grid = Grid::symmetric(vec![1.0, 0.5], 0, Bits::EIGHT, SignedRange::Restricted);
        let q = grid.quantize(&Tensor::new(vec![2, 2], vec![1.0, 2.0, 1.0, 2.0])).unwrap();
        assert_eq!(q.codes, [1, 2, 2, 4]);
        assert_eq!(q.dequantize().data, [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn codes_of_a_table_count_thresholds() {
        let table = Table::new(vec![0.0, 1.0, 4.0]);
        let grid = Grid::table(table.clone(), 0.5, Bits::new(2).unwrap());
        let codes = |grid: &Grid| [-1.0, 0.2, 0.25, 1.2, 1.25, 9.0].map(|x| grid.code(x, 0));
        assert_eq!(codes(&grid), [0, 0, 1, 1, 2, 2]);
        assert_eq!(grid.ends(0), (0.0, 2.0));
        let early = Grid::table(table.with_thresholds(vec![0.1, 2.5]), 0.5, grid.bits);
        assert_eq!(codes(&early), [0, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn a_table_that_cannot_be_used_says_why() {
        let bits = Bits::new(2).unwrap();
        let fault = |table| Grid::table(table, 1.0, bits).check(&[4]).unwrap_err().to_string();
        assert_eq!(fault(Table::new(vec![0.0])), "1 levels in 2 bits; expected 2 to 4");
        assert_eq!(fault(Table::new(vec![0.0, 0.0])), "levels that do not ascend");
        assert_eq!(fault(Table::new(vec![0.0, f32::NAN])), "levels that do not ascend");
        let rows = Table::rows(vec![0.0, 1.0, 0.0, 1.0], 2);
        assert_eq!(fault(rows), "4 levels for 1 channels of 2");
        let one = Table::new(vec![0.0, 1.0]).with_thresholds(vec![0.1, 0.2]);
        assert_eq!(fault(one), "2 thresholds that do not ascend between 2 levels");
    }

    #[test]
    fn channels_may_have_levels_of_their_own() {
        let levels = Levels::Table(Table::rows(vec![-1.0, 1.0, -3.0, 5.0], 2));
        let (scale, zero_point) = (vec![1.0, 2.0], vec![0, 0]);
        let granularity = Granularity::Channel { axis: 0 };
        let grid = Grid { levels, bits: Bits::new(1).unwrap(), granularity, scale, zero_point };
        let q = grid.quantize(&Tensor::new(vec![2, 2], vec![-0.1, 0.0, 1.9, 2.0])).unwrap();
        assert_eq!(q.codes, [0, 1, 0, 1]);
        assert_eq!(q.dequantize().data, [-1.0, 1.0, -6.0, 10.0]);
    }

    #[test]
    fn a_wrong_number_of_scales_is_refused() {
        let grid = Grid::symmetric(vec![1.0], 0, Bits::EIGHT, SignedRange::Restricted);
        assert!(matches!(
            grid.quantize(&Tensor::new(vec![2], vec![0.0, 0.0])),
            Err(GridError::Count { .. })
        ));
    }
}
