//! Arithmetic with two operands, and functions with parameters.

use std::sync::Arc;

use quantbench_core::Tensor;
use quantbench_graph::onnx::NodeProto;
use quantbench_graph::ops::int_attr;

use super::super::kind::{Numbers, Operand};
use super::{Builder, Kind, axis_of, input, op};
use crate::autodiff::ops::{Arithmetic, Moves, size_of};

/// A value of some dimensions spread to larger ones.
fn spread(from: &[usize], to: &[usize]) -> Option<Moves> {
    let skip = to.len().checked_sub(from.len())?;
    Moves::along(from, to, |there, here| {
        for (axis, at) in here.iter_mut().enumerate() {
            *at = if from[axis] == 1 { 0 } else { there[skip + axis] };
        }
        true
    })
}

/// One side of arithmetic as the model has it.
enum Side {
    Value(Vec<usize>),
    Constant(Tensor),
}

impl Builder<'_> {
    pub(super) fn arithmetic(
        &mut self,
        node: &NodeProto,
        what: Arithmetic,
    ) -> Result<(Kind, Vec<String>), String> {
        if node.input.len() != 2 {
            return Err(format!("it has {} operands; expected 2", node.input.len()));
        }
        let (a, b) = (self.side(node, 0)?, self.side(node, 1)?);
        let to = match (&a, &b) {
            (Side::Constant(_), Side::Constant(_)) => Vec::new(),
            _ => self.output(node, 0)?,
        };
        let names = |at: &[usize]| at.iter().map(|i| node.input[*i].clone()).collect();
        match (&a, &b) {
            (Side::Constant(_), Side::Constant(_)) => {
                Err("its operands are both constant; fold constants first".to_string())
            }
            (Side::Value(x), Side::Value(y)) if x == y && what == Arithmetic::Add => {
                Ok((Kind::Add { relu: false }, names(&[0, 1])))
            }
            (Side::Value(x), Side::Value(y)) => {
                let operands = [operand(x, &to)?, operand(y, &to)?];
                Ok((Kind::Arithmetic { what, operands }, names(&[0, 1])))
            }
            (Side::Value(x), Side::Constant(c)) => {
                let simple = self.with_constant(node, what, x, &to, c)?;
                let kind = if let Some(kind) = simple {
                    kind
                } else {
                    let operands = [operand(x, &to)?, fixed(c, &to)?];
                    Kind::Arithmetic { what, operands }
                };
                Ok((kind, names(&[0])))
            }
            (Side::Constant(c), Side::Value(x)) => {
                let swaps = !matches!(what, Arithmetic::Subtract | Arithmetic::Divide);
                let simple = if swaps { self.with_constant(node, what, x, &to, c)? } else { None };
                let kind = match (simple, per_channel(c, &to)) {
                    (Some(kind), _) => kind,
                    (None, Some(offset)) if what == Arithmetic::Subtract && *x == to => {
                        Kind::Line {
                            slope: Numbers::Fixed(vec![-1.0; offset.len()]),
                            offset: Numbers::Fixed(offset),
                        }
                    }
                    _ => {
                        let operands = [fixed(c, &to)?, operand(x, &to)?];
                        Kind::Arithmetic { what, operands }
                    }
                };
                Ok((kind, names(&[1])))
            }
        }
    }

    fn side(&self, node: &NodeProto, at: usize) -> Result<Side, String> {
        let name = input(node, at)?;
        if self.graph.initializer(name).is_some() {
            return Ok(Side::Constant(self.graph.weight(name).map_err(|e| e.to_string())?));
        }
        self.sizes(name).map(Side::Value)
    }

    /// Arithmetic whose second operand is one number, or one per channel; none otherwise.
    fn with_constant(
        &mut self,
        node: &NodeProto,
        what: Arithmetic,
        from: &[usize],
        to: &[usize],
        constant: &Tensor,
    ) -> Result<Option<Kind>, String> {
        let Some(c) = per_channel(constant, to).filter(|_| from == to) else { return Ok(None) };
        let fixed = Numbers::Fixed;
        let (one, none) = (fixed(vec![1.0; c.len()]), fixed(vec![0.0; c.len()]));
        let negative = || c.iter().map(|c| -c).collect();
        Ok(match what {
            // Exporters write the bias of a layer on matrices as a node of its own.
            Arithmetic::Add if constant.len() == c.len() && self.follows_product(node) => {
                let at = usize::from(self.graph.initializer(&node.input[1]).is_some());
                let bias = self.parameter(node, at)?.ok_or("its bias is no constant")?;
                Some(Kind::Line { slope: one, offset: Numbers::Trained(bias) })
            }
            Arithmetic::Add => Some(Kind::Line { slope: one, offset: fixed(c) }),
            Arithmetic::Subtract => Some(Kind::Line { slope: one, offset: fixed(negative()) }),
            Arithmetic::Multiply => Some(Kind::Line { slope: fixed(c), offset: none }),
            Arithmetic::Divide => {
                let slope = c.iter().map(|c| 1.0 / c).collect();
                Some(Kind::Line { slope: fixed(slope), offset: none })
            }
            Arithmetic::Max | Arithmetic::Min if constant.len() != 1 => None,
            Arithmetic::Max => Some(Kind::Clip { low: c[0], high: f32::INFINITY }),
            Arithmetic::Min => Some(Kind::Clip { low: f32::NEG_INFINITY, high: c[0] }),
        })
    }

    /// Whether an operand is what a MatMul gives.
    fn follows_product(&self, node: &NodeProto) -> bool {
        let producers = node.input.iter().filter_map(|name| self.graph.producer(name));
        producers.map(|i| op(&self.graph.nodes()[i])).any(|op| op == "MatMul")
    }

    /// Every number times the same.
    pub(super) fn line(&self, node: &NodeProto, slope: f32) -> Result<Kind, String> {
        let [channels, ..] = size_of(&self.dims(node, 0)?);
        Ok(Kind::Line {
            slope: Numbers::Fixed(vec![slope; channels]),
            offset: Numbers::Fixed(vec![0.0; channels]),
        })
    }

    pub(super) fn prelu(&mut self, node: &NodeProto) -> Result<Kind, String> {
        let slope = self.parameter(node, 1)?.ok_or("its slopes are no constants")?;
        let dims = self.dims(node, 0)?;
        let tensor = &self.parameters[&slope];
        if tensor.len() != 1 && per_channel(tensor, &dims).is_none() {
            return Err("its slopes are not one, or one per channel".to_string());
        }
        Ok(Kind::Prelu { slope })
    }

    pub(super) fn softmax(&self, node: &NodeProto) -> Result<Kind, String> {
        let dims = self.dims(node, 0)?;
        let old = self.graph.opset() < 13;
        let axis = axis_of(int_attr(node, "axis").unwrap_or(if old { 1 } else { -1 }), &dims)?;
        // Older operator sets take all from the axis on for one.
        let single =
            dims.len() == 1 || (dims.len() <= 3 && !old) || dims[1..] == vec![1; dims.len() - 1];
        if axis != 0 || !single {
            return Err("only a softmax over channels is supported".to_string());
        }
        Ok(Kind::Softmax { logarithm: op(node) == "LogSoftmax" })
    }
}

