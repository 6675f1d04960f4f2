//! Which images make up each batch of a training, and how they are fetched.

use quantbench_core::rng::{self, Rng};
use quantbench_core::{ImageSource, SourceError, Tensor};
use rayon::prelude::*;
use thiserror::Error;

/// What becomes of the images of an epoch that do not fill a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// They are left out; others are in each epoch.
    Drop,
    /// They make a smaller batch.
    Keep,
}

/// Passes over all images, each in an order of its own.
///
/// The order of an epoch is a permutation (Fisher-Yates on ChaCha8) that the seed and the epoch
/// alone decide, so it is the same on every machine, and a training goes on from any step without
/// a replay of the epochs before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    images: usize,
    batch: usize,
    count: usize,
    last: Last,
    seed: u64,
}

/// Batches that cannot be. Epochs and steps count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// A batch of nothing.
    #[error("batches of 0 images were asked for; expected 1 or more")]
    NoBatch,
    /// No epochs.
    #[error("a training of 0 epochs was asked for; expected 1 or more")]
    NoEpochs,
    /// Fewer images than one batch has.
    #[error(
        "batches of {batch} images were asked for, there are {images} images; use a smaller batch"
    )]
    TooLarge {
        /// Images in a batch.
        batch: usize,
        /// All images.
        images: usize,
    },
    /// An epoch at or behind the end.
    #[error("epoch {epoch} was asked for; the epochs are 0 to {}", .epochs - 1)]
    Epoch {
        /// The epoch.
        epoch: usize,
        /// Number of epochs.
        epochs: usize,
    },
    /// A step at or behind the end of an epoch or of the training.
    #[error("step {step} was asked for; the steps are 0 to {}", .steps - 1)]
    Step {
        /// The step.
        step: usize,
        /// Number of steps.
        steps: usize,
    },
}

impl Epochs {
    /// `epochs` passes over images `0..images` in batches of `batch`.
    ///
    /// # Errors
    /// One of the numbers is zero, or there are fewer images than a batch has.
    pub fn new(
        images: usize,
        batch: usize,
        epochs: usize,
        last: Last,
        seed: u64,
    ) -> Result<Self, BatchError> {
        if batch == 0 {
            return Err(BatchError::NoBatch);
        }
        if epochs == 0 {
            return Err(BatchError::NoEpochs);
        }
        if batch > images {
            return Err(BatchError::TooLarge { batch, images });
        }
        Ok(Self { images, batch, count: epochs, last, seed })
    }

    /// Number of epochs.
    pub fn epochs(&self) -> usize {
        self.count
    }

    /// Batches of each epoch.
    pub fn steps_per_epoch(&self) -> usize {
        match self.last {
            Last::Drop => self.images / self.batch,
            Last::Keep => self.images.div_ceil(self.batch),
        }
    }

    /// Batches of all epochs.
    pub fn steps(&self) -> usize {
        self.count.saturating_mul(self.steps_per_epoch())
    }

    /// Epoch and step within the epoch of a step of the training.
    ///
    /// # Errors
    /// The step is not below [`Epochs::steps`].
    pub fn place(&self, step: usize) -> Result<(usize, usize), BatchError> {
        if step >= self.steps() {
            return Err(BatchError::Step { step, steps: self.steps() });
        }
        Ok((step / self.steps_per_epoch(), step % self.steps_per_epoch()))
    }

    /// The order of an epoch.
    ///
    /// # Errors
    /// The epoch is not below [`Epochs::epochs`].
    pub fn epoch(&self, epoch: usize) -> Result<Epoch, BatchError> {
        if epoch >= self.count {
            return Err(BatchError::Epoch { epoch, epochs: self.count });
        }
        let mut rng = Rng::from_parts(&["epoch", &self.seed.to_string(), &epoch.to_string()]);
        let mut order = rng::draw(&mut rng, self.images, self.images);
        if self.last == Last::Drop {
            order.truncate(self.steps_per_epoch() * self.batch);
        }
        Ok(Epoch { order, batch: self.batch })
    }
}

/// The images of one epoch in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    order: Vec<usize>,
    batch: usize,
}

impl Epoch {
    /// Positions of the images of a step in their source.
    ///
    /// # Errors
    /// The step is not below the number of batches.
    pub fn batch(&self, step: usize) -> Result<&[usize], BatchError> {
        let steps = self.batches().len();
        self.batches().nth(step).ok_or(BatchError::Step { step, steps })
    }

    /// All batches in their order.
    pub fn batches(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.order.chunks(self.batch)
    }
}

