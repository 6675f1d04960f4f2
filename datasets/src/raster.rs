//! One decoded image, plane by plane, and the two things that preprocessing does to its shape.

use crate::resample::{self, Interpolation};

/// Bytes of one image, plane by plane, rows from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// Number of planes: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The planes, one after the other.
    pub data: Vec<u8>,
}

impl Raster {
    /// An image from interleaved pixels, of which the first `keep` values of each count.
    pub(crate) fn from_interleaved(
        height: usize,
        width: usize,
        stride: usize,
        keep: usize,
        pixels: &[u8],
    ) -> Self {
        let plane = |c: usize| pixels.iter().skip(c).step_by(stride).take(height * width).copied();
        Self { channels: keep, height, width, data: (0..keep).flat_map(plane).collect() }
    }

    /// Channels, height, width.
    pub fn dims(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// A grey image as three equal planes; any other stays as it is.
    pub(crate) fn into_rgb(mut self) -> Self {
        if self.channels == 1 {
            self.data = self.data.repeat(3);
            self.channels = 3;
        }
        self
    }

    /// Scales so that the shorter side has `side` pixels.
    ///
    /// The longer side is cut to a whole number as torchvision's `Resize` does; an image whose
    /// shorter side fits already is left alone.
    #[must_use]
    pub fn resized(self, side: usize, interpolation: Interpolation) -> Self {
        let short = self.height.min(self.width);
        if short == side || short == 0 {
            return self;
        }
        let height = self.height * side / short;
        let width = self.width * side / short;
        resample::resize(&self, height, width, interpolation)
    }

    /// The middle square of `side` pixels; none if the image is smaller.
    ///
    /// An odd margin is rounded half to even, as Python's `round` does in torchvision's
    /// `CenterCrop`.
    pub fn cropped(&self, side: usize) -> Option<Self> {
        let margin = |all: usize| {
            let spare = all.checked_sub(side)?;
            let half = spare / 2;
            Some(if spare % 2 == 1 && half % 2 == 1 { half + 1 } else { half })
        };
        let (top, left) = (margin(self.height)?, margin(self.width)?);
        let mut data = Vec::with_capacity(self.channels * side * side);
        for plane in self.data.chunks_exact(self.height * self.width) {
            for row in plane.chunks_exact(self.width).skip(top).take(side) {
                data.extend_from_slice(&row[left..left + side]);
            }
        }
        Some(Self { channels: self.channels, height: side, width: side, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Raster {
        let data = (0..height * width).map(|i| i as u8).collect();
        Raster { channels: 1, height, width, data }
    }

    #[test]
    fn odd_margins_are_rounded_half_to_even() {
        // Margins 0.5, 1.5 and 2.5 become 0, 2 and 2.
        for (width, left) in [(4, 0), (6, 2), (8, 2), (7, 2)] {
            let cropped = ramp(3, width).cropped(3).unwrap();
            assert_eq!(usize::from(cropped.data[0]), left, "width {width}");
            assert_eq!(cropped.dims(), [1, 3, 3]);
        }
        assert!(ramp(3, 9).cropped(4).is_none());
    }

    #[test]
    fn the_shorter_side_counts_and_the_longer_one_is_cut() {
        let size = |h, w| ramp(h, w).resized(4, Interpolation::Bilinear).dims();
        assert_eq!(size(8, 13), [1, 4, 6]);
        assert_eq!(size(13, 8), [1, 6, 4]);
        assert_eq!(size(4, 9), [1, 4, 9], "it fits already");
        assert_eq!(size(2, 3), [1, 4, 6], "it may grow");
    }

    #[test]
    fn interleaved_pixels_are_split_into_planes_without_alpha() {
        let raster = Raster::from_interleaved(1, 2, 4, 3, &[1, 2, 3, 255, 4, 5, 6, 0]);
        assert_eq!(raster.data, [1, 4, 2, 5, 3, 6]);
        assert_eq!(ramp(1, 2).into_rgb().data, [0, 1, 0, 1, 0, 1]);
    }
}
