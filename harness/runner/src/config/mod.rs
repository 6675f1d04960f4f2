//! Configuration as people type it: model cards, surveys and the catalogue of all names.

pub mod catalog;
pub mod error;
mod keys;
mod locate;
pub mod model;
pub mod schema;
pub mod snippet;
mod spec;
pub mod survey;
pub(crate) mod yaml;

pub use catalog::Catalog;
pub use error::ConfigError;
pub use model::{ModelCard, ModelError, ModelFile, Place};
pub use snippet::snippet;
pub use survey::{ArtefactEntry, At, Calibration, DeployedRule, MethodEntry, Survey};
