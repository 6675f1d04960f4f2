//! Random changes of training images.

use quantbench_core::Tensor;
use quantbench_core::rng::Rng;
use thiserror::Error;

/// Whether images are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// Never.
    Never,
    /// Left to right with probability one half.
    Half,
}

/// Random crop and flip, the usual augmentation of CIFAR (He et al. 2016, section 4.2): zeros are
/// added around the image, a window of the image's size is cut out at a random place, and it may be
/// mirrored.
///
/// The zeros are those of the normalised image, so the border has the mean colour. `RandomCrop` of
/// torchvision stands before the normalisation in most training scripts, and its border is black.
///
/// What happens to an image depends on the seed, the epoch and the image's position in its source,
/// on nothing else: not on the batch that it is in, nor on threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Augment {
    /// Pixels that are added on each side; 0 does not crop.
    pub pad: usize,
    /// Whether images are mirrored.
    pub flip: Flip,
    /// Seed of all draws.
    pub seed: u64,
}

/// A batch that cannot be augmented.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AugmentError {
    /// Not a batch of images, or not of as many as there are positions.
    #[error("a batch has dimensions {found:?}; expected [{images}, channels, height, width]")]
    Dims {
        /// Dimensions of the batch.
        found: Vec<usize>,
        /// Positions of images that were given.
        images: usize,
    },
    /// So much padding that a window may hold nothing of the image.
    #[error(
        "images of {height} x {width} pixels are to be padded by {pad} on each side; expected less \
         than their shorter side"
    )]
    Pad {
        /// Pixels on each side.
        pad: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
    },
}

impl Augment {
    /// Changes the batch `[n, C, H, W]` of the images at positions `images` in their source.
    ///
    /// # Errors
    /// The batch is not one of so many images, or they are smaller than the padding.
    pub fn apply(
        &self,
        epoch: usize,
        images: &[usize],
        batch: &mut Tensor,
    ) -> Result<(), AugmentError> {
        let &[n, channels, height, width] = &batch.dims[..] else {
            return Err(AugmentError::Dims { found: batch.dims.clone(), images: images.len() });
        };
        if n != images.len() || batch.data.len() != n * channels * height * width {
            return Err(AugmentError::Dims { found: batch.dims.clone(), images: images.len() });
        }
        if batch.data.is_empty() {
            return Ok(());
        }
        if self.pad >= height.min(width) {
            return Err(AugmentError::Pad { pad: self.pad, height, width });
        }
        let plane = height * width;
        let mut before = vec![0.0; plane];
        for (values, image) in batch.data.chunks_exact_mut(channels * plane).zip(images) {
            let change = self.draw(epoch, *image);
            for channel in values.chunks_exact_mut(plane) {
                before.copy_from_slice(channel);
                change.apply(&before, channel, width);
            }
        }
        Ok(())
    }

    /// What happens to an image in an epoch. Everything is drawn whatever is asked for, so that
    /// the flip of an image does not depend on the padding.
    fn draw(&self, epoch: usize, image: usize) -> Change {
        let parts = ["augment", &self.seed.to_string(), &epoch.to_string(), &image.to_string()];
        let mut rng = Rng::from_parts(&parts);
        let mirrored = rng.below(2) == 1 && self.flip == Flip::Half;
        let mut shift = || rng.below(2 * self.pad as u64 + 1) as isize - self.pad as isize;
        let (down, right) = (shift(), shift());
        Change { down, right, mirrored }
    }
}

/// The change of one image: where its window begins, from the unpadded corner, and its mirroring.
struct Change {
    down: isize,
    right: isize,
    mirrored: bool,
}

