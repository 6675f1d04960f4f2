//! From bytes to a graph that the other passes can trust.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use prost::Message;
use quantbench_core::names::suggestion;

use crate::error::GraphError;
use crate::graph::Graph;
use crate::onnx::{GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use crate::ops::{SUPPORTED, is_supported, node_name};
use crate::values::checked_dims;

/// First and last operator set that is read; exports go up to the last.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=25;

impl Graph {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`GraphError`] naming the file: not readable, not ONNX, truncated, or not supported.
    pub fn load(path: &Path) -> Result<Graph, GraphError> {
        let origin = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| {
            let reason =
                if path.is_dir() { "it is a directory".to_string() } else { e.to_string() };
            GraphError::Unreadable { origin: origin.clone(), reason }
        })?;
        Self::from_bytes(&bytes, &origin)
    }

    /// Reads a model from memory; `origin` names it in messages.
    ///
    /// Checks structure and values, sorts nodes topologically if they are not, and infers the
    /// shape of every value.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Graph, GraphError> {
        let model = decode(bytes, origin)?;
        let mut graph = Graph {
            model,
            origin: origin.to_string(),
            shapes: BTreeMap::new(),
            norms: BTreeMap::new(),
            notes: Vec::new(),
        };
        check_features(&graph)?;
        check_initializers(graph.proto(), origin)?;
        check_nodes(graph.proto(), origin)?;
        sort_nodes(&mut graph)?;
        crate::shape::infer(&mut graph)?;
        Ok(graph)
    }
}

/// The message in the bytes of a file; nothing of it is lost.
pub(crate) fn decode(bytes: &[u8], origin: &str) -> Result<ModelProto, GraphError> {
    let origin = || origin.to_string();
    if bytes.is_empty() {
        return Err(GraphError::Empty { origin: origin() });
    }
    // Every writer starts with the IR version (field 1, varint) or the producer (field 2).
    let looks_like_onnx = bytes[0] == 0x08 || bytes[0] == 0x12;
    let model = match ModelProto::decode(bytes) {
        Ok(model) => model,
        Err(_) if looks_like_onnx => {
            return Err(GraphError::Damaged { origin: origin(), bytes: bytes.len() });
        }
        Err(_) => return Err(GraphError::NotOnnx { origin: origin() }),
    };
    if model.graph.is_none() || (looks_like_onnx && model.opset_import.is_empty()) {
        // A cut right before or behind the graph decodes without complaint.
        return Err(if looks_like_onnx {
            GraphError::Damaged { origin: origin(), bytes: bytes.len() }
        } else {
            GraphError::NotOnnx { origin: origin() }
        });
    }
    let lost = bytes.len() as i64 - model.encoded_len() as i64;
    if lost != 0 {
        let ir = model.ir_version.unwrap_or(0);
        return Err(GraphError::UnknownFields { origin: origin(), ir, lost });
    }
    Ok(model)
}

fn check_features(graph: &Graph) -> Result<(), GraphError> {
    let fail = |what: String, remedy| {
        Err(GraphError::UnsupportedFeature { origin: graph.origin.clone(), what, remedy })
    };
    let proto = graph.proto();
    if !graph.model.training_info.is_empty() {
        return fail("training information".into(), "export the model for inference");
    }
    if !graph.model.functions.is_empty() {
        return fail("a model-local function".into(), "inline the functions before export");
    }
    if !proto.sparse_initializer.is_empty() {
        return fail("a sparse initializer".into(), "export dense weights");
    }
    if !OPSETS.contains(&graph.opset()) {
        return Err(GraphError::Opset { origin: graph.origin.clone(), opset: graph.opset() });
    }
    if proto.node.is_empty() {
        return structure(&graph.origin, "the graph has no nodes".to_string());
    }
    if proto.output.is_empty() {
        return structure(&graph.origin, "the graph has no output".to_string());
    }
    let held: HashSet<&str> = proto.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
    let inputs: Vec<&str> = proto
        .input
        .iter()
        .filter_map(|v| v.name.as_deref())
        .filter(|n| !held.contains(n))
        .collect();
    match inputs.as_slice() {
        [_] => Ok(()),
        [] => structure(&graph.origin, "the graph has no input for images".to_string()),
        many => fail(
            format!("a model with {} inputs ({})", many.len(), many.join(", ")),
            "expected one input that takes the images",
        ),
    }
}

pub(crate) fn structure<T>(origin: &str, reason: String) -> Result<T, GraphError> {
    Err(GraphError::Structure { origin: origin.to_string(), reason })
}

fn check_initializers(proto: &GraphProto, origin: &str) -> Result<(), GraphError> {
    let mut names = HashSet::new();
    for tensor in &proto.initializer {
        let name = tensor.name.as_deref().unwrap_or("");
        if !names.insert(name) {
            return structure(origin, format!("initializer {name:?} is defined twice"));
        }
        check_tensor(tensor, name, origin)?;
    }
    for node in &proto.node {
        // A tensor in an attribute rarely has a name: what it becomes has one.
        let output = node.output.first().map_or("", String::as_str);
        for attribute in &node.attribute {
            if let Some(tensor) = &attribute.t {
                check_tensor(tensor, output, origin)?;
            }
            if matches!(attribute.name.as_deref(), Some("value_float" | "value_floats")) {
                let values = attribute.f.iter().chain(&attribute.floats);
                check_finite(values.copied(), output, origin)?;
            }
        }
    }
    Ok(())
}

