//! Typed data grants: what a method can reach is what its type says, and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quantbench_core::Needs;
use quantbench_core::source::{Granted, ImageSource, LabelledSource, SourceError};
use quantbench_core::tensor::Tensor;

use crate::contract::MethodError;

/// All data of a job, held by the runner; a method gets only what its [`Grant`] takes out.
#[derive(Clone, Default)]
pub struct Vault {
    calibration: Option<Arc<dyn LabelledSource>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    images: AtomicU64,
    labels: AtomicU64,
}

impl Vault {
    /// A vault without data.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A vault with calibration images.
    pub fn with_calibration(images: Arc<dyn LabelledSource>) -> Self {
        Self { calibration: Some(images), counts: Arc::default() }
    }

    /// Images that were read so far, each counted once per pass.
    pub fn images_read(&self) -> u64 {
        self.counts.images.load(Ordering::Relaxed)
    }

    /// Labels that were read so far.
    pub fn labels_read(&self) -> u64 {
        self.counts.labels.load(Ordering::Relaxed)
    }

    fn images(&self, method: &'static str) -> Result<Counted, MethodError> {
        match &self.calibration {
            Some(images) if !images.is_empty() => {
                Ok(Counted { images: Arc::clone(images), counts: Arc::clone(&self.counts) })
            }
            _ => Err(MethodError::NoImages(method)),
        }
    }
}

/// A source that counts what is read from it.
struct Counted {
    images: Arc<dyn LabelledSource>,
    counts: Arc<Counts>,
}

impl ImageSource for Counted {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn dims(&self) -> &[usize] {
        self.images.dims()
    }

    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let batch = self.images.batch(start, n)?;
        let read = batch.dims.first().copied().unwrap_or(0);
        self.counts.images.fetch_add(read as u64, Ordering::Relaxed);
        Ok(batch)
    }

    fn granted(&self) -> Option<&dyn Granted> {
        Some(self)
    }
}

impl Granted for Counted {
    fn count_pass(&self) {
        self.counts.images.fetch_add(self.images.len() as u64, Ordering::Relaxed);
    }
}

/// Kept private, so that the grants of this file are all there are.
mod sealed {
    /// What only this file can implement.
    pub trait Sealed {}
}

/// A kind of data that a recipe may ask for.
///
/// Sealed: a recipe chooses among the grants of this file. With one of its own it could declare
/// that it needs nothing and still take images.
///
/// ```compile_fail,E0277
/// use quantbench_core::Needs;
/// use quantbench_methods::{Grant, MethodError, Unlabelled, Vault};
///
/// struct Stowaway(Unlabelled);
///
/// impl Grant for Stowaway {
///     const NEEDS: Needs = Needs::Nothing;
///
///     fn take(vault: &Vault, asked: bool, method: &'static str) -> Result<Self, MethodError> {
///         Unlabelled::take(vault, asked, method).map(Stowaway)
///     }
/// }
/// ```
pub trait Grant: sealed::Sealed + Sized {
    /// What the card says.
    const NEEDS: Needs;

    /// Takes the grant out of the vault; `asked` settles a grant that depends on the job.
    fn take(vault: &Vault, asked: bool, method: &'static str) -> Result<Self, MethodError>;
}

/// Nothing: the model alone.
pub struct NoData;

impl sealed::Sealed for NoData {}

impl Grant for NoData {
    const NEEDS: Needs = Needs::Nothing;

    fn take(_vault: &Vault, _asked: bool, _method: &'static str) -> Result<Self, MethodError> {
        Ok(NoData)
    }
}

/// Calibration images without their labels.
pub struct Unlabelled(Counted);

impl Unlabelled {
    /// The images.
    pub fn images(&self) -> &dyn ImageSource {
        &self.0
    }
}

/// Training images with their classes.
pub struct Labelled(Counted);

impl Labelled {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The images.
    pub fn images(&self) -> &dyn ImageSource {
        &self.0
    }

    /// The classes of images at some positions, each counted as read.
    pub fn labels(&self, positions: &[usize]) -> Vec<u16> {
        let all = self.0.images.labels();
        self.0.counts.labels.fetch_add(positions.len() as u64, Ordering::Relaxed);
        positions.iter().filter_map(|i| all.get(*i).copied()).collect()
    }
}

impl sealed::Sealed for Labelled {}

impl Grant for Labelled {
    const NEEDS: Needs = Needs::Labelled;

    fn take(vault: &Vault, _asked: bool, method: &'static str) -> Result<Self, MethodError> {
        vault.images(method).map(Labelled)
    }
}

impl sealed::Sealed for Unlabelled {}

impl Grant for Unlabelled {
    const NEEDS: Needs = Needs::Unlabelled;

    fn take(vault: &Vault, _asked: bool, method: &'static str) -> Result<Self, MethodError> {
        vault.images(method).map(Unlabelled)
    }
}

/// Calibration images only where the job asks for them (`Recipe::asks_for_images`).
pub struct UnlabelledIfAsked(Option<Unlabelled>);

impl UnlabelledIfAsked {
    /// The images, if the job asked.
    pub fn images(&self) -> Option<&dyn ImageSource> {
        self.0.as_ref().map(Unlabelled::images)
    }
}

impl sealed::Sealed for UnlabelledIfAsked {}

impl Grant for UnlabelledIfAsked {
    const NEEDS: Needs = Needs::UnlabelledIfAsked;

    fn take(vault: &Vault, asked: bool, method: &'static str) -> Result<Self, MethodError> {
        let images = if asked { Some(Unlabelled::take(vault, true, method)?) } else { None };
        Ok(UnlabelledIfAsked(images))
    }
}
