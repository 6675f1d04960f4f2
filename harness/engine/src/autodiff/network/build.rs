//! From nodes to steps.

use std::collections::{BTreeMap, BTreeSet};

use quantbench_core::Tensor;
use quantbench_graph::graph::Dim;
use quantbench_graph::onnx::NodeProto;
use quantbench_graph::ops::{float_attr, int_attr, ints_attr, node_name, text_attr};
use quantbench_graph::{Graph, values};

use super::{Kind, Network, NetworkError, RunningMoments, Step};
use crate::autodiff::kernels::plan::Window;
use crate::autodiff::ops::{Moments, Pick};

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
        steps.push(builder.step(node).map_err(error)?);
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
    fn step(&mut self, node: &NodeProto) -> Result<Step, String> {
        let mut inputs = vec![input(node, 0)?.to_string()];
        let kind = match op(node) {
            "Conv" => {
                let weight = self.parameter(node, 1)?.ok_or("its weights are no constant")?;
                let dims = &self.parameters[&weight].dims;
                let [_, _, rows, columns] = *dims.as_slice() else {
                    return Err(format!("weights of {} dimensions; expected 4", dims.len()));
                };
                let window = self.window(node, [rows, columns])?;
                let groups = int_attr(node, "group").unwrap_or(1).max(1) as usize;
                Kind::Conv { weight, bias: self.parameter(node, 2)?, window, groups }
            }
            "Gemm" | "MatMul" => {
                let weight = self.parameter(node, 1)?.ok_or("its second operand is no constant")?;
                if int_attr(node, "transA").unwrap_or(0) != 0 || self.dims(node, 0).len() != 2 {
                    return Err("it does not multiply vectors with weights".to_string());
                }
                let transposed = int_attr(node, "transB").unwrap_or(0) == 0;
                Kind::Linear { weight, bias: self.parameter(node, 2)?, transposed }
            }
            "BatchNormalization" => self.norm(node)?,
            "Relu" => Kind::Relu,
            "Clip" => {
                let index = self.index(node)?;
                let (low, high) = self.graph.clip_ends(index).ok_or("its ends are no constants")?;
                Kind::Clip {
                    low: low.unwrap_or(f32::NEG_INFINITY),
                    high: high.unwrap_or(f32::INFINITY),
                }
            }
            "Add" => {
                let other = input(node, 1)?;
                if self.graph.shape(other) != self.graph.shape(&inputs[0]) {
                    return Err("its operands have different shapes".to_string());
                }
                inputs.push(other.to_string());
                Kind::Add { relu: false }
            }
            "Slice" => Kind::Pick(self.slice(node)?),
            "Pad" => Kind::Pick(self.pad(node)?),
            "AveragePool" => {
                let window = self.pool(node)?;
                let padded = window.before != [0; 2] || window.after != [0; 2];
                if padded && int_attr(node, "count_include_pad").unwrap_or(0) == 0 {
                    return Err("padding that does not count is not supported".to_string());
                }
                Kind::AveragePool(window)
            }
            "MaxPool" => Kind::MaxPool(self.pool(node)?),
            "GlobalAveragePool" => Kind::GlobalAveragePool,
            "ReduceMean" => {
                let from = self.dims(node, 0);
                let to = self.output(node);
                let is_global = from.len() == 4
                    && to.iter().skip(2).all(|d| *d == 1)
                    && to.get(1) == from.get(1);
                if !is_global {
                    return Err("only means over all pixels are supported".to_string());
                }
                Kind::GlobalAveragePool
            }
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(node)?,
            "Identity" | "Dropout" => Kind::Same,
            _ => return Err("its gradient is not implemented".to_string()),
        };
        let output = node.output.first().cloned().unwrap_or_default();
        Ok(Step { node: node_name(node).to_string(), kind, inputs, output })
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

    /// Dimensions of an operand, the batch as 0.
    fn dims(&self, node: &NodeProto, at: usize) -> Vec<usize> {
        node.input.get(at).map_or_else(Vec::new, |name| self.sizes(name))
    }

    fn output(&self, node: &NodeProto) -> Vec<usize> {
        node.output.first().map_or_else(Vec::new, |name| self.sizes(name))
    }

    fn sizes(&self, value: &str) -> Vec<usize> {
        let shape = self.graph.shape(value).map_or(&[][..], Vec::as_slice);
        shape.iter().map(|d| if let Dim::Known(n) = d { *n as usize } else { 0 }).collect()
    }

    fn pool(&self, node: &NodeProto) -> Result<Window, String> {
        match ints_attr(node, "kernel_shape") {
            Some(&[rows, columns]) => self.window(node, [rows as usize, columns as usize]),
            other => Err(format!("kernel {other:?} is not supported; expected rows and columns")),
        }
    }

    /// The window of a conv or pool, padded so that the output has the inferred size.
    fn window(&self, node: &NodeProto, kernel: [usize; 2]) -> Result<Window, String> {
        let pair = |name: &str| match ints_attr(node, name) {
            Some(&[a, b]) => [a as usize, b as usize],
            _ => [1, 1],
        };
        let (stride, dilation) = (pair("strides"), pair("dilations"));
        let (from, to) = (self.dims(node, 0), self.output(node));
        let ([_, _, h, w], [_, _, oh, ow]) = (from.as_slice(), to.as_slice()) else {
            return Err("its maps do not have rows and columns".to_string());
        };
        let (from, to) = ([*h, *w], [*oh, *ow]);
        let auto = text_attr(node, "auto_pad").unwrap_or("NOTSET");
        let (mut before, mut after) = ([0; 2], [0; 2]);
        for a in 0..2 {
            let reach = (to[a].max(1) - 1) * stride[a] + dilation[a] * (kernel[a].max(1) - 1) + 1;
            let missing = reach.saturating_sub(from[a]);
            before[a] = match auto {
                "SAME_UPPER" => missing / 2,
                "SAME_LOWER" => missing.div_ceil(2),
                "VALID" => 0,
                _ => ints_attr(node, "pads").map_or(0, |p| p.get(a).map_or(0, |p| *p as usize)),
            };
            after[a] = missing.saturating_sub(before[a]);
        }
        let window = Window { kernel, stride, before, after, dilation };
        match window.output(from) {
            Some(size) if size == to => Ok(window),
            _ => Err(format!("its window does not make {to:?} of {from:?}")),
        }
    }

    fn ints(&self, node: &NodeProto, at: usize) -> Option<Vec<i64>> {
        let name = node.input.get(at).filter(|n| !n.is_empty())?;
        values::to_ints(self.graph.initializer(name)?)
    }

    fn slice(&self, node: &NodeProto) -> Result<Pick, String> {
        let (from, to) = (self.dims(node, 0), self.output(node));
        let fixed = || "its bounds are no constants".to_string();
        let starts = self.ints(node, 1).ok_or_else(fixed)?;
        let axes = self.ints(node, 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints(node, 4).unwrap_or_else(|| vec![1; starts.len()]);
        let (&[_, c, h, w], &[_, to_c, to_h, to_w]) = (from.as_slice(), to.as_slice()) else {
            return Err("its maps do not have rows and columns".to_string());
        };
        let mut pick =
            Pick { start: [0; 2], every: [1; 2], size: [to_h, to_w], before: 0, after: 0 };
        for ((axis, start), step) in axes.iter().zip(&starts).zip(&steps) {
            let axis = if *axis < 0 { axis + 4 } else { *axis };
            let size = [0, c, h, w].get(axis as usize).copied().unwrap_or(0) as i64;
            let start = if *start < 0 { start + size } else { *start };
            match axis {
                2 | 3 if *step > 0 => {
                    pick.start[axis as usize - 2] = start.max(0) as usize;
                    pick.every[axis as usize - 2] = *step as usize;
                }
                1 if start == 0 && *step == 1 && to_c == c => {}
                _ => return Err("only rows and columns can be sliced".to_string()),
            }
        }
        if to_c == c { Ok(pick) } else { Err("only rows and columns can be sliced".to_string()) }
    }

    fn pad(&self, node: &NodeProto) -> Result<Pick, String> {
        let pads = self.ints(node, 1).ok_or("its pads are no constants")?;
        let zero = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) => self.graph.weight(name).is_ok_and(|t| t.data.iter().all(|v| *v == 0.0)),
            None => true,
        };
        let (&[_, _, h, w], &[0, before, 0, 0, 0, after, 0, 0], true) =
            (self.dims(node, 0).as_slice(), pads.as_slice(), zero)
        else {
            return Err("only channels of zeros can be added".to_string());
        };
        let (Ok(before), Ok(after)) = (usize::try_from(before), usize::try_from(after)) else {
            return Err("channels cannot be taken away".to_string());
        };
        Ok(Pick { start: [0; 2], every: [1; 2], size: [h, w], before, after })
    }

    fn reshape(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0), self.output(node));
        let vector = |d: &[usize]| d.iter().skip(2).all(|n| *n == 1);
        let elements = |d: &[usize]| d.iter().skip(1).product::<usize>();
        if elements(&from) != elements(&to) || from.first() != to.first() {
            return Err("it moves numbers between images".to_string());
        }
        let trim = |d: &[usize]| {
            let mut d = d.to_vec();
            while d.len() > 2 && d.last() == Some(&1) {
                d.pop();
            }
            d
        };
        if trim(&from) == trim(&to) {
            Ok(Kind::Same)
        } else if vector(&to) {
            Ok(Kind::Flatten)
        } else {
            Err("only reshapes to vectors are supported".to_string())
        }
    }
}

fn input(node: &NodeProto, at: usize) -> Result<&str, String> {
    let name = node.input.get(at).filter(|n| !n.is_empty());
    name.map(String::as_str).ok_or_else(|| format!("operand {at} is missing"))
}
