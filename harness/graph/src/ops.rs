//! The operators that the passes of this room understand.

use crate::onnx::NodeProto;

/// Supported operators of the default domain, in alphabetical order.
pub const SUPPORTED: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "QuantizeLinear",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Whether a node's operator is supported; its domain must be the default one.
pub fn is_supported(node: &NodeProto) -> bool {
    let domain = node.domain.as_deref().unwrap_or("");
    (domain.is_empty() || domain == "ai.onnx")
        && SUPPORTED.binary_search(&node.op_type.as_deref().unwrap_or("")).is_ok()
}

/// The name of a node, or its first output in place of a missing name.
pub fn node_name(node: &NodeProto) -> &str {
    node.name
        .as_deref()
        .filter(|n| !n.is_empty())
        .or_else(|| node.output.first().map(String::as_str))
        .unwrap_or("(without name)")
}

/// An integer attribute.
pub fn int_attr(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some(name)).and_then(|a| a.i)
}

/// A real attribute.
pub fn float_attr(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some(name)).and_then(|a| a.f)
}

/// A list of integers.
pub fn ints_attr<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some(name)).map(|a| a.ints.as_slice())
}

/// A text attribute.
pub fn text_attr<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    let bytes = node.attribute.iter().find(|a| a.name.as_deref() == Some(name))?.s.as_deref()?;
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_every_operator() {
        let readme = include_str!("../README.md");
        for op in SUPPORTED {
            assert!(readme.contains(&format!("`{op}`")), "{op} is missing in README.md");
        }
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(SUPPORTED.windows(2).all(|w| w[0] < w[1]));
    }
}
