//! ONNX to graph and back: loading, shape inference, folding, sites, Q/DQ export, packed files,
//! size accounting.
//!
//! Takes bytes of an ONNX model and gives a [`Graph`]; takes an [`Artefact`] and gives bytes.
//!
//! *Invariant*: this room runs nothing and knows no runtime; a node that no pass touches leaves
//! as it came.

pub mod account;
pub mod artefact;
mod cut;
pub mod error;
pub mod export;
mod fold;
pub mod graph;
pub mod layer;
mod layers;
mod load;
pub mod onnx;
pub mod ops;
mod outputs;
pub mod packed;
pub mod qdq;
mod rewrite;
mod shape;
pub mod site;
pub mod sites;
#[doc(hidden)]
pub mod testing;
pub mod values;
mod walk;

pub use account::{allocation, bit_operations, mean_weight_bits, sizes};
pub use artefact::{Artefact, ArtefactError};
pub use error::GraphError;
pub use export::{ExportError, ExportOptions, export};
pub use graph::{Dim, Graph, NormStats, Shape};
pub use layer::{Layer, LayerKind};
pub use packed::{PackedError, decode, encode};
pub use qdq::{QdqError, read_qdq};
pub use site::{Site, SiteKind, Sites, WeightSite};
pub use sites::{SiteError, sites};
pub use walk::matmul_macs;
