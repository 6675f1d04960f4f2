//! Raising a model's operator set: what changed in the meaning of operators since 11.

use super::ExportError;
use super::editor::{Editor, int, raw};
use crate::graph::Dim;
use crate::onnx::{AttributeProto, NodeProto, data_type};
use crate::walk::op;

/// Operators that mean the same from operator set 11 on (they gained types or options whose
/// defaults are the old behaviour).
const UNCHANGED: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "AveragePool",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "QuantizeLinear",
    "Range",
    "Reciprocal",
    "Relu",
    "Reshape",
    "Selu",
    "Shape",
    "Sigmoid",
    "Size",
    "Slice",
    "Softplus",
    "SpaceToDepth",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "Tile",
    "Transpose",
    "Where",
];

/// Reductions whose axes moved from an attribute to an input at 18.
const REDUCTIONS: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
];

/// Raises the default operator set to `to`, rewriting nodes whose form changed; a model that is
/// there already is left alone.
pub(super) fn upgrade(editor: &mut Editor, to: i64) -> Result<(), ExportError> {
    let from = editor.graph().opset();
    if from >= to {
        return Ok(());
    }
    let mut nodes = std::mem::take(&mut editor.proto_mut().node);
    let mut step = Step { from, to, editor };
    let result = nodes.iter_mut().try_for_each(|node| step.node(node));
    editor.proto_mut().node = nodes;
    editor.set_opset(to);
    result
}

struct Step<'e> {
    from: i64,
    to: i64,
    editor: &'e mut Editor,
}

impl Step<'_> {
    /// Whether the upgrade crosses the operator set in which something changed.
    fn crosses(&self, version: i64) -> bool {
        self.from < version && version <= self.to
    }

    fn node(&mut self, node: &mut NodeProto) -> Result<(), ExportError> {
        if !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx")) {
            return Ok(());
        }
        let name = op(node).to_string();
        match name.as_str() {
            "Squeeze" | "Unsqueeze" | "ReduceSum" if self.crosses(13) => {
                self.move_to_input(node, "axes", 1);
            }
            name if REDUCTIONS.contains(&name) && self.crosses(18) => {
                self.move_to_input(node, "axes", 1);
            }
            "Softmax" | "LogSoftmax" if self.crosses(13) => self.softmax(node)?,
            "Dropout" if self.crosses(12) => {
                // The ratio became an input that counts in training only.
                take(node, "ratio");
            }
            "Split" if self.crosses(18) => {
                self.move_to_input(node, "split", 1);
                if node.input.len() < 2 {
                    node.attribute.push(int("num_outputs", node.output.len() as i64));
                }
            }
            "BatchNormalization" if self.crosses(14) && node.output.len() > 1 => {
                return Err(self.refuse(node, "it is in training mode"));
            }
            "Resize" if self.crosses(13) && has_text(node, "tf_half_pixel_for_nn") => {
                return Err(self.refuse(node, "its coordinate mode was removed"));
            }
            "BatchNormalization" | "Dropout" | "LogSoftmax" | "ReduceSum" | "Resize"
            | "Softmax" | "Split" | "Squeeze" | "Unsqueeze" => {}
            name if UNCHANGED.contains(&name) || REDUCTIONS.contains(&name) => {}
            _ => return Err(self.refuse(node, "the operator is not known here")),
        }
        Ok(())
    }

    /// Moves a list of integers from an attribute to input `place`.
    fn move_to_input(&mut self, node: &mut NodeProto, attribute: &str, place: usize) {
        let Some(list) = take(node, attribute) else { return };
        let output = node.output.first().map_or("", String::as_str);
        let bytes = list.ints.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = raw(&[list.ints.len()], data_type::INT64, bytes);
        let name = self.editor.add(&format!("{output}_{attribute}"), tensor);
        node.input.resize(place, String::new());
        node.input.push(name);
    }

    /// Before 13 the tensor was flattened at the axis (1 by default); now one axis is normalized.
    fn softmax(&self, node: &mut NodeProto) -> Result<(), ExportError> {
        let shape = node.input.first().and_then(|i| self.editor.graph().shape(i));
        let Some(shape) = shape else {
            return Err(self.refuse(node, "the shape of its input is not known"));
        };
        let rank = shape.len() as i64;
        let given = take(node, "axis").and_then(|a| a.i).unwrap_or(1);
        let axis = if given < 0 { given + rank } else { given };
        let Some(at) = usize::try_from(axis).ok().filter(|&at| at < shape.len()) else {
            let why = format!("its axis {given} does not fit {rank} dimensions");
            return Err(self.refuse(node, &why));
        };
        if shape[at + 1..].iter().any(|d| *d != Dim::Known(1)) {
            return Err(self.refuse(node, "it normalizes over several axes at once"));
        }
        node.attribute.push(int("axis", axis));
        Ok(())
    }

    fn refuse(&self, node: &NodeProto, why: &str) -> ExportError {
        let output = || node.output.first().cloned();
        ExportError::Upgrade {
            origin: self.editor.graph().origin().to_string(),
            node: node.name.clone().filter(|n| !n.is_empty()).or_else(output).unwrap_or_default(),
            op: op(node).to_string(),
            from: self.from,
            to: self.to,
            why: why.to_string(),
        }
    }
}

