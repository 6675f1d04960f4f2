//! Export: an artefact as an ONNX file that any runtime can load.
//!
//! Weights become integer initializers behind DequantizeLinear, which takes over the weight's
//! name, so that the layer itself stays as it was. A quantized value gets QuantizeLinear and
//! DequantizeLinear behind its producer, and every reader (also the graph's output) reads the
//! result. Where a grid has fewer levels than its container, Clip to the grid's ends comes first.
//!
//! What ONNX Runtime 1.32 (CPU) makes of these files, measured on ResNet-8 and ResNet-20:
//!
//! - All types load and run with optimisation disabled, 2-bit weights at opset 25 included.
//! - W8A8 at the deployable sites: every conv and the FC become integer kernels (QLinearConv,
//!   QGemm). So do narrower weights with 8-bit activations if [`ExportOptions::portable`] is set;
//!   with native types 4-bit convs stay in float, and 2-bit ones make its optimizer write an
//!   invalid graph.
//! - From basic optimisation on it rounds FP32 biases to multiples of `s_x * s_w` of its own
//!   accord. At 8 bits that is invisible; at 4 bits logits move by a unit, at 2 bits by tens.
//!   Load files below 8 bits with optimisation disabled or `session.disable_quant_qdq` set.

mod activations;
mod bias;
mod editor;
mod opset;
mod weights;

use thiserror::Error;

use crate::artefact::{Artefact, ArtefactError};
use editor::Editor;

/// Operator set in which per-channel and 4-bit DequantizeLinear are at home, with its IR version.
const OPSET: (i64, i64) = (21, 10);
/// Operator set and IR version that know 2-bit types.
const OPSET_TWO_BITS: (i64, i64) = (25, 13);

/// How to write the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// Store weights in 8-bit containers whatever their width, for runtimes without 4- and 2-bit
    /// types. The values are the same.
    pub portable: bool,
}

/// An artefact that cannot be exported.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ExportError {
    /// The artefact contradicts itself.
    #[error("{origin}: {source}")]
    Artefact {
        /// File or origin of the model.
        origin: String,
        /// The contradiction.
        source: ArtefactError,
    },
    /// An operator whose change between operator sets is not known here.
    #[error(
        "{origin}: node {node:?} ({op}) cannot be raised from opset {from} to {to}: {why}; \
         convert the model to opset {to} with the onnx package first"
    )]
    Upgrade {
        /// File or origin of the model.
        origin: String,
        /// Node.
        node: String,
        /// Operator.
        op: String,
        /// Operator set of the model.
        from: i64,
        /// Operator set needed.
        to: i64,
        /// What stands in the way.
        why: String,
    },
}

/// The artefact as the bytes of a Q/DQ ONNX model.
///
/// Without any quantizer the model leaves as it came. Otherwise the operator set is raised to 21,
/// or 25 where 2-bit weights keep their native type. Types: 8-, 4- and 2-bit (and ternary) weights
/// are INT8/UINT8, INT4/UINT4 and INT2/UINT2, other widths and all activations 8-bit containers.
/// Between an 8-bit input and 8-bit weights the bias becomes INT32 at scale `s_x * s_w`, which
/// integer kernels need; a bias too large for that stays FP32.
pub fn export(artefact: &Artefact, options: ExportOptions) -> Result<Vec<u8>, ExportError> {
    if artefact.is_float() {
        return Ok(artefact.graph.to_bytes());
    }
    let origin = artefact.graph.origin();
    artefact
        .check()
        .map_err(|source| ExportError::Artefact { origin: origin.to_string(), source })?;
    let two_bits = artefact.weights.values().any(|w| weights::native_bits(&w.grid, options) == 2);
    let (to, ir) = if two_bits { OPSET_TWO_BITS } else { OPSET };
    let mut editor = Editor::new(artefact.graph.clone());
    opset::upgrade(&mut editor, to)?;
    editor.raise_ir_version(ir);
    bias::quantize(artefact, &mut editor);
    for (name, tensor) in &artefact.weights {
        weights::quantize(&mut editor, name, tensor, options);
    }
    for (name, grid) in &artefact.activations {
        activations::quantize(&mut editor, name, grid);
    }
    Ok(editor.finish().to_bytes())
}