/// The images at positions of a source, in the order of the positions, as `[n, C, H, W]`.
///
/// They are read one by one, several at a time, so that sources stay free of batches that are not
/// ranges; of a source that counts what is read, each image counts once.
///
/// # Errors
/// A position is not in the source, or the source fails.
pub fn gather(source: &dyn ImageSource, images: &[usize]) -> Result<Tensor, SourceError> {
    if let Some(image) = images.iter().find(|image| **image >= source.len()) {
        let images = source.len();
        return Err(SourceError(format!("image {image} was asked for; there are {images} images")));
    }
    let size: usize = source.dims().iter().product();
    let mut data = vec![0.0; images.len() * size];
    data.par_chunks_exact_mut(size.max(1)).zip(images).try_for_each(|(values, image)| {
        let one = source.batch(*image, 1)?;
        if one.len() != size {
            let (found, expected) = (one.dims, source.dims());
            let message = format!("image {image} has dimensions {found:?}, expected {expected:?}");
            return Err(SourceError(message));
        }
        values.copy_from_slice(&one.data);
        Ok(())
    })?;
    let dims = std::iter::once(images.len()).chain(source.dims().iter().copied()).collect();
    Ok(Tensor::new(dims, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Values;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_has_every_image_once(
            images in 1usize..200, share in 0.0f64..1.0, seed: u64, epoch in 0usize..3,
        ) {
            let batch = 1 + (images as f64 * share) as usize % images;
            let keep = Epochs::new(images, batch, 3, Last::Keep, seed).unwrap();
            let kept = keep.epoch(epoch).unwrap();
            prop_assert_eq!(kept.batches().len(), keep.steps_per_epoch());
            let order = kept.batches().flatten().copied().collect::<Vec<_>>();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..images).collect::<Vec<_>>());

            let drop = Epochs::new(images, batch, 3, Last::Drop, seed).unwrap();
            let dropped = drop.epoch(epoch).unwrap();
            prop_assert_eq!(dropped.batches().len(), drop.steps_per_epoch());
            prop_assert!(dropped.batches().all(|b| b.len() == batch));
            let whole = images / batch * batch;
            prop_assert_eq!(dropped.batches().flatten().copied().collect::<Vec<_>>(), &order[..whole]);

            let (e, s) = keep.place(keep.steps() - 1).unwrap();
            prop_assert_eq!((e, s + 1), (2, keep.steps_per_epoch()));
            let again = keep.epoch(epoch).unwrap();
            for (step, batch) in kept.batches().enumerate() {
                prop_assert_eq!(again.batch(step).unwrap(), batch);
                let step = epoch * keep.steps_per_epoch() + step;
                prop_assert_eq!(keep.place(step).unwrap().0, epoch);
            }
        }

        #[test]
        fn gathered_images_are_those_of_the_source(
            n in 1usize..20, chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let source = Values::random(&[2, 3, 2], n, 7);
            let chosen: Vec<usize> = chosen.iter().map(|i| i.index(n)).collect();
            let batch = gather(&source, &chosen).unwrap();
            prop_assert_eq!(&batch.dims, &[chosen.len(), 2, 3, 2]);
            for (values, image) in batch.data.chunks(12).zip(chosen) {
                prop_assert_eq!(values, &source.data[image * 12..(image + 1) * 12]);
            }
        }
    }

    /// Golden, from a second implementation of ChaCha8 and the draw: a change here changes every
    /// training.
    #[test]
    fn orders_are_pinned_and_differ() {
        let order = |seed, epoch| {
            let epochs = Epochs::new(10, 10, 2, Last::Drop, seed).unwrap();
            epochs.epoch(epoch).unwrap().batch(0).unwrap().to_vec()
        };
        assert_eq!(order(0, 0), [9, 3, 7, 4, 0, 6, 8, 1, 2, 5]);
        assert_eq!(order(0, 1), [5, 1, 6, 8, 4, 3, 9, 0, 7, 2]);
        assert_ne!(order(1, 0), order(0, 0));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let new = |images, batch, epochs| {
            Epochs::new(images, batch, epochs, Last::Keep, 0).unwrap_err().to_string()
        };
        assert!(new(10, 0, 1).contains("batches of 0 images"));
        assert!(new(10, 5, 0).contains("0 epochs"));
        assert!(new(10, 11, 1).contains("batches of 11 images were asked for, there are 10"));
        assert!(new(0, 1, 1).contains("there are 0 images"));
        let epochs = Epochs::new(10, 4, 2, Last::Keep, 0).unwrap();
        assert!(epochs.epoch(2).unwrap_err().to_string().contains("the epochs are 0 to 1"));
        assert!(epochs.place(6).unwrap_err().to_string().contains("the steps are 0 to 5"));
        let epoch = epochs.epoch(1).unwrap();
        assert_eq!(epoch.batch(2).unwrap().len(), 2);
        assert!(epoch.batch(3).unwrap_err().to_string().contains("the steps are 0 to 2"));
        let source = Values::random(&[1, 2, 2], 3, 0);
        let message = gather(&source, &[0, 3]).unwrap_err().to_string();
        assert!(message.contains("image 3 was asked for; there are 3"), "{message}");
    }
}
