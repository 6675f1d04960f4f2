//! Labelled images: where they come from, in which order, and as which numbers a model sees them.
//!
//! Takes manifests (YAML) and folders or archives on this machine; gives splits in canonical
//! order, seeded draws, and preprocessed batches through the source traits of `quantbench-core`.
//! The embedded default, a computed data set and a model trained on it, needs no file at all.
//!
//! *Invariant*: this crate knows neither methods nor models nor runtimes, fetches nothing from
//! the network, and writes nowhere but below the cache folder.

mod archive;
mod decode;
mod error;
mod images;
mod index;
mod loader;
mod manifest;
mod preprocess;
mod raster;
mod records;
mod resample;
mod roots;
pub mod shapes;
mod split;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use archive::Sum;
pub use error::DataError;
pub use images::Images;
pub use loader::{load, present};
pub use manifest::{Archive, DatasetManifest, Loader, Parts};
pub use preprocess::Preprocess;
pub use raster::Raster;
pub use resample::Interpolation;
pub use roots::DataRoots;
pub use split::{Split, VALIDATION};

/// The embedded default model (ONNX), trained on `shapes10`; `datasets/assets/README.md` has the
/// command that made it, its accuracy and its preprocessing.
pub const DEFAULT_MODEL: &[u8] = include_bytes!("../assets/resnet-shapes10.onnx");

/// Which split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Training images: draws and validation come from here.
    Train,
    /// Test images: never reach a method.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Train => "train",
            Part::Test => "test",
        })
    }
}
