//! Small integer tensors as values: what exporters compute shapes with.

use crate::graph::Dim;
use crate::onnx::{NodeProto, TensorProto, data_type};
use crate::ops::{int_attr, ints_attr};

use super::Env;

/// An integer tensor whose elements may be the batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IntTensor {
    /// Dimensions; a scalar has none.
    pub(crate) dims: Vec<usize>,
    /// Elements, row-major.
    pub(crate) data: Vec<Dim>,
    /// ONNX data type: INT64, INT32 or BOOL.
    pub(crate) kind: i32,
}

impl IntTensor {
    /// Larger integer tensors are data, not shapes.
    pub(crate) const MOST: usize = 256;

    fn list(data: Vec<Dim>) -> Self {
        Self { dims: vec![data.len()], data, kind: data_type::INT64 }
    }

    /// An initializer of the same type, if no element is the batch.
    pub(crate) fn to_proto(&self, name: &str) -> Option<TensorProto> {
        let dims = self.dims.iter().map(|&d| d as i64).collect();
        Some(crate::values::from_ints_of(name, self.kind, dims, &self.fixed()?))
    }

    /// The same elements in other dimensions.
    fn with_dims(&self, dims: Vec<usize>) -> Self {
        Self { dims, ..self.clone() }
    }

    /// The elements, if none of them is the batch.
    pub(crate) fn fixed(&self) -> Option<Vec<i64>> {
        self.data.iter().map(|d| if let Dim::Known(n) = d { Some(*n) } else { None }).collect()
    }
}

/// Evaluates a node on integer tensors; `None` if it is not such a node.
pub(super) fn evaluate(env: &Env<'_>, node: &NodeProto) -> Result<Option<IntTensor>, String> {
    let op = node.op_type.as_deref().unwrap_or("");
    if op == "Shape" {
        let shape = env.shape(node, 0)?;
        let rank = shape.len() as i64;
        let start = clamp_axis(int_attr(node, "start").unwrap_or(0), rank);
        let end = clamp_axis(int_attr(node, "end").unwrap_or(rank), rank);
        return Ok(Some(IntTensor::list(shape[start..end.max(start)].to_vec())));
    }
    if op == "ConstantOfShape" {
        return constant_of_shape(env, node);
    }
    let known = |i: usize| node.input.get(i).and_then(|n| env.ints.get(n));
    let Some(first) = known(0) else { return Ok(None) };
    let value = match op {
        "Identity" => Some(first.clone()),
        "Cast" => int_attr(node, "to").and_then(|to| cast(first, to as i32)),
        "Unsqueeze" => {
            let mut dims = first.dims.clone();
            for axis in axes(env, node)?.unwrap_or_default() {
                let rank = dims.len() as i64 + 1;
                let at = if axis < 0 { axis + rank } else { axis };
                if !(0..rank).contains(&at) {
                    return Err(format!("axis {axis} does not fit"));
                }
                dims.insert(at as usize, 1);
            }
            Some(first.with_dims(dims))
        }
        "Squeeze" => {
            let dims = if first.data.len() == 1 { vec![] } else { vec![first.data.len()] };
            Some(first.with_dims(dims))
        }
        "Concat" if first.dims.len() == 1 => {
            let parts: Option<Vec<&IntTensor>> = (0..node.input.len()).map(known).collect();
            let joined = |p: Vec<&IntTensor>| p.iter().flat_map(|t| t.data.clone()).collect();
            parts.map(|p| IntTensor { kind: first.kind, ..IntTensor::list(joined(p)) })
        }
        "Gather" if first.dims.len() == 1 => known(1).and_then(|at| gather(first, at)),
        "Slice" if first.dims.len() <= 2 => slice(env, node, first)?,
        "Reshape" => known(1).and_then(IntTensor::fixed).and_then(|to| reshape(first, &to)),
        "Transpose" if first.dims.len() == 2 => match ints_attr(node, "perm") {
            None | Some([1, 0]) => Some(transpose(first)),
            _ => None,
        },
        "Add" | "Sub" | "Mul" | "Div" => known(1).and_then(|other| arithmetic(op, first, other)),
        _ => None,
    };
    Ok(value.filter(|v| v.data.len() <= IntTensor::MOST))
}

/// Axes as an attribute (before opset 13) or an input.
pub(super) fn axes(env: &Env<'_>, node: &NodeProto) -> Result<Option<Vec<i64>>, String> {
    match ints_attr(node, "axes") {
        Some(axes) => Ok(Some(axes.to_vec())),
        None => env.fixed_ints(node, 1),
    }
}

fn clamp_axis(axis: i64, rank: i64) -> usize {
    (if axis < 0 { axis + rank } else { axis }).clamp(0, rank) as usize
}

