//! ONNX to graph and back: loading, shape inference, folding, sites, Q/DQ export, packed files,
//! size accounting.
//!
//! Takes bytes of an ONNX model and gives a [`Graph`]; takes an [`Artefact`] and gives bytes.
//!
//! *Invariant*: this room runs nothing and knows no runtime; a node that no pass touches leaves
//! as it came.

pub mod artefact;
pub mod error;
pub mod graph;
pub mod layer;
pub mod onnx;
pub mod site;
pub mod values;

pub use artefact::Artefact;
pub use error::GraphError;
pub use graph::{Dim, Graph, NormStats, Shape};
pub use layer::{Layer, LayerKind};
pub use site::{Site, SiteKind, Sites, WeightSite};
