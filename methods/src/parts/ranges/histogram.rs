//! A histogram that keeps, per bin, what the squared error of a uniform grid needs.
//!
//! With the count, the sum and the sum of squares of a bin, the squared error of all its values
//! against one level `q` is `S2 - 2 q S1 + q^2 N` without any approximation. Only bins in which a
//! rounding threshold lies are estimated, from a uniform density within the bin.

use rayon::prelude::*;

use super::CHUNK;

/// Number of bins; fine enough that an 8-bit grid has eight bins per step.
pub const BINS: usize = 2048;

/// Count, sum and sum of squares of the values in a bin.
type Bin = [f64; 3];

/// Equally wide bins over a range that is known beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    lo: f64,
    width: f64,
    bins: Vec<Bin>,
    zeros: u64,
}

impl Histogram {
    /// An empty histogram over `[lo, hi]`; an empty range gets one unit of width.
    pub fn new(lo: f32, hi: f32) -> Self {
        let (lo, hi) = (f64::from(lo), f64::from(hi));
        let width = (hi - lo) / BINS as f64;
        let width = if width > 0.0 && width.is_finite() { width } else { 1.0 / BINS as f64 };
        Self { lo, width, bins: vec![[0.0; 3]; BINS], zeros: 0 }
    }

    /// Adds values, spread over the worker threads.
    pub fn add(&mut self, values: &[f32]) {
        if values.len() <= CHUNK {
            self.add_here(values);
            return;
        }
        let parts: Vec<Histogram> = values
            .par_chunks(CHUNK)
            .map(|chunk| {
                let mut part = Self { bins: vec![[0.0; 3]; BINS], zeros: 0, ..*self };
                part.add_here(chunk);
                part
            })
            .collect();
        for part in parts {
            self.zeros += part.zeros;
            for (bin, more) in self.bins.iter_mut().zip(&part.bins) {
                for (a, b) in bin.iter_mut().zip(more) {
                    *a += b;
                }
            }
        }
    }

    /// Zeros are counted apart from the bins: zero is a level of every grid, so their error is
    /// nothing. After a ReLU they are half of all values.
    fn add_here(&mut self, values: &[f32]) {
        let mut kept = [0.0f32; 256];
        let (lo, inverse) = (self.lo as f32, (1.0 / self.width) as f32);
        for block in values.chunks(kept.len()) {
            let mut n = 0;
            for &v in block {
                kept[n] = v;
                n += usize::from(v != 0.0);
            }
            self.zeros += (block.len() - n) as u64;
            for &v in &kept[..n] {
                let at = ((v - lo) * inverse) as usize;
                let bin = &mut self.bins[at.min(BINS - 1)];
                let v = f64::from(v);
                bin[0] += 1.0;
                bin[1] += v;
                bin[2] += v * v;
            }
        }
    }

    /// Number of values that are not zero.
    pub fn count(&self) -> f64 {
        self.bins.iter().map(|b| b[0]).sum()
    }

    /// Number of values that are exactly zero; no bin holds them.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The bins in order: left end, right end, and count, sum and sum of squares of the values
    /// between them that are not zero.
    pub fn bins(&self) -> impl ExactSizeIterator<Item = (f64, f64, [f64; 3])> + '_ {
        self.bins.iter().enumerate().map(|(i, bin)| {
            let left = self.lo + i as f64 * self.width;
            (left, left + self.width, *bin)
        })
    }

    /// Sum of squared errors of an unsigned affine grid with codes `0 ..= top`.
    pub fn squared_error(&self, scale: f32, zero_point: i32, top: i32) -> f64 {
        let (s, z, top) = (f64::from(scale), f64::from(zero_point), f64::from(top));
        let code = |x: f64| ((x / s).round_ties_even() + z).clamp(0.0, top);
        let mut sum = 0.0;
        let mut left = self.lo;
        let mut code_left = code(left);
        for (i, bin) in self.bins.iter().enumerate() {
            let right = self.lo + (i + 1) as f64 * self.width;
            let code_right = code(right);
            if bin[0] > 0.0 {
                let [n, s1, s2] = *bin;
                sum += if code_left == code_right {
                    let q = (code_left - z) * s;
                    (s2 - 2.0 * q * s1 + q * q * n).max(0.0)
                } else if code_right - code_left == 1.0 {
                    let (q, next) = ((code_left - z) * s, (code_right - z) * s);
                    let threshold = 0.5 * (q + next);
                    n / self.width
                        * (square_integral(left - q, threshold - q)
                            + square_integral(threshold - next, right - next))
                } else {
                    // Steps finer than a bin: the error of uniform noise.
                    n * s * s / 12.0
                };
            }
            (left, code_left) = (right, code_right);
        }
        sum
    }
}

/// Integral of `t^2` from `a` to `b`.
fn square_integral(a: f64, b: f64) -> f64 {
    (b * b * b - a * a * a) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quantbench_core::{Bits, Grid};

    fn direct(values: &[f32], grid: &Grid) -> f64 {
        values.iter().map(|&v| f64::from(grid.round(v, 0) - v).powi(2)).sum()
    }

    proptest! {
        #[test]
        fn the_error_is_close_to_that_of_the_values(
            values in prop::collection::vec(-1f32..3.0, 500..800), bits in 2u8..=5, k in 20u8..=100,
        ) {
            let t = f32::from(k) / 100.0;
            let grid = Grid::activation(-t, 3.0 * t, Bits::new(bits).unwrap());
            let mut histogram = Histogram::new(-1.0, 3.0);
            histogram.add(&values);
            let top = (1 << bits) - 1;
            let found = histogram.squared_error(grid.scale[0], grid.zero_point[0], top);
            let want = direct(&values, &grid);
            prop_assert!((found - want).abs() <= 0.02 * want + 1e-6, "{found} against {want}");
        }
    }

    #[test]
    fn uncut_bins_are_exact() {
        // Levels 0, 1, 2, 3; no value's bin holds a threshold.
        let values = [0.9f32, 1.1, 2.25, 2.9, 0.0, 0.2];
        let grid = Grid::activation(0.0, 3.0, Bits::new(2).unwrap());
        let mut histogram = Histogram::new(0.0, 3.0);
        histogram.add(&values);
        let found = histogram.squared_error(grid.scale[0], 0, 3);
        assert!((found - direct(&values, &grid)).abs() < 1e-12);
        assert_eq!((histogram.count(), histogram.zeros()), (5.0, 1));
        let (left, right, _) = histogram.bins().nth(1).unwrap();
        assert_eq!((left, right), (3.0 / BINS as f64, 6.0 / BINS as f64));
    }

    #[test]
    fn chunks_add_up() {
        let values: Vec<f32> = (0..CHUNK * 2 + 77).map(|i| (i % 1013) as f32 / 1013.0).collect();
        let mut whole = Histogram::new(0.0, 1.0);
        whole.add(&values);
        let mut parts = Histogram::new(0.0, 1.0);
        values.chunks(CHUNK).for_each(|c| parts.add(c));
        assert_eq!(whole.count(), parts.count());
        let (a, b) = (whole.squared_error(0.3, 0, 3), parts.squared_error(0.3, 0, 3));
        assert!((a - b).abs() < 1e-9 * a);
    }
}