/// Takes an attribute out of a node.
fn take(node: &mut NodeProto, name: &str) -> Option<AttributeProto> {
    let at = node.attribute.iter().position(|a| a.name.as_deref() == Some(name))?;
    Some(node.attribute.remove(at))
}

fn has_text(node: &NodeProto, text: &str) -> bool {
    node.attribute.iter().any(|a| a.s.as_deref() == Some(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::editor::node;
    use super::*;
    use crate::graph::Graph;
    use crate::onnx::{GraphProto, ModelProto, OperatorSetIdProto, attribute_type};

    fn list(name: &str, ints: Vec<i64>) -> AttributeProto {
        AttributeProto {
            name: Some(name.to_string()),
            ints,
            r#type: Some(attribute_type::INTS),
            ..AttributeProto::default()
        }
    }

    /// A node alone in a model of some operator set; its input `x` has shape `[N, 4, 1]`.
    fn upgraded(
        mut only: NodeProto,
        attributes: Vec<AttributeProto>,
        from: i64,
        to: i64,
    ) -> Result<Graph, ExportError> {
        only.attribute = attributes;
        let set = OperatorSetIdProto { domain: None, version: Some(from) };
        let graph = GraphProto { node: vec![only], ..GraphProto::default() };
        let model =
            ModelProto { graph: Some(graph), opset_import: vec![set], ..ModelProto::default() };
        let shape = vec![Dim::Batch, Dim::Known(4), Dim::Known(1)];
        let shapes = BTreeMap::from([("x".to_string(), shape)]);
        let (norms, notes) = (BTreeMap::new(), Vec::new());
        let graph = Graph { model, origin: "m".to_string(), shapes, norms, notes };
        let mut editor = Editor::new(graph);
        upgrade(&mut editor, to)?;
        Ok(editor.finish())
    }

    fn ints(graph: &Graph, name: &str) -> Vec<i64> {
        let raw = graph.initializer(name).unwrap().raw_data.clone().unwrap();
        raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    }

    #[test]
    fn axes_become_an_input_where_the_operator_set_asks_for_it() {
        for (op, from, moves) in [
            ("Squeeze", 11, true),
            ("Unsqueeze", 12, true),
            ("ReduceSum", 11, true),
            ("ReduceMean", 11, true),
            ("ReduceMean", 17, true),
            ("ReduceMean", 18, false),
        ] {
            let graph =
                upgraded(node(op, &["x"], "y"), vec![list("axes", vec![2, -1])], from, 21).unwrap();
            let only = &graph.nodes()[0];
            assert_eq!(graph.opset(), 21);
            assert_eq!(only.input.len(), if moves { 2 } else { 1 }, "{op} {from}");
            assert_eq!(only.attribute.is_empty(), moves, "{op} {from}");
            if moves {
                assert_eq!(ints(&graph, &only.input[1]), [2, -1]);
            }
        }
    }

    #[test]
    fn split_gets_its_sizes_as_input_or_their_number() {
        let mut two = node("Split", &["x"], "y");
        two.output.push("z".to_string());
        let sized = upgraded(two.clone(), vec![list("split", vec![1, 3])], 11, 21).unwrap();
        assert_eq!(ints(&sized, &sized.nodes()[0].input[1]), [1, 3]);
        assert!(sized.nodes()[0].attribute.is_empty());
        for from in [11, 13] {
            let equal = upgraded(two.clone(), vec![int("axis", 1)], from, 21).unwrap();
            assert_eq!(equal.nodes()[0].attribute, [int("axis", 1), int("num_outputs", 2)]);
        }
    }

    #[test]
    fn softmax_keeps_its_meaning_or_is_refused() {
        // Flattened at axis 1 of [N, 4, 1]: the same as normalizing axis 1.
        let same = upgraded(node("Softmax", &["x"], "y"), vec![], 11, 21).unwrap();
        assert_eq!(same.nodes()[0].attribute, [int("axis", 1)]);
        let other = upgraded(node("Softmax", &["x"], "y"), vec![int("axis", 0)], 11, 21);
        assert!(matches!(other, Err(ExportError::Upgrade { .. })));
        let unknown = upgraded(node("Softmax", &["nowhere"], "y"), vec![], 11, 21);
        assert!(unknown.unwrap_err().to_string().contains("shape"));
        for axis in [-4, 3, i64::MIN, i64::MAX] {
            let beyond = upgraded(node("Softmax", &["x"], "y"), vec![int("axis", axis)], 11, 21);
            let message = beyond.unwrap_err().to_string();
            assert!(message.contains("\"y\"") && message.contains("does not fit 3"), "{message}");
        }
        let last = upgraded(node("Softmax", &["x"], "y"), vec![int("axis", -1)], 11, 21).unwrap();
        assert_eq!(last.nodes()[0].attribute, [int("axis", 2)]);
        let new = upgraded(node("Softmax", &["x"], "y"), vec![int("axis", 0)], 13, 21).unwrap();
        assert_eq!(new.nodes()[0].attribute, [int("axis", 0)]);
    }

    #[test]
    fn every_supported_operator_is_known() {
        for op in crate::ops::SUPPORTED {
            let graph = upgraded(node(op, &["x"], "y"), vec![], 11, 25);
            assert!(graph.is_ok(), "{op}: {graph:?}");
        }
    }

    #[test]
    fn dropout_loses_its_ratio() {
        let ratio = AttributeProto {
            f: Some(0.5),
            name: Some("ratio".into()),
            ..AttributeProto::default()
        };
        let graph = upgraded(node("Dropout", &["x"], "y"), vec![ratio], 11, 25).unwrap();
        assert!(graph.nodes()[0].attribute.is_empty());
    }

    #[test]
    fn an_unknown_operator_is_named_unless_nothing_has_to_change() {
        let message =
            upgraded(node("GridSample", &["x"], "y"), vec![], 16, 21).unwrap_err().to_string();
        for part in ["GridSample", "\"y\"", "16", "21"] {
            assert!(message.contains(part), "{message}");
        }
        let kept = upgraded(node("GridSample", &["x"], "y"), vec![], 22, 21).unwrap();
        assert_eq!(kept.opset(), 22);
        let mut foreign = node("MyOp", &["x"], "y");
        foreign.domain = Some("mine".to_string());
        assert!(upgraded(foreign, vec![], 11, 21).is_ok());
    }

    #[test]
    fn fresh_names_never_clash() {
        let mut squeeze = node("Squeeze", &["x"], "y");
        squeeze.name = Some("y_axes".to_string());
        let graph = upgraded(squeeze, vec![list("axes", vec![2])], 11, 21).unwrap();
        assert_eq!(graph.nodes()[0].input[1], "y_axes_2");
    }
}
