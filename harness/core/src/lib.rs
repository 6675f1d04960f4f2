//! The words of the house: bits, grids, specs, cards, rows, ids, errors' helpers.
//!
//! Takes nothing from outside and gives plain data types to every other room.
//!
//! *Invariant*: this crate does no I/O, reads no clock and no environment, and knows neither
//! ONNX nor any runtime.

pub mod account;
pub mod bits;
pub mod card;
pub mod cost;
pub mod cost_row;
pub mod evidence;
pub mod grid;
pub mod hash;
pub mod histogram;
pub mod maker;
pub mod names;
pub mod packing;
pub mod paper;
pub mod rng;
pub mod row;
pub mod rules;
pub mod source;
pub mod spec;
pub mod table;
pub mod tensor;

pub use account::Sizes;
pub use bits::{Bits, Widths};
pub use card::{Card, Family, Needs, Param, ParamValue, Params};
pub use cost::{CostModel, LayerCost};
pub use cost_row::{CostKind, CostRow};
pub use evidence::Evidence;
pub use grid::{Granularity, Grid, Levels, QuantTensor};
pub use histogram::Histograms;
pub use maker::Maker;
pub use paper::{Paper, PaperColumn, PaperTable};
pub use row::Row;
pub use rules::{LayerRule, RuleError};
pub use source::{ImageSource, LabelledSource, SourceError};
pub use spec::{Budget, FirstLast, ImageRule, SitesRule, Spec};
pub use table::Table;
pub use tensor::Tensor;
