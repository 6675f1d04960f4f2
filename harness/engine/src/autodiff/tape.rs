//! What was computed, in order, and the way back.

use quantbench_core::Tensor;

use super::isa::Isa;
use super::map::{Device, Map};

/// A value on a [`Tape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Var(usize);

/// A value or a gradient.
#[derive(Debug)]
pub enum Value {
    /// Feature maps of a batch.
    Map(Map),
    /// Parameters, losses: any dimensions, in one piece.
    Flat(Tensor),
}

/// The way back through one operation.
pub trait Op: Send {
    /// Gives each input that wants one its gradient ([`Back::give`]), from that of the output.
    fn backward(&self, gradient: Value, back: &mut Back<'_>);
}

struct Node {
    value: Option<Value>,
    op: Option<Box<dyn Op>>,
    wants: bool,
}

/// Values in the order in which they were computed, with the operations that lead back.
///
/// An operation is a function that takes the tape and variables, computes, and calls
/// [`Tape::push`]. Values live until the tape is dropped or has been run backward.
pub struct Tape {
    device: Device,
    nodes: Vec<Node>,
}

impl Tape {
    /// An empty tape.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), nodes: Vec::new() }
    }

    /// Where maps are computed.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A value that gets no gradient.
    pub fn constant(&mut self, value: Value) -> Var {
        self.add(value, None, false)
    }

    /// A value that gets a gradient.
    pub fn variable(&mut self, value: Value) -> Var {
        self.add(value, None, true)
    }

    /// A parameter that gets a gradient.
    pub fn parameter(&mut self, tensor: &Tensor) -> Var {
        self.variable(Value::Flat(tensor.clone()))
    }

    /// The outcome of an operation. The way back is forgotten if no input wants a gradient.
    pub fn push(&mut self, inputs: &[Var], value: Value, op: impl Op + 'static) -> Var {
        let wants = inputs.iter().any(|v| self.wants(*v));
        let op = wants.then(|| Box::new(op) as Box<dyn Op>);
        self.add(value, op, wants)
    }

    /// Whether a value gets a gradient.
    pub fn wants(&self, var: Var) -> bool {
        self.nodes[var.0].wants
    }

    /// A value.
    ///
    /// # Panics
    /// After it was run backward, which is a bug of the caller.
    pub fn value(&self, var: Var) -> &Value {
        value(&self.nodes, var)
    }

    /// A value that is a map.
    ///
    /// # Panics
    /// If it is none: a bug of the caller.
    pub fn map(&self, var: Var) -> &Map {
        map(&self.nodes, var)
    }

    /// A value in one piece.
    ///
    /// # Panics
    /// If it is a map: a bug of the caller.
    pub fn flat(&self, var: Var) -> &Tensor {
        flat(&self.nodes, var)
    }

    /// A value that is one number.
    ///
    /// # Panics
    /// If it is not: a bug of the caller.
    pub fn scalar(&self, var: Var) -> f32 {
        self.flat(var).data[0]
    }

    /// Gradients of a value that is one number, for all variables and parameters.
    ///
    /// Values and gradients on the way are given up as soon as nothing needs them any more.
    pub fn backward(self, from: Var) -> Gradients {
        let one = Value::Flat(Tensor::new(vec![1], vec![1.0]));
        self.backward_from(vec![(from, one)])
    }

    /// Gradients for all variables and parameters, given those of some values, each named once.
    pub fn backward_from(mut self, given: Vec<(Var, Value)>) -> Gradients {
        let mut gradients: Vec<Option<Value>> = Vec::new();
        gradients.resize_with(self.nodes.len(), || None);
        for (var, gradient) in given {
            gradients[var.0] = Some(gradient);
        }
        for i in (0..self.nodes.len()).rev() {
            let Some(op) = self.nodes[i].op.take() else { continue };
            if let Some(gradient) = gradients[i].take() {
                let isa = self.device.isa;
                let mut back =
                    Back { nodes: &self.nodes, gradients: &mut gradients, output: Var(i), isa };
                op.backward(gradient, &mut back);
            }
            // Whatever reads this value came later and is done.
            self.nodes[i].value = None;
        }
        Gradients(gradients)
    }

    fn add(&mut self, value: Value, op: Option<Box<dyn Op>>, wants: bool) -> Var {
        self.nodes.push(Node { value: Some(value), op, wants });
        Var(self.nodes.len() - 1)
    }
}

fn value(nodes: &[Node], var: Var) -> &Value {
    match &nodes[var.0].value {
        Some(value) => value,
        None => panic!("value {} of the tape was given up", var.0),
    }
}

fn map(nodes: &[Node], var: Var) -> &Map {
    match value(nodes, var) {
        Value::Map(map) => map,
        Value::Flat(_) => panic!("value {} of the tape is no map", var.0),
    }
}

fn flat(nodes: &[Node], var: Var) -> &Tensor {
    match value(nodes, var) {
        Value::Flat(tensor) => tensor,
        Value::Map(_) => panic!("value {} of the tape is a map", var.0),
    }
}

/// What an operation sees on the way back.
pub struct Back<'a> {
    nodes: &'a [Node],
    gradients: &'a mut [Option<Value>],
    output: Var,
    isa: Isa,
}

impl Back<'_> {
    /// Whether an input wants a gradient.
    pub fn wants(&self, var: Var) -> bool {
        self.nodes[var.0].wants
    }

    /// The instruction set of all kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// An input.
    pub fn value(&self, var: Var) -> &Value {
        value(self.nodes, var)
    }

    /// An input that is a map.
    pub fn map(&self, var: Var) -> &Map {
        map(self.nodes, var)
    }

    /// An input in one piece.
    pub fn flat(&self, var: Var) -> &Tensor {
        flat(self.nodes, var)
    }

    /// The operation's own output, if it is a map.
    pub fn output(&self) -> &Map {
        map(self.nodes, self.output)
    }

    /// Adds to the gradient of an input; nothing happens if it wants none.
    pub fn give(&mut self, var: Var, gradient: Value) {
        if !self.wants(var) {
            return;
        }
        match (&mut self.gradients[var.0], gradient) {
            (Some(Value::Map(sum)), Value::Map(more)) => {
                super::kernels::pointwise::add_to(sum, &more);
            }
            (Some(Value::Flat(sum)), Value::Flat(more)) => {
                sum.data.iter_mut().zip(&more.data).for_each(|(s, m)| *s += m);
            }
            (empty, gradient) => *empty = Some(gradient),
        }
    }
}

/// Gradients of variables and parameters.
pub struct Gradients(Vec<Option<Value>>);

impl Gradients {
    /// Takes the gradient of a parameter; none if the loss does not depend on it.
    pub fn flat(&mut self, var: Var) -> Option<Tensor> {
        match self.0.get_mut(var.0)?.take()? {
            Value::Flat(tensor) => Some(tensor),
            Value::Map(_) => None,
        }
    }

    /// Takes the gradient of a variable that is a map; none if the loss does not depend on it.
    pub fn map(&mut self, var: Var) -> Option<Map> {
        match self.0.get_mut(var.0)?.take()? {
            Value::Map(map) => Some(map),
            Value::Flat(_) => None,
        }
    }
}
