//! Resizing as Pillow does it, bit for bit.
//!
//! Two passes of 8-bit images with fixed-point weights; the filter grows with the factor of
//! reduction, so that every source pixel counts (antialiasing).
//! Arithmetic after Pillow's `Resample.c` (A. Murray, MIT-CMU licence): weights of 22 fractional
//! bits, rounding half up, clipping after each pass, and always the horizontal pass first (as in
//! Pillow 11; Pillow 13 takes the vertical one first for some sizes).

use serde::{Deserialize, Serialize};

use crate::Raster;

/// How pixels between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// A triangle, one pixel to either side.
    Bilinear,
    /// R. Keys, "Cubic convolution interpolation for digital image processing", 1981, with
    /// `a = -0.5`: two pixels to either side.
    Bicubic,
}

impl Interpolation {
    /// Half the filter's width in pixels of the smaller image.
    fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Interpolation::Bilinear if x < 1.0 => 1.0 - x,
            Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Fractional bits of a weight: 32, less 8 of a pixel, less 2 for overshoot.
const BITS: u32 = 22;

/// The source pixels of one target pixel.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(from: usize, to: usize, interpolation: Interpolation) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = interpolation.support() * stretch;
    let one = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        // Conversion to an integer cuts towards zero, and a negative start is the first pixel.
        let first = ((centre - support + 0.5) as i64).max(0) as usize;
        let end = ((centre + support + 0.5) as i64).clamp(0, from as i64) as usize;
        let raw: Vec<f64> = (first..end)
            .map(|x| interpolation.weight((x as f64 - centre + 0.5) * (1.0 / stretch)))
            .collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |w: &f64| {
            let w = if sum == 0.0 { *w } else { w / sum };
            let scaled = w * f64::from(1 << BITS);
            (if w < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        };
        Taps { first, weights: raw.iter().map(fixed).collect() }
    };
    (0..to).map(one).collect()
}

/// Rounds half up and clips.
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The image at another size.
pub(crate) fn resize(
    source: &Raster,
    height: usize,
    width: usize,
    interpolation: Interpolation,
) -> Raster {
    let mut data = source.data.clone();
    if width != source.width {
        data = across(&data, source.width, &taps(source.width, width, interpolation));
    }
    if height != source.height {
        let taps = taps(source.height, height, interpolation);
        let plane = source.height * width;
        data = data.chunks_exact(plane).flat_map(|plane| down(plane, width, &taps)).collect();
    }
    Raster { channels: source.channels, height, width, data }
}

/// Every row at another width.
fn across(rows: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() / width * taps.len());
    for row in rows.chunks_exact(width) {
        out.extend(taps.iter().map(|tap| {
            let pixels = &row[tap.first..];
            let products = pixels.iter().zip(&tap.weights).map(|(p, w)| i32::from(*p) * w);
            byte(products.fold(1 << (BITS - 1), i32::wrapping_add))
        }));
    }
    out
}

/// One plane at another height; whole rows are summed, which compilers turn into vectors.
fn down(plane: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.len() * width);
    let mut sums = vec![0_i32; width];
    for tap in taps {
        sums.fill(1 << (BITS - 1));
        for (row, weight) in plane.chunks_exact(width).skip(tap.first).zip(&tap.weights) {
            for (sum, pixel) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(*pixel) * weight);
            }
        }
        out.extend(sums.iter().map(|sum| byte(*sum)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Interpolation; 2] = [Interpolation::Bilinear, Interpolation::Bicubic];

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for interpolation in BOTH {
            for (from, to) in [(500, 256), (375, 256), (7, 3), (3, 7), (1, 5), (1000, 1)] {
                for tap in taps(from, to, interpolation) {
                    let sum: i32 = tap.weights.iter().sum();
                    let off = (sum - (1 << BITS)).unsigned_abs() as usize;
                    assert!(off <= tap.weights.len(), "{from} to {to}: {off}");
                    assert!(tap.first + tap.weights.len() <= from);
                }
            }
        }
    }

    #[test]
    fn a_plain_image_stays_plain() {
        for interpolation in BOTH {
            for value in [0, 1, 127, 255] {
                let data = vec![value; 3 * 9 * 13];
                let plain = Raster { channels: 3, height: 9, width: 13, data };
                let small = resize(&plain, 4, 5, interpolation);
                assert_eq!(small.dims(), [3, 4, 5]);
                assert!(small.data.iter().all(|v| *v == value), "{interpolation:?} {value}");
            }
        }
    }

    #[test]
    fn halving_two_pixels_is_their_weighted_mean() {
        // Support 2: weights 0.25 0.75 0.75 0.25 over the four pixels around the centre, cut at
        // the border: (0.75 * 10 + 0.75 * 20 + 0.25 * 30) / 1.75 = 17.14.
        let row = Raster { channels: 1, height: 1, width: 4, data: vec![10, 20, 30, 40] };
        assert_eq!(resize(&row, 1, 2, Interpolation::Bilinear).data, [17, 33]);
    }
}