/// One number per channel of a value of these dimensions; none if a constant has others.
fn per_channel(constant: &Tensor, dims: &[usize]) -> Option<Vec<f32>> {
    let [channels, ..] = size_of(dims);
    if constant.len() == 1 {
        return Some(vec![constant.data[0]; channels]);
    }
    // Right-aligned with the value and its batch, nothing but channels may be long.
    let rank = dims.len() + 1;
    let skip = rank.checked_sub(constant.dims.len())?;
    let long = constant.dims.iter().enumerate().filter(|(_, n)| **n != 1);
    let along_channels = long.map(|(axis, _)| axis + skip).eq([1]);
    (along_channels && dims.len() <= 3 && constant.len() == channels).then(|| constant.data.clone())
}

fn operand(from: &[usize], to: &[usize]) -> Result<Operand, String> {
    if from == to {
        return Ok(Operand::Input(None));
    }
    let moves = spread(from, to).ok_or("its operands do not broadcast")?;
    Ok(Operand::Input(Some(Arc::new(moves))))
}

fn fixed(constant: &Tensor, to: &[usize]) -> Result<Operand, String> {
    let mut dims = constant.dims.as_slice();
    if dims.len() == to.len() + 1 && dims[0] == 1 {
        dims = &dims[1..];
    }
    let skip = to.len().checked_sub(dims.len()).ok_or("its constant differs between images")?;
    let count = to.iter().product();
    let data = (0..count).map(|mut position| {
        let (mut at, mut stride) = (0, 1);
        for axis in (0..to.len()).rev() {
            let there = position % to[axis];
            position /= to[axis];
            if axis >= skip {
                let n = dims[axis - skip];
                at += if n == 1 { 0 } else { there * stride };
                stride *= n;
            }
        }
        constant.data[at]
    });
    Ok(Operand::Fixed(size_of(to), data.collect()))
}
