//! From nodes to steps.

mod elementwise;
mod moves;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::Tensor;
use quantbench_graph::graph::Dim;
use quantbench_graph::onnx::NodeProto;
use quantbench_graph::ops::{float_attr, int_attr, ints_attr, node_name};
use quantbench_graph::{Graph, values};

use super::kind::Kind;
use super::{Network, NetworkError, RunningMoments, Step};
use crate::autodiff::ops::{Activation, Arithmetic, Moments};

pub(super) fn build(graph: &Graph, keep: &[&str]) -> Result<Network, NetworkError> {
    let mut builder = Builder { graph, parameters: BTreeMap::new(), norms: Vec::new() };
    let mut steps = Vec::new();
    for node in graph.nodes() {
        let error = |reason: String| NetworkError::Node {
            origin: graph.origin().to_string(),
            node: node_name(node).to_string(),
            op: op(node).to_string(),
            reason,
        };
        steps.extend(builder.steps(node).map_err(error)?);
    }
    let keep: BTreeSet<&str> = keep.iter().copied().chain([graph.output()]).collect();
    Ok(Network {
        origin: graph.origin().to_string(),
        steps: joined(steps, &keep),
        parameters: builder.parameters,
        norms: builder.norms,
        input: graph.input().to_string(),
        output: graph.output().to_string(),
    })
}

fn op(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or("")
}

/// Joins a norm or a sum with the rectified linear unit that alone reads it.
fn joined(steps: Vec<Step>, keep: &BTreeSet<&str>) -> Vec<Step> {
    let mut readers: BTreeMap<String, usize> = BTreeMap::new();
    for input in steps.iter().flat_map(|s| &s.inputs) {
        *readers.entry(input.clone()).or_default() += 1;
    }
    let mut done: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        let alone = |value: &String| readers[value] == 1 && !keep.contains(value.as_str());
        if step.kind == Kind::Relu && alone(&step.inputs[0]) {
            let before = done.iter_mut().rev().find(|s| s.output == step.inputs[0]);
            if let Some(before) = before
                && let Kind::Norm { relu, .. } | Kind::Add { relu } = &mut before.kind
            {
                *relu = true;
                before.output = step.output;
                continue;
            }
        }
        done.push(step);
    }
    done
}

struct Builder<'g> {
    graph: &'g Graph,
    parameters: BTreeMap<String, Tensor>,
    norms: Vec<RunningMoments>,
}

