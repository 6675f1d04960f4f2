//! Shape inference with one symbolic dimension, the batch.
//!
//! Small integer tensors (shapes, axes, pads) are followed as values, so that the
//! `Shape -> Gather -> Concat -> Reshape` tails of exporters resolve.

mod ints;
mod rules;
mod window;

use std::collections::{BTreeMap, HashMap};

use crate::error::GraphError;
use crate::graph::{Dim, Graph, Shape};
use crate::onnx::{NodeProto, TensorProto, dimension, type_proto};
use crate::ops::node_name;

pub(crate) use ints::IntTensor;

/// What is known about values while walking the nodes.
pub(crate) struct Env<'a> {
    origin: &'a str,
    opset: i64,
    shapes: BTreeMap<String, Shape>,
    ints: HashMap<String, IntTensor>,
    initializers: HashMap<&'a str, &'a TensorProto>,
}

/// Infers the shape of every value; a fixed batch becomes symbolic.
pub(crate) fn infer(graph: &mut Graph) -> Result<(), GraphError> {
    let fixed = free_batch(graph)?;
    let mut env = Env::new(graph)?;
    for node in graph.nodes() {
        env.step(node).map_err(|reason| GraphError::Shape {
            origin: graph.origin.clone(),
            node: node_name(node).to_string(),
            op: node.op_type.clone().unwrap_or_default(),
            reason: match fixed {
                Some(n) => format!("{reason} (the model was exported for {n} images at a time; export it with a dynamic batch)"),
                None => reason,
            },
        })?;
    }
    let shapes = env.shapes;
    graph.shapes = shapes;
    Ok(())
}

/// The small integer tensors of a graph whose shapes are inferred.
pub(crate) fn known_ints(graph: &Graph) -> Result<HashMap<String, IntTensor>, GraphError> {
    let mut env = Env::new(graph)?;
    for node in graph.nodes() {
        env.step(node).map_err(|reason| GraphError::Shape {
            origin: graph.origin.clone(),
            node: node_name(node).to_string(),
            op: node.op_type.clone().unwrap_or_default(),
            reason,
        })?;
    }
    Ok(env.ints)
}

