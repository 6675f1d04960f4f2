//! Labelled images.
pub mod shapes;
/// Which split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Training images.
    Train,
    /// Test images.
    Test,
}