impl Builder<'_> {
    /// The steps of a node: one, or one for each output of a Split.
    fn steps(&mut self, node: &NodeProto) -> Result<Vec<Step>, String> {
        if op(node) == "Split" {
            return self.split(node);
        }
        let (kind, inputs) = self.step(node)?;
        let output = node.output.first().cloned().unwrap_or_default();
        Ok(vec![Step { node: node_name(node).to_string(), kind, inputs, output }])
    }

    /// What a node does, and the values that it reads.
    fn step(&mut self, node: &NodeProto) -> Result<(Kind, Vec<String>), String> {
        let first = input(node, 0)?;
        let number = |name: &str, default: f32| float_attr(node, name).unwrap_or(default);
        let kind = match op(node) {
            "Conv" => self.conv(node)?,
            "Gemm" | "MatMul" => self.linear(node)?,
            "BatchNormalization" => self.norm(node)?,
            "Add" => return self.arithmetic(node, Arithmetic::Add),
            "Sub" => return self.arithmetic(node, Arithmetic::Subtract),
            "Mul" => return self.arithmetic(node, Arithmetic::Multiply),
            "Div" => return self.arithmetic(node, Arithmetic::Divide),
            "Max" => return self.arithmetic(node, Arithmetic::Max),
            "Min" => return self.arithmetic(node, Arithmetic::Min),
            "Neg" => self.line(node, -1.0)?,
            "Relu" => Kind::Relu,
            "PRelu" => self.prelu(node)?,
            "Clip" => {
                let index = self.index(node)?;
                let (low, high) = self.graph.clip_ends(index).ok_or("its ends are no constants")?;
                Kind::Clip {
                    low: low.unwrap_or(f32::NEG_INFINITY),
                    high: high.unwrap_or(f32::INFINITY),
                }
            }
            "Abs" => Kind::Activation(Activation::Abs),
            "Elu" => Kind::Activation(Activation::Elu(number("alpha", 1.0))),
            "Erf" => Kind::Activation(Activation::Erf),
            "Exp" => Kind::Activation(Activation::Exp),
            "HardSigmoid" => Kind::Activation(Activation::HardSigmoid {
                alpha: number("alpha", 0.2),
                beta: number("beta", 0.5),
            }),
            "HardSwish" => Kind::Activation(Activation::HardSwish),
            "LeakyRelu" => Kind::Activation(Activation::LeakyRelu(number("alpha", 0.01))),
            "Sigmoid" => Kind::Activation(Activation::Sigmoid),
            "Softplus" => Kind::Activation(Activation::Softplus),
            "Sqrt" => Kind::Activation(Activation::Sqrt),
            "Tanh" => Kind::Activation(Activation::Tanh),
            "Softmax" | "LogSoftmax" => self.softmax(node)?,
            "AveragePool" => self.average_pool(node)?,
            "MaxPool" => Kind::MaxPool(self.pool(node)?),
            "GlobalAveragePool" => Kind::GlobalAveragePool,
            "GlobalMaxPool" => Kind::GlobalMaxPool,
            "ReduceMean" => self.mean(node)?,
            "Concat" => return self.concat(node),
            "Gather" => self.gather(node)?,
            "Pad" => self.pad(node)?,
            "Slice" => self.slice(node)?,
            "Transpose" => self.transpose(node)?,
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(node)?,
            "Identity" | "Dropout" => Kind::Same,
            "Cast" if int_attr(node, "to") == Some(FLOAT) => Kind::Same,
            _ => return Err("its gradient is not implemented".to_string()),
        };
        Ok((kind, vec![first.to_string()]))
    }

    fn linear(&mut self, node: &NodeProto) -> Result<Kind, String> {
        let weight = self.parameter(node, 1)?.ok_or("its second operand is no constant")?;
        if int_attr(node, "transA").unwrap_or(0) != 0 || self.dims(node, 0)?.len() != 1 {
            return Err("it does not multiply vectors with weights".to_string());
        }
        if ["alpha", "beta"].iter().any(|name| float_attr(node, name).unwrap_or(1.0) != 1.0) {
            return Err("its alpha and beta are not 1".to_string());
        }
        let [rows, columns] = *self.parameters[&weight].dims.as_slice() else {
            return Err("its weights are no matrix".to_string());
        };
        let transposed = int_attr(node, "transB").unwrap_or(0) == 0;
        let bias = self.bias(node, if transposed { columns } else { rows })?;
        Ok(Kind::Linear { weight, bias, transposed })
    }

    /// The third operand of a layer with so many outputs.
    fn bias(&mut self, node: &NodeProto, outputs: usize) -> Result<Option<String>, String> {
        if node.input.get(2).is_none_or(String::is_empty) {
            return Ok(None);
        }
        let name = self.parameter(node, 2)?.ok_or("its bias is no constant")?;
        match self.parameters[&name].len() {
            n if n == outputs => Ok(Some(name)),
            n => Err(format!("its bias has {n} numbers; expected {outputs}")),
        }
    }

    /// Notes a constant operand as a parameter; none if it is absent or not constant.
    fn parameter(&mut self, node: &NodeProto, at: usize) -> Result<Option<String>, String> {
        let Some(name) = node.input.get(at).filter(|n| self.graph.initializer(n).is_some()) else {
            return Ok(None);
        };
        if !self.parameters.contains_key(name) {
            let tensor = self.graph.weight(name).map_err(|e| e.to_string())?;
            self.parameters.insert(name.clone(), tensor);
        }
        Ok(Some(name.clone()))
    }

    fn norm(&mut self, node: &NodeProto) -> Result<Kind, String> {
        let mut names = Vec::new();
        for at in 1..5 {
            let name = input(node, at)?;
            if self.graph.initializer(name).is_none() {
                return Err("its parameters are no constants".to_string());
            }
            names.push(name.to_string());
        }
        let read = |name: &str| self.graph.weight(name).map_err(|e| e.to_string());
        let moments = Moments { mean: read(&names[2])?.data, variance: read(&names[3])?.data };
        let (gamma, beta) = (self.parameter(node, 1)?, self.parameter(node, 2)?);
        self.norms.push(RunningMoments {
            input: input(node, 0)?.to_string(),
            mean_name: names[2].clone(),
            variance_name: names[3].clone(),
            moments,
        });
        Ok(Kind::Norm {
            gamma: gamma.unwrap_or_default(),
            beta: beta.unwrap_or_default(),
            state: self.norms.len() - 1,
            epsilon: float_attr(node, "epsilon").unwrap_or(1e-5),
            relu: false,
        })
    }

    fn index(&self, node: &NodeProto) -> Result<usize, String> {
        let output = node.output.first().map_or("", String::as_str);
        self.graph.producer(output).ok_or_else(|| "it has no output".to_string())
    }

    /// Dimensions of an operand per image.
    fn dims(&self, node: &NodeProto, at: usize) -> Result<Vec<usize>, String> {
        self.sizes(input(node, at)?)
    }

    /// Dimensions of an output per image.
    fn output(&self, node: &NodeProto, at: usize) -> Result<Vec<usize>, String> {
        self.sizes(node.output.get(at).map_or("", String::as_str))
    }

    fn sizes(&self, value: &str) -> Result<Vec<usize>, String> {
        let shape = self.graph.shape(value).map_or(&[][..], Vec::as_slice);
        let Some((Dim::Batch, rest)) = shape.split_first() else {
            return Err(format!("value {value:?} does not have the batch first"));
        };
        let known = |d: &Dim| if let Dim::Known(n) = d { Some(*n as usize) } else { None };
        let known: Option<Vec<usize>> = rest.iter().map(known).collect();
        known.ok_or_else(|| format!("value {value:?} has the batch twice"))
    }

    /// A constant operand of integers; none if it is absent or not constant.
    fn ints(&self, node: &NodeProto, at: usize) -> Option<Vec<i64>> {
        let name = node.input.get(at).filter(|n| !n.is_empty())?;
        values::to_ints(self.graph.initializer(name)?)
    }

    /// Integers that are an attribute in older operator sets and an operand in newer ones.
    fn list(&self, node: &NodeProto, name: &str, at: usize) -> Option<Vec<i64>> {
        ints_attr(node, name).map(<[i64]>::to_vec).or_else(|| self.ints(node, at))
    }
}

/// ONNX's number for FP32.
const FLOAT: i64 = 1;

fn input(node: &NodeProto, at: usize) -> Result<&str, String> {
    let name = node.input.get(at).filter(|n| !n.is_empty());
    name.map(String::as_str).ok_or_else(|| format!("operand {at} is missing"))
}

/// The place of an axis among the dimensions per image; the batch is none.
fn axis_of(axis: i64, dims: &[usize]) -> Result<usize, String> {
    let rank = dims.len() as i64 + 1;
    let at = if axis < 0 { axis + rank } else { axis };
    if (1..rank).contains(&at) {
        Ok(at as usize - 1)
    } else {
        Err(format!("axis {axis} is not one of an image's"))
    }
}