/// Checks the image input's dimensions and frees a batch that the export fixed; gives that size.
fn free_batch(graph: &mut Graph) -> Result<Option<i64>, GraphError> {
    let (origin, name) = (graph.origin.clone(), graph.input().to_string());
    let dynamic = |axis, found: String| {
        Err(GraphError::DynamicShape { origin: origin.clone(), value: name.clone(), axis, found })
    };
    let proto = graph.proto_mut();
    let input = proto.input.iter_mut().find(|v| v.name.as_deref() == Some(name.as_str()));
    let Some(type_proto::Value::TensorType(tensor)) =
        input.and_then(|v| v.r#type.as_mut()).and_then(|t| t.value.as_mut())
    else {
        return crate::load::structure(&origin, format!("input {name:?} has no tensor type"));
    };
    let Some(shape) = tensor.shape.as_mut().filter(|s| s.dim.len() >= 2) else {
        return crate::load::structure(
            &origin,
            format!("input {name:?} has no shape; expected [N, C, H, W]"),
        );
    };
    for (axis, dim) in shape.dim.iter().enumerate().skip(1) {
        match &dim.value {
            Some(dimension::Value::DimValue(n)) if *n > 0 => {}
            Some(dimension::Value::DimValue(n)) => return dynamic(axis, n.to_string()),
            Some(dimension::Value::DimParam(p)) => return dynamic(axis, format!("symbolic ({p})")),
            None => return dynamic(axis, "not stated".to_string()),
        }
    }
    let batch = &mut shape.dim[0].value;
    let fixed = match batch {
        Some(dimension::Value::DimValue(n)) if *n > 0 => *n,
        _ => return Ok(None),
    };
    *batch = Some(dimension::Value::DimParam("N".to_string()));
    for info in proto.output.iter_mut().chain(proto.value_info.iter_mut()) {
        let Some(type_proto::Value::TensorType(tensor)) =
            info.r#type.as_mut().and_then(|t| t.value.as_mut())
        else {
            continue;
        };
        if let Some(first) = tensor.shape.as_mut().and_then(|s| s.dim.first_mut())
            && first.value == Some(dimension::Value::DimValue(fixed))
        {
            first.value = Some(dimension::Value::DimParam("N".to_string()));
        }
    }
    graph.notes.push(format!("the batch was fixed at {fixed} and has been made free"));
    Ok(Some(fixed))
}

impl<'a> Env<'a> {
    fn new(graph: &'a Graph) -> Result<Self, GraphError> {
        let mut env = Env {
            origin: &graph.origin,
            opset: graph.opset(),
            shapes: BTreeMap::new(),
            ints: HashMap::new(),
            initializers: HashMap::new(),
        };
        for tensor in &graph.proto().initializer {
            let name = tensor.name.as_deref().unwrap_or("");
            env.add_constant(name, tensor)?;
            env.initializers.insert(name, tensor);
        }
        let input = graph.input();
        let info = graph.proto().input.iter().find(|v| v.name.as_deref() == Some(input));
        if let Some(type_proto::Value::TensorType(tensor)) =
            info.and_then(|v| v.r#type.as_ref()).and_then(|t| t.value.as_ref())
        {
            let dims = tensor.shape.iter().flat_map(|s| &s.dim).enumerate();
            let shape = dims.map(|(axis, d)| match d.value {
                Some(dimension::Value::DimValue(n)) if axis > 0 => Dim::Known(n),
                _ => Dim::Batch,
            });
            env.shapes.insert(input.to_string(), shape.collect());
        }
        Ok(env)
    }

    fn add_constant(&mut self, name: &str, tensor: &TensorProto) -> Result<(), GraphError> {
        let dims = crate::values::checked_dims(tensor, self.origin)?;
        let count: usize = dims.iter().product();
        if count <= IntTensor::MOST
            && let Some(values) = crate::values::to_ints(tensor)
        {
            let data = values.into_iter().map(Dim::Known).collect();
            self.ints.insert(name.to_string(), IntTensor { dims: dims.clone(), data });
        }
        let shape = dims.into_iter().map(|d| Dim::Known(d as i64)).collect();
        self.shapes.insert(name.to_string(), shape);
        Ok(())
    }

    /// Shape of an input; an error names what is missing.
    fn shape(&self, node: &NodeProto, i: usize) -> Result<&Shape, String> {
        let name = node.input.get(i).map_or("", String::as_str);
        self.shapes.get(name).ok_or_else(|| format!("input {i} ({name:?}) has no known shape"))
    }

    /// Fixed integers given as an input (axes, pads, starts); `None` if the input is absent.
    fn fixed_ints(&self, node: &NodeProto, i: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(name) = node.input.get(i).filter(|n| !n.is_empty()) else { return Ok(None) };
        let known = self.ints.get(name).and_then(IntTensor::fixed);
        known.map(Some).ok_or_else(|| {
            format!(
                "input {i} ({name:?}) is not a constant list of integers; fold it before export"
            )
        })
    }

    fn step(&mut self, node: &NodeProto) -> Result<(), String> {
        if let Some(value) = ints::evaluate(self, node)? {
            let output = node.output[0].clone();
            let dims = value.dims.iter().map(|&d| Dim::Known(d as i64)).collect();
            self.shapes.insert(output.clone(), dims);
            self.ints.insert(output, value);
            return Ok(());
        }
        if node.op_type.as_deref() == Some("Constant") {
            let tensor = node.attribute.iter().find_map(|a| a.t.as_ref());
            let tensor = tensor.ok_or("only tensor constants are supported")?;
            return self.add_constant(&node.output[0], tensor).map_err(|e| e.to_string());
        }
        let shapes = rules::output_shapes(self, node)?;
        for (output, shape) in node.output.iter().zip(shapes) {
            self.shapes.insert(output.clone(), shape);
        }
        Ok(())
    }
}

/// A shape in words: `[N, 3, 32, 32]`.
pub(crate) fn text(shape: &Shape) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|d| match d {
            Dim::Known(n) => n.to_string(),
            Dim::Batch => "N".to_string(),
        })
        .collect();
    format!("[{}]", dims.join(", "))
}
