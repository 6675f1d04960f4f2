//! Batches of feature maps in memory.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use quantbench_core::Tensor;
use rayon::prelude::*;

use super::isa::Isa;

/// Channels that lie side by side in memory.
pub const BLOCK: usize = 16;

/// One value of each channel of a block, as wide as the widest vector and aligned to it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; BLOCK]);

impl Lanes {
    /// All zero.
    pub const ZERO: Lanes = Lanes([0.0; BLOCK]);
}

/// Dimensions of a batch of feature maps. Vectors are maps of one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// Images.
    pub images: usize,
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl MapShape {
    /// `[images, channels, height, width]`; of `[images, channels]` maps of one pixel.
    ///
    /// None for other numbers of dimensions.
    pub fn of(dims: &[usize]) -> Option<Self> {
        let (images, channels, height, width) = match *dims {
            [n, c] => (n, c, 1, 1),
            [n, c, w] => (n, c, 1, w),
            [n, c, h, w] => (n, c, h, w),
            _ => return None,
        };
        Some(Self { images, channels, height, width })
    }

    /// Blocks of channels; the last one may be partly empty.
    pub fn blocks(self) -> usize {
        self.channels.div_ceil(BLOCK)
    }

    /// Pixels of a channel of an image.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// [`Lanes`] of an image.
    pub fn per_image(self) -> usize {
        self.blocks() * self.pixels()
    }

    /// Numbers, without what fills blocks up.
    pub fn elements(self) -> usize {
        self.images * self.channels * self.pixels()
    }

    /// Channels of a block that are not filling.
    pub fn lanes(self, block: usize) -> usize {
        (self.channels - block * BLOCK).min(BLOCK)
    }

    /// The same with other channels and sizes.
    #[must_use]
    pub fn with(self, channels: usize, height: usize, width: usize) -> Self {
        Self { images: self.images, channels, height, width }
    }
}

/// A batch of feature maps: `[image][block][row][column][channel of the block]`, so that a vector
/// holds one pixel of neighbouring channels. Lanes beyond the last channel are zero, or whatever
/// their channel's neighbours made of zeros; nothing reads them into a channel.
#[derive(Debug)]
pub struct Map {
    shape: MapShape,
    data: Vec<Lanes>,
    device: Device,
}

impl Map {
    /// The dimensions.
    pub fn shape(&self) -> MapShape {
        self.shape
    }

    /// Where it was made.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The image at a position.
    pub fn image(&self, image: usize) -> &[Lanes] {
        let n = self.shape.per_image();
        &self.data[image * n..(image + 1) * n]
    }

    /// The numbers as `[images, channels, height, width]`.
    pub fn to_tensor(&self) -> Tensor {
        let MapShape { images, channels, height, width } = self.shape;
        let pixels = self.shape.pixels();
        let mut data = Vec::with_capacity(self.shape.elements());
        for image in 0..images {
            for plane in self.image(image).chunks(pixels.max(1)).enumerate() {
                for lane in 0..self.shape.lanes(plane.0) {
                    data.extend(plane.1.iter().map(|v| v.0[lane]));
                }
            }
        }
        Tensor::new(vec![images, channels, height, width], data)
    }

    /// The value of a channel at a pixel of an image.
    pub fn at(&self, image: usize, channel: usize, pixel: usize) -> f32 {
        let plane = channel / BLOCK * self.shape.pixels();
        self.image(image)[plane + pixel].0[channel % BLOCK]
    }

    /// The images at some positions, in that order.
    ///
    /// # Panics
    /// If there is no image at a position: a bug of the caller.
    #[must_use]
    pub fn gather(&self, positions: &[usize]) -> Map {
        let mut out = self.device.dirty(MapShape { images: positions.len(), ..self.shape });
        let per_image = self.shape.per_image().max(1);
        let pairs = out.par_chunks_mut(per_image).zip(positions);
        pairs.for_each(|(to, from)| to.copy_from_slice(self.image(*from)));
        out
    }

