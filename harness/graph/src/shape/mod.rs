//! Shape inference with one symbolic dimension, the batch.
//!
//! Small integer tensors (shapes, axes, pads) are followed as values, so that the
//! `Shape -> Gather -> Concat -> Reshape` tails of exporters resolve.

mod batch;
mod ints;
mod rules;
mod window;

use std::collections::{BTreeMap, HashMap};

use crate::error::GraphError;
use crate::graph::{Dim, Graph, Shape};
use crate::onnx::{NodeProto, TensorProto, dimension};
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

/// Longest dimension and most elements per image that are taken for a model and not for damage.
const LONGEST: i64 = 1 << 31;
const LARGEST: i64 = 1 << 32;

/// Infers the shape of every value; a fixed batch becomes symbolic.
pub(crate) fn infer(graph: &mut Graph) -> Result<(), GraphError> {
    let fixed = batch::fixed_batch(graph)?;
    let mut env = Env::new(graph)?;
    let mut rewritten = Vec::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let freed = fixed.and_then(|n| batch::unbake(&env, node, n));
        if let Some((node, target)) = freed {
            env.add_ints(&node.input[1], &target);
            env.walk(&node, fixed)?;
            let target = target.to_proto(&node.input[1]);
            rewritten.push((index, node, target));
        } else {
            env.walk(node, fixed)?;
        }
    }
    env.check_output(graph.output(), fixed)?;
    graph.shapes = env.shapes;
    if let Some(fixed) = fixed {
        batch::free(graph, fixed, rewritten);
    }
    Ok(())
}

/// The small integer tensors of a graph whose shapes are inferred.
pub(crate) fn known_ints(graph: &Graph) -> Result<HashMap<String, IntTensor>, GraphError> {
    let mut env = Env::new(graph)?;
    graph.nodes().iter().try_for_each(|node| env.walk(node, None))?;
    Ok(env.ints)
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
        if let Some(tensor) = info.and_then(batch::tensor_type) {
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
            && let (Some(values), Some(kind)) = (crate::values::to_ints(tensor), tensor.data_type)
        {
            let data = values.into_iter().map(Dim::Known).collect();
            self.ints.insert(name.to_string(), IntTensor { dims: dims.clone(), data, kind });
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

    fn add_ints(&mut self, name: &str, value: &IntTensor) {
        let dims = value.dims.iter().map(|&d| Dim::Known(d as i64)).collect();
        self.shapes.insert(name.to_string(), dims);
        self.ints.insert(name.to_string(), value.clone());
    }

    /// A name that no value has so far.
    fn fresh_name(&self, wish: &str) -> String {
        let mut name = wish.to_string();
        while self.shapes.contains_key(&name) {
            name.push('_');
        }
        name
    }

    /// One step with the node named in the error.
    fn walk(&mut self, node: &NodeProto, fixed: Option<i64>) -> Result<(), GraphError> {
        self.step(node).map_err(|reason| GraphError::Shape {
            origin: self.origin.to_string(),
            node: node_name(node).to_string(),
            op: node.op_type.clone().unwrap_or_default(),
            reason: reason + &dynamic_batch(fixed),
        })
    }

    fn step(&mut self, node: &NodeProto) -> Result<(), String> {
        if let Some(value) = ints::evaluate(self, node)? {
            self.add_ints(&node.output[0], &value);
            return Ok(());
        }
        if node.op_type.as_deref() == Some("Constant") {
            let tensor = crate::values::constant(node);
            let tensor = tensor.ok_or("expected a constant of numbers")?;
            return self.add_constant(&node.output[0], &tensor).map_err(|e| e.to_string());
        }
        let shapes = rules::output_shapes(self, node)?;
        for (output, shape) in node.output.iter().zip(shapes) {
            check_size(&shape).map_err(|e| format!("output {output:?}: {e}"))?;
            self.shapes.insert(output.clone(), shape);
        }
        Ok(())
    }

    /// The logits must have one row per image.
    fn check_output(&self, name: &str, fixed: Option<i64>) -> Result<(), GraphError> {
        let shape = self.shapes.get(name);
        if shape.and_then(|s| s.first()) == Some(&Dim::Batch) {
            return Ok(());
        }
        let shape = shape.map_or("unknown".to_string(), text);
        let reason = format!(
            "output {name:?} has the shape {shape}; expected the batch first, one row per image"
        );
        crate::load::structure(self.origin, reason + &dynamic_batch(fixed))
    }
}

/// What to do where a fixed batch is in the way.
fn dynamic_batch(fixed: Option<i64>) -> String {
    let remedy = |n| {
        format!(
            " (the model was exported for {n} images at a time; export it with a dynamic batch)"
        )
    };
    fixed.map(remedy).unwrap_or_default()
}

/// Refuses empty and absurdly large values, so that later arithmetic cannot overflow.
fn check_size(shape: &Shape) -> Result<(), String> {
    let mut elements = 1i64;
    for d in shape {
        let Dim::Known(n) = *d else { continue };
        if n < 1 {
            return Err(format!("{} holds nothing; expected positive dimensions", text(shape)));
        }
        elements = elements.saturating_mul(n);
        if n > LONGEST || elements > LARGEST {
            return Err(format!(
                "{} is too large (over 2^32 elements per image); the file may be damaged",
                text(shape)
            ));
        }
    }
    Ok(())
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
