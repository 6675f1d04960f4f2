//! Packed files: an artefact in as few bytes as its grids need, bit for bit reproducible.
//!
//! All numbers are little-endian; a text is its length (u32) and UTF-8 bytes.
//!
//! ```text
//! "QBPACKED" version:u32
//! skeleton: length:u64 bytes    the ONNX model, values of quantized weights taken out
//! weights:  count:u32, each     name:text grid rank:u8 dims:u32.. codes (bit-packed)
//! values:   count:u32, each     name:text grid
//! notes:    count:u32, each     text
//! sha256 of all that precedes: 32 bytes
//!
//! grid:     levels:u8 bits:u8 qmin:i16 qmax:i16 axis:u8 (255: per tensor)
//!           count:u32 scale:f32.. has_zero_points:u8 zero_point:i16..
//!           of a table also rows:u32 level:f32.. has_thresholds:u8 threshold:f32..
//! ```
//!
//! A code is stored as its offset from the grid's lowest code in as many bits as the grid has:
//! ternary in two, binary in one. What comes back differs from what went in where the graph's
//! FP32 values of quantized weights were not yet those of their codes: the file does not hold
//! them, and reading fills in the dequantized values. Statistics of folded batch norms are not
//! kept either. Writing again what was read gives the same bytes.

mod reader;
mod writer;

use thiserror::Error;

use crate::artefact::ArtefactError;
use crate::error::GraphError;

pub use reader::decode;
pub use writer::encode;

const MAGIC: &[u8; 8] = b"QBPACKED";
const VERSION: u32 = 1;
const PER_TENSOR: u8 = u8::MAX;
const DIGEST_BYTES: usize = 32;
/// Tags of the kinds of levels.
const AFFINE: u8 = 0;
const TERNARY: u8 = 1;
const BINARY: u8 = 2;
const TABLE: u8 = 3;

/// A packed file that cannot be read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PackedError {
    /// Not a packed file at all.
    #[error(
        "{origin}: not a packed artefact (its first bytes are not \"QBPACKED\"); expected a file written by quantbench"
    )]
    Magic {
        /// File or origin.
        origin: String,
    },
    /// Written by another version.
    #[error(
        "{origin}: packed format version {found} is not known, expected {VERSION}; make the artefact again"
    )]
    Version {
        /// File or origin.
        origin: String,
        /// Version in the file.
        found: u32,
    },
    /// The file ends too early or was changed.
    #[error(
        "{origin}: the checksum does not match; the file is truncated or damaged, make the artefact again"
    )]
    Checksum {
        /// File or origin.
        origin: String,
    },
    /// A field that cannot be.
    #[error("{origin}: byte {at}: {what}")]
    Field {
        /// File or origin.
        origin: String,
        /// Offset of the field.
        at: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The skeleton is no model.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The parts contradict each other.
    #[error("{origin}: {source}")]
    Artefact {
        /// File or origin.
        origin: String,
        /// The contradiction.
        source: ArtefactError,
    },
}