/// Checks that a tensor's parts fit together and that its values are numbers; `name` is what
/// messages call it.
fn check_tensor(tensor: &TensorProto, name: &str, origin: &str) -> Result<(), GraphError> {
    if tensor.data_location == Some(1) || !tensor.external_data.is_empty() {
        return Err(GraphError::UnsupportedFeature {
            origin: origin.to_string(),
            what: format!("external data (initializer {name:?})"),
            remedy: "save the model with its weights inside the file",
        });
    }
    checked_dims(tensor, origin)?;
    let float = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE];
    if tensor.data_type.is_some_and(|k| float.contains(&k)) {
        check_finite(crate::values::to_f32(tensor, origin)?.data.into_iter(), name, origin)?;
    }
    Ok(())
}

fn check_finite(
    values: impl Iterator<Item = f32>,
    name: &str,
    origin: &str,
) -> Result<(), GraphError> {
    let Some((index, v)) = values.enumerate().find(|(_, v)| !v.is_finite()) else {
        return Ok(());
    };
    let value = if v.is_nan() { "NaN" } else { "an infinity" }.to_string();
    Err(GraphError::NotFinite { origin: origin.to_string(), name: name.to_string(), index, value })
}

fn check_nodes(proto: &GraphProto, origin: &str) -> Result<(), GraphError> {
    for node in &proto.node {
        let op = node.op_type.as_deref().unwrap_or("");
        if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            return Err(GraphError::UnsupportedFeature {
                origin: origin.to_string(),
                what: format!("control flow (node {:?}, {op})", node_name(node)),
                remedy: "export a model without branches and loops",
            });
        }
        if !is_supported(node) {
            let domain = node.domain.as_deref().unwrap_or("");
            let (op, near) = if domain.is_empty() || domain == "ai.onnx" {
                (op.to_string(), suggestion_op(op))
            } else {
                (format!("{domain}.{op}"), "; only the default domain is".to_string())
            };
            let node = node_name(node).to_string();
            return Err(GraphError::UnsupportedOp { origin: origin.to_string(), node, op, near });
        }
        if node.output.iter().all(String::is_empty) {
            return structure(origin, format!("node {:?} ({op}) has no output", node_name(node)));
        }
    }
    Ok(())
}

/// The list of operators is long: only a near match is worth printing.
fn suggestion_op(op: &str) -> String {
    let near = suggestion(op, SUPPORTED);
    if near.starts_with("; did you mean") {
        format!("{}; see harness/graph/README.md", near.split(" (known").next().unwrap_or(""))
    } else {
        "; the supported ones are listed in harness/graph/README.md".to_string()
    }
}

/// Checks that every value is defined once and before it is read; sorts the nodes if needed.
fn sort_nodes(graph: &mut Graph) -> Result<(), GraphError> {
    let origin = graph.origin.clone();
    let proto = graph.proto();
    let mut ready: HashSet<&str> = proto
        .initializer
        .iter()
        .filter_map(|t| t.name.as_deref())
        .chain(proto.input.iter().filter_map(|v| v.name.as_deref()))
        .collect();
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in proto.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if ready.contains(output.as_str()) || producers.insert(output, i).is_some() {
                return structure(&origin, format!("value {output:?} is defined twice"));
            }
        }
    }
    for node in &proto.node {
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            if !ready.contains(input.as_str()) && !producers.contains_key(input.as_str()) {
                let (name, op) = (node_name(node), node.op_type.as_deref().unwrap_or(""));
                return structure(
                    &origin,
                    format!("node {name:?} ({op}) reads {input:?}, which nothing defines"),
                );
            }
        }
    }
    for name in proto.output.iter().filter_map(|v| v.name.as_deref()) {
        if !ready.contains(name) && !producers.contains_key(name) {
            return structure(&origin, format!("output {name:?} is computed by no node"));
        }
    }
    let order = topological(&proto.node, &mut ready).ok_or(()).or_else(|()| {
        structure(&origin, "the nodes form a cycle; expected an acyclic graph".to_string())
    })?;
    if order.iter().enumerate().any(|(at, &i)| at != i) {
        let nodes = &mut graph.proto_mut().node;
        let mut old: Vec<Option<NodeProto>> = nodes.drain(..).map(Some).collect();
        nodes.extend(order.into_iter().filter_map(|i| old[i].take()));
    }
    Ok(())
}

/// A topological order that keeps the file's own where that is one already.
fn topological<'a>(nodes: &'a [NodeProto], ready: &mut HashSet<&'a str>) -> Option<Vec<usize>> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut left: BTreeSet<usize> = (0..nodes.len()).collect();
    while !left.is_empty() {
        let before = order.len();
        let now: Vec<usize> = left.iter().copied().collect();
        for i in now {
            let node = &nodes[i];
            if node.input.iter().all(|v| v.is_empty() || ready.contains(v.as_str())) {
                ready.extend(node.output.iter().map(String::as_str));
                order.push(i);
                left.remove(&i);
            }
        }
        if order.len() == before {
            return None;
        }
    }
    Some(order)
}