impl Change {
    /// Changes one channel.
    fn apply(&self, before: &[f32], after: &mut [f32], width: usize) {
        after.fill(0.0);
        let (skip, shift) = (self.down.unsigned_abs(), self.right.unsigned_abs());
        let rows = before.len() / width;
        let kept = rows - skip;
        let (from, to) = if self.down < 0 { (0, skip) } else { (skip, 0) };
        for row in 0..kept {
            let source = &before[(from + row) * width..][..width];
            let target = &mut after[(to + row) * width..][..width];
            if self.right < 0 {
                target[shift..].copy_from_slice(&source[..width - shift]);
            } else {
                target[..width - shift].copy_from_slice(&source[shift..]);
            }
            if self.mirrored {
                target.reverse();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Images of numbers that are all different and not zero.
    fn batch(n: usize, dims: [usize; 3]) -> Tensor {
        let [c, h, w] = dims;
        let data = (1..=n * c * h * w).map(|i| i as f32).collect();
        Tensor::new(vec![n, c, h, w], data)
    }

    /// One pixel after another: pad, cut, mirror.
    fn by_definition(
        image: &[f32],
        [c, h, w]: [usize; 3],
        pad: usize,
        (top, left, mirrored): (usize, usize, bool),
    ) -> Vec<f32> {
        let (high, wide) = (h + 2 * pad, w + 2 * pad);
        let mut padded = vec![0.0; c * high * wide];
        let mut cut = Vec::new();
        for k in 0..c {
            for y in 0..h {
                for x in 0..w {
                    padded[(k * high + y + pad) * wide + x + pad] = image[(k * h + y) * w + x];
                }
            }
            for y in 0..h {
                for x in 0..w {
                    let x = if mirrored { w - 1 - x } else { x };
                    cut.push(padded[(k * high + y + top) * wide + x + left]);
                }
            }
        }
        cut
    }

    #[test]
    fn every_window_is_cut_and_as_often() {
        let (dims, pad, n) = ([2, 3, 4], 1, 3600);
        let before = batch(n, dims);
        let mut after = before.clone();
        let images: Vec<usize> = (0..n).collect();
        Augment { pad, flip: Flip::Half, seed: 5 }.apply(3, &images, &mut after).unwrap();
        let mut counts = BTreeMap::new();
        for (before, after) in before.data.chunks(24).zip(after.data.chunks(24)) {
            let places = (0..18).map(|i| (i / 6, i / 2 % 3, i % 2 == 1));
            let mut fitting = places.filter(|p| by_definition(before, dims, pad, *p) == after);
            let place = fitting.next().expect("a window of the padded image");
            assert_eq!(fitting.next(), None);
            *counts.entry(place).or_insert(0) += 1;
        }
        // 200 of each are expected, with a standard deviation of 14.
        assert_eq!(counts.len(), 18);
        assert!(counts.values().all(|n| (130..270).contains(n)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn an_image_does_not_depend_on_its_batch(
            n in 1usize..8, h in 1usize..6, w in 1usize..6, pad in 0usize..6, flips: bool,
            seed: u64, epoch in 0usize..100, first in 0usize..50_000,
        ) {
            let flip = if flips { Flip::Half } else { Flip::Never };
            let augment = Augment { pad: pad % h.min(w), flip, seed };
            let before = batch(n, [3, h, w]);
            let images: Vec<usize> = (first..first + n).collect();
            let mut whole = before.clone();
            augment.apply(epoch, &images, &mut whole).unwrap();
            let size = 3 * h * w;
            for (i, image) in images.iter().enumerate().rev() {
                let data = before.data[i * size..(i + 1) * size].to_vec();
                let mut alone = Tensor::new(vec![1, 3, h, w], data);
                augment.apply(epoch, &[*image], &mut alone).unwrap();
                prop_assert_eq!(&alone.data[..], &whole.data[i * size..(i + 1) * size]);
            }
            if augment.pad == 0 && flip == Flip::Never {
                prop_assert_eq!(whole, before);
            }
        }
    }

    #[test]
    fn epochs_seeds_and_images_differ() {
        let mut seen = Vec::new();
        for (seed, epoch, first) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 100)] {
            let mut batch = batch(20, [1, 8, 8]);
            let images: Vec<usize> = (first..first + 20).collect();
            Augment { pad: 4, flip: Flip::Half, seed }.apply(epoch, &images, &mut batch).unwrap();
            assert!(!seen.contains(&batch));
            seen.push(batch);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let augment = |pad| Augment { pad, flip: Flip::Half, seed: 0 };
        let refused = |pad, images: &[usize], mut batch: Tensor, words: &str| {
            let before = batch.clone();
            let message = augment(pad).apply(0, images, &mut batch).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
            assert_eq!(batch, before);
        };
        refused(1, &[0], batch(2, [1, 3, 3]), "[2, 1, 3, 3]; expected [1, channels");
        refused(1, &[0], Tensor::new(vec![1, 4], vec![0.0; 4]), "[1, 4]; expected [1, channels");
        refused(3, &[0], batch(1, [1, 3, 5]), "3 x 5 pixels are to be padded by 3");
        let mut none = batch(0, [1, 3, 3]);
        augment(1).apply(0, &[], &mut none).unwrap();
        assert_eq!(none.dims, [0, 1, 3, 3]);
    }
}
