//! What can be wrong with a model.

use thiserror::Error;

/// A model that cannot be read, understood or rewritten.
///
/// Every variant names the file (or the origin of the bytes), what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// The file cannot be opened or is none.
    #[error("{origin}: cannot be read: {reason}; expected an ONNX file")]
    Unreadable {
        /// File.
        origin: String,
        /// Reason of the operating system.
        reason: String,
    },
    /// No bytes.
    #[error("{origin}: the file is empty; expected an ONNX model, export or download it again")]
    Empty {
        /// File or origin.
        origin: String,
    },
    /// Bytes that start like an ONNX model and then break off.
    #[error(
        "{origin}: the ONNX model is truncated or damaged ({bytes} bytes); download or export it again"
    )]
    Damaged {
        /// File or origin.
        origin: String,
        /// Size.
        bytes: usize,
    },
    /// Bytes that are something else.
    #[error("{origin}: this is not an ONNX model; expected a binary ONNX file (ModelProto)")]
    NotOnnx {
        /// File or origin.
        origin: String,
    },
    /// Fields that our messages do not know and would lose.
    #[error(
        "{origin}: {lost} bytes of the file (IR version {ir}) are fields unknown to this version \
         and would be lost; re-save the model with an IR version of at most 13"
    )]
    UnknownFields {
        /// File or origin.
        origin: String,
        /// IR version of the file.
        ir: i64,
        /// Bytes that would be lost.
        lost: i64,
    },
    /// An operator set outside the supported range.
    #[error(
        "{origin}: operator set {opset} is not supported; expected 11 to 25, re-export the model with opset 17"
    )]
    Opset {
        /// File or origin.
        origin: String,
        /// Version found.
        opset: i64,
    },
    /// An operator that no pass knows.
    #[error("{origin}: node {node:?}: operator {op} is not supported{near}")]
    UnsupportedOp {
        /// File or origin.
        origin: String,
        /// Name of the node.
        node: String,
        /// Its operator, with its domain if it has one.
        op: String,
        /// Near match or the way out.
        near: String,
    },
    /// A feature of ONNX that is not supported.
    #[error("{origin}: {what} is not supported; {remedy}")]
    UnsupportedFeature {
        /// File or origin.
        origin: String,
        /// Feature.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An initializer whose parts contradict each other.
    #[error("{origin}: initializer {name:?}: {reason}")]
    Initializer {
        /// File or origin.
        origin: String,
        /// Name.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// A weight that is NaN or infinite.
    #[error(
        "{origin}: initializer {name:?} holds {value} at index {index}; expected finite weights, retrain or re-export the model"
    )]
    NotFinite {
        /// File or origin.
        origin: String,
        /// Name.
        name: String,
        /// First index.
        index: usize,
        /// NaN or infinity, in words.
        value: String,
    },
    /// A graph whose values do not hang together.
    #[error("{origin}: {reason}")]
    Structure {
        /// File or origin.
        origin: String,
        /// What is wrong, with names.
        reason: String,
    },
    /// A node that does not fit its inputs.
    #[error("{origin}: node {node:?} ({op}): {reason}")]
    Shape {
        /// File or origin.
        origin: String,
        /// Name of the node.
        node: String,
        /// Operator.
        op: String,
        /// What does not fit, with the shapes.
        reason: String,
    },
    /// A dimension that is neither fixed nor the batch.
    #[error(
        "{origin}: dimension {axis} of {value:?} is {found}; expected a fixed size (only the \
         leading batch dimension may be symbolic), export the model with fixed height and width"
    )]
    DynamicShape {
        /// File or origin.
        origin: String,
        /// Value.
        value: String,
        /// Index of the dimension.
        axis: usize,
        /// What is there.
        found: String,
    },
    /// A weight that the graph does not hold.
    #[error("{origin}: there is no initializer {name:?}; fold constants first, or check the name")]
    NoInitializer {
        /// File or origin.
        origin: String,
        /// Name asked for.
        name: String,
    },
    /// A value that the graph does not hold.
    #[error("{origin}: there is no value {name:?} in the graph")]
    NoValue {
        /// File or origin.
        origin: String,
        /// Name asked for.
        name: String,
    },
}