    /// Batches of maps of one size one after the other; none without any, or of several sizes.
    pub fn join(parts: &[Map]) -> Option<Map> {
        let first = parts.first()?;
        let one = MapShape { images: 1, ..first.shape };
        if parts.iter().any(|p| (MapShape { images: 1, ..p.shape }) != one) {
            return None;
        }
        let images = parts.iter().map(|p| p.shape.images).sum();
        let mut out = first.device.dirty(MapShape { images, ..one });
        let mut at = 0;
        for part in parts {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Some(out)
    }

    /// Sets all negative numbers to zero.
    pub fn rectify(&mut self) {
        self.iter_mut().flat_map(|l| &mut l.0).for_each(|v| *v = v.max(0.0));
    }

    /// A copy.
    #[must_use]
    pub fn copy(&self) -> Map {
        let mut copy = self.device.dirty(self.shape);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Map {
    type Target = [Lanes];

    fn deref(&self) -> &[Lanes] {
        &self.data
    }
}

impl DerefMut for Map {
    fn deref_mut(&mut self) -> &mut [Lanes] {
        &mut self.data
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.device.recycle(std::mem::take(&mut self.data));
    }
}

/// What maps are computed on: an instruction set, and memory that is used again, because memory
/// that comes fresh from the system has to be cleared page by page.
#[derive(Debug, Clone)]
pub struct Device {
    /// The instruction set of all kernels.
    pub isa: Isa,
    free: Arc<Mutex<BTreeMap<usize, Vec<Vec<Lanes>>>>>,
}

impl Device {
    /// A device with the widest instruction set of this machine.
    pub fn new() -> Self {
        Self::with(Isa::best())
    }

    /// A device with an instruction set.
    pub fn with(isa: Isa) -> Self {
        Self { isa, free: Arc::default() }
    }

    /// A map of zeros.
    pub fn zeros(&self, shape: MapShape) -> Map {
        let mut map = self.dirty(shape);
        map.fill(Lanes::ZERO);
        map
    }

    /// A map of unspecified numbers, for whoever writes all of them.
    pub(crate) fn dirty(&self, shape: MapShape) -> Map {
        let len = shape.images * shape.per_image();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let old = free.get_mut(&len).and_then(Vec::pop);
        drop(free);
        let data = old.unwrap_or_else(|| vec![Lanes::ZERO; len]);
        Map { shape, data, device: self.clone() }
    }

    /// The map of a tensor `[n, c]`, `[n, c, w]` or `[n, c, h, w]`; none for other dimensions.
    pub fn map(&self, tensor: &Tensor) -> Option<Map> {
        let shape = MapShape::of(&tensor.dims)?;
        let mut map = self.zeros(shape);
        let (per_image, pixels) = (shape.per_image(), shape.pixels());
        for (i, plane) in tensor.data.chunks(pixels.max(1)).enumerate() {
            let (image, channel) = (i / shape.channels, i % shape.channels);
            let start = image * per_image + channel / BLOCK * pixels;
            for (to, &v) in map[start..start + pixels].iter_mut().zip(plane) {
                to.0[channel % BLOCK] = v;
            }
        }
        Some(map)
    }

    fn recycle(&self, data: Vec<Lanes>) {
        if !data.is_empty() {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.entry(data.len()).or_default().push(data);
        }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tensor_comes_back_as_it_went(
            n in 1usize..4, c in 1usize..40, h in 1usize..5, w in 1usize..5,
        ) {
            let data = (0..n * c * h * w).map(|i| i as f32).collect();
            let tensor = Tensor::new(vec![n, c, h, w], data);
            let map = Device::new().map(&tensor).unwrap();
            prop_assert_eq!(map.at(n - 1, c - 1, h * w - 1), (n * c * h * w - 1) as f32);
            prop_assert_eq!(map.to_tensor(), tensor);
        }
    }

    #[test]
    fn memory_is_used_again() {
        let device = Device::new();
        let shape = MapShape::of(&[2, 3, 4, 4]).unwrap();
        let first = device.zeros(shape);
        let at = first.as_ptr();
        drop(first);
        assert_eq!(device.dirty(shape).as_ptr(), at);
    }
}
