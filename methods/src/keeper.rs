//! What outlives an interruption of a long method, and what is seen of it on the way.

use quantbench_graph::Artefact;

/// Keeps a method's checkpoints and looks at what it has so far. The method learns nothing from
/// it but its own bytes.
pub trait Keeper {
    /// The bytes that the same job left last, if it was interrupted after it left some.
    ///
    /// # Errors
    /// They are there and cannot be read: what and why.
    fn load(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// Keeps bytes in place of those before.
    ///
    /// # Errors
    /// They could not be kept: where and why.
    fn save(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// Looks at the artefact after so many epochs.
    ///
    /// # Errors
    /// It could not be looked at: why.
    fn snapshot(&mut self, epoch: usize, artefact: &Artefact) -> Result<(), String>;
}
