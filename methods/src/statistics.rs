//! What the methods of a sweep share: summaries of activations that one of them gathered.
//!
//! A method knows no store. It asks through this trait, by way of
//! [`crate::parts::calibrate::summaries`], and whoever runs it decides what is kept, where, and
//! what a method that got kept summaries is charged.

use quantbench_graph::Graph;

use crate::contract::MethodError;
use crate::parts::ranges::{Detail, Summary};

/// Which summaries are wanted: of these values of this graph, over all granted images.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The graph that is run. It need not be the job's: a method may have changed weights.
    pub graph: &'a Graph,
    /// Names of the values, in the order of the summaries.
    pub values: &'a [&'a str],
    /// What has to be known of each.
    pub detail: Detail,
    /// Number of granted images.
    pub images: usize,
    /// Images per forward pass.
    pub batch: usize,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// One summary per value that was asked for.
    pub summaries: Vec<Summary>,
    /// Whether they were kept from before, so that no image was read.
    pub kept: bool,
}

/// Gathers the summaries that are asked for.
pub type Gather<'a> = dyn FnMut() -> Result<Vec<Summary>, MethodError> + 'a;

/// Keeps summaries between methods.
pub trait Statistics {
    /// The summaries asked for: kept ones, or else what `gather` gives, bit for bit the same.
    ///
    /// # Errors
    /// Those of `gather`.
    fn summaries(&self, ask: &Ask<'_>, gather: &mut Gather<'_>) -> Result<Found, MethodError>;
}
