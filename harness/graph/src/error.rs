//! What can be wrong with a model.

use thiserror::Error;

/// A model that cannot be read, understood or rewritten.
///
/// Every variant names the file (or the origin of the bytes), what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// A weight that the graph does not hold.
    #[error("{origin}: there is no initializer {name:?}; fold constants first, or check the name")]
    NoInitializer {
        /// File or origin.
        origin: String,
        /// Name asked for.
        name: String,
    },
}