fn constant_of_shape(env: &Env<'_>, node: &NodeProto) -> Result<Option<IntTensor>, String> {
    let Some(dims) = env.fixed_ints(node, 0)? else { return Ok(None) };
    let Some(fill) = node.attribute.iter().find_map(|a| a.t.as_ref()) else { return Ok(None) };
    let value = crate::values::to_ints(fill).and_then(|v| v.first().copied());
    let (Some(value), Some(kind)) = (value, fill.data_type) else { return Ok(None) };
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    let Some(count) = count.filter(|&c| c <= IntTensor::MOST) else { return Ok(None) };
    let dims = dims.iter().map(|&d| d as usize).collect();
    Ok(Some(IntTensor { dims, data: vec![Dim::Known(value); count], kind }))
}

/// A Cast between the integer types; to anything else the value leaves shape arithmetic.
fn cast(value: &IntTensor, to: i32) -> Option<IntTensor> {
    let fits = |d: &Dim| match (d, to) {
        (Dim::Known(n), data_type::INT32) => i32::try_from(*n).is_ok(),
        _ => true,
    };
    (matches!(to, data_type::INT32 | data_type::INT64) && value.data.iter().all(fits))
        .then(|| IntTensor { kind: to, ..value.clone() })
}

fn gather(list: &IntTensor, at: &IntTensor) -> Option<IntTensor> {
    let rank = list.data.len() as i64;
    let data: Option<Vec<Dim>> = at
        .fixed()?
        .iter()
        .map(|&i| list.data.get(usize::try_from(if i < 0 { i + rank } else { i }).ok()?).copied())
        .collect();
    Some(IntTensor { dims: at.dims.clone(), data: data?, kind: list.kind })
}

fn slice(env: &Env<'_>, node: &NodeProto, list: &IntTensor) -> Result<Option<IntTensor>, String> {
    let (Some(starts), Some(ends)) = (env.fixed_ints(node, 1)?, env.fixed_ints(node, 2)?) else {
        return Ok(None);
    };
    let axis = env.fixed_ints(node, 3)?.and_then(|a| a.first().copied()).unwrap_or(0);
    let step = env.fixed_ints(node, 4)?.and_then(|a| a.first().copied()).unwrap_or(1);
    if starts.len() != 1 || ends.len() != 1 || axis != 0 || step == 0 || list.dims.is_empty() {
        return Ok(None);
    }
    let rows = list.dims[0];
    let width = list.data.len() / rows.max(1);
    let picked = range(starts[0], ends[0], step, rows as i64);
    let data: Vec<Dim> = picked
        .iter()
        .flat_map(|&r| list.data[r as usize * width..(r as usize + 1) * width].to_vec())
        .collect();
    let mut dims = list.dims.clone();
    dims[0] = picked.len();
    Ok(Some(IntTensor { dims, data, kind: list.kind }))
}

/// Indices that a slice picks out of `size` (ONNX Slice: negative ends count from the back).
pub(super) fn range(start: i64, end: i64, step: i64, size: i64) -> Vec<i64> {
    let fix = |v: i64| if v < 0 { v.saturating_add(size) } else { v };
    let (mut at, end) = if step > 0 {
        (fix(start).clamp(0, size), fix(end).clamp(0, size))
    } else {
        (fix(start).clamp(-1, size - 1), fix(end).clamp(-1, size - 1))
    };
    let mut picked = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        picked.push(at);
        at = at.saturating_add(step);
    }
    picked
}

fn reshape(list: &IntTensor, to: &[i64]) -> Option<IntTensor> {
    let count = list.data.len();
    let product = |dims: &[usize]| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let given: Vec<usize> = to.iter().filter(|&&d| d > 0).map(|&d| d as usize).collect();
    let rest = count / product(&given)?;
    let dims: Vec<usize> = to.iter().map(|&d| if d > 0 { d as usize } else { rest }).collect();
    (product(&dims)? == count).then(|| list.with_dims(dims))
}

fn transpose(table: &IntTensor) -> IntTensor {
    let (rows, columns) = (table.dims[0], table.dims[1]);
    let data = (0..columns)
        .flat_map(|c| (0..rows).map(move |r| (r, c)))
        .map(|(r, c)| table.data[r * columns + c])
        .collect();
    IntTensor { dims: vec![columns, rows], data, kind: table.kind }
}

fn arithmetic(op: &str, a: &IntTensor, b: &IntTensor) -> Option<IntTensor> {
    let (x, y) = (a.fixed()?, b.fixed()?);
    let n = x.len().max(y.len());
    if (x.len() != n && x.len() != 1) || (y.len() != n && y.len() != 1) {
        return None;
    }
    let data: Option<Vec<Dim>> = (0..n)
        .map(|i| {
            let (l, r) = (x[i.min(x.len() - 1)], y[i.min(y.len() - 1)]);
            let value = match op {
                "Add" => l.checked_add(r),
                "Sub" => l.checked_sub(r),
                "Mul" => l.checked_mul(r),
                _ => l.checked_div(r),
            };
            value.map(Dim::Known)
        })
        .collect();
    let dims = if a.dims.len() >= b.dims.len() { a.dims.clone() } else { b.dims.clone() };
    Some(IntTensor { dims, data: data?, kind: a.kind })
        .filter(|t| t.dims.iter().product::<usize>() == n)
}
