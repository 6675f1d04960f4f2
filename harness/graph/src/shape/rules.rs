//! Output shapes by operator.

use crate::graph::{Dim, Shape};
use crate::onnx::NodeProto;
use crate::ops::{int_attr, ints_attr};

use super::{Env, ints, text, window};

const TRAINING: &str = "it is in training mode; export the model for inference (model.eval())";

/// Shapes of a node's outputs.
pub(super) fn output_shapes(env: &Env<'_>, node: &NodeProto) -> Result<Vec<Shape>, String> {
    let op = node.op_type.as_deref().unwrap_or("");
    let x = env.shape(node, 0)?;
    let one = |shape: Shape| Ok(vec![shape]);
    match op {
        "Add" | "Div" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Max" | "Min"
        | "Mul" | "PRelu" | "Sub" | "Where" => {
            let others = (1..node.input.len()).map(|i| env.shape(node, i));
            one(others.into_iter().try_fold(x.clone(), |s, other| broadcast(&s, other?))?)
        }
        "BatchNormalization" => {
            let channels = x.get(1).ok_or("input has no channel dimension")?;
            if int_attr(node, "training_mode").unwrap_or(0) != 0 {
                return Err(TRAINING.to_string());
            }
            for i in 1..5 {
                if env.shape(node, i)?.as_slice() != [*channels] {
                    return Err(format!("parameter {i} does not fit input {}", text(x)));
                }
            }
            one(x.clone())
        }
        "Dropout" if env.fixed_ints(node, 2)?.is_some_and(|on| on.iter().any(|&v| v != 0)) => {
            Err(TRAINING.to_string())
        }
        "Dropout" => Ok(vec![x.clone(); node.output.len()]),
        "Conv" => one(conv(env, node, x)?),
        "AveragePool" | "MaxPool" => {
            let kernel = ints_attr(node, "kernel_shape").ok_or("kernel_shape is missing")?;
            if kernel.iter().any(|k| !(1..1 << 20).contains(k)) {
                return Err(format!("kernel_shape {kernel:?} does not fit"));
            }
            let mut shape = x.get(..2).ok_or("input has no channel dimension")?.to_vec();
            shape.extend(window::slide(node, x, kernel)?);
            one(shape)
        }
        "GlobalAveragePool" | "GlobalMaxPool" => {
            one(x.iter().enumerate().map(|(i, d)| if i < 2 { *d } else { Dim::Known(1) }).collect())
        }
        "Gemm" => one(gemm(env, node, x)?),
        "MatMul" => one(matmul(x, env.shape(node, 1)?)?),
        "Concat" => one(concat(env, node, x)?),
        "Flatten" => one(flatten(node, x)?),
        "Reshape" => one(reshape(env, node, x)?),
        "Transpose" => one(transpose(node, x)?),
        "Squeeze" | "Unsqueeze" => one(squeeze(env, node, x, op)?),
        "Pad" => one(pad(env, node, x)?),
        "Slice" => one(slice(env, node, x)?),
        "Split" => split(env, node, x),
        "ReduceMean" => one(reduce(env, node, x)?),
        "Softmax" | "LogSoftmax" => {
            let default = if env.opset < 13 { 1 } else { -1 };
            axis_of(int_attr(node, "axis").unwrap_or(default), x.len())?;
            one(x.clone())
        }
        "Gather" => {
            let axis = axis_of(int_attr(node, "axis").unwrap_or(0), x.len())?;
            let at = env.shape(node, 1)?;
            one([&x[..axis], at.as_slice(), &x[axis + 1..]].concat())
        }
        "ConstantOfShape" => {
            let dims = env.fixed_ints(node, 0)?.ok_or("the shape is missing")?;
            one(dims.into_iter().map(Dim::Known).collect())
        }
        // Everything else works element by element.
        _ => one(x.clone()),
    }
}

fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let at = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(at)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} does not fit {rank} dimensions"))
}

fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, String> {
    let rank = a.len().max(b.len());
    let at = |s: &Shape, i: usize| {
        let skip = rank - s.len();
        if i < skip { Dim::Known(1) } else { s[i - skip] }
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (Dim::Known(1), y) => Ok(y),
            (x, Dim::Known(1)) => Ok(x),
            _ => Err(format!("shapes {} and {} do not broadcast", text(a), text(b))),
        })
        .collect()
}

fn conv(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let w = env.shape(node, 1)?;
    let fixed: Option<Vec<i64>> =
        w.iter().map(|d| if let Dim::Known(n) = d { Some(*n) } else { None }).collect();
    let w = fixed.filter(|w| w.len() >= 3 && w.iter().all(|&d| d > 0 && d < 1 << 24));
    let w = w.ok_or("the weights have no usable shape; expected [O, I/groups, kH, kW]")?;
    let groups = int_attr(node, "group").unwrap_or(1);
    let channels = x.get(1).copied();
    let expected = w[1].saturating_mul(groups);
    if groups < 1 || w[0] % groups != 0 || channels != Some(Dim::Known(expected)) {
        return Err(format!(
            "weights {w:?} with {groups} groups expect {expected} input channels, the input is {}",
            text(x)
        ));
    }
    if node.input.get(2).is_some_and(|b| !b.is_empty())
        && env.shape(node, 2)?.as_slice() != [Dim::Known(w[0])]
    {
        return Err(format!("the bias is {}; expected [{}]", text(env.shape(node, 2)?), w[0]));
    }
    let mut shape = vec![x[0], Dim::Known(w[0])];
    shape.extend(window::slide(node, x, &w[2..])?);
    Ok(shape)
}

fn gemm(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let b = env.shape(node, 1)?;
    if x.len() != 2 || b.len() != 2 {
        return Err(format!("operands {} and {} are not matrices", text(x), text(b)));
    }
    let flip = |name| int_attr(node, name).unwrap_or(0) != 0;
    let (m, k) = if flip("transA") { (x[1], x[0]) } else { (x[0], x[1]) };
    let (k2, n) = if flip("transB") { (b[1], b[0]) } else { (b[0], b[1]) };
    if k != k2 {
        return Err(format!("operands {} and {} do not fit", text(x), text(b)));
    }
    Ok(vec![m, n])
}

fn matmul(a: &Shape, b: &Shape) -> Result<Shape, String> {
    if a.len() < 2 || b.len() < 2 || a[a.len() - 1] != b[b.len() - 2] {
        return Err(format!("operands {} and {} do not fit", text(a), text(b)));
    }
    let (lead_a, lead_b) = (a[..a.len() - 2].to_vec(), b[..b.len() - 2].to_vec());
    let mut shape = broadcast(&lead_a, &lead_b)?;
    shape.extend([a[a.len() - 2], b[b.len() - 1]]);
    Ok(shape)
}

fn concat(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let axis = axis_of(int_attr(node, "axis").ok_or("axis is missing")?, x.len())?;
    let mut shape = x.clone();
    for i in 1..node.input.len() {
        let other = env.shape(node, i)?;
        let fits = other.len() == x.len() && (0..x.len()).all(|d| d == axis || other[d] == x[d]);
        let (Dim::Known(have), Some(Dim::Known(more)), true) =
            (shape[axis], other.get(axis).copied(), fits)
        else {
            return Err(format!("inputs {} and {} do not join", text(x), text(other)));
        };
        shape[axis] = Dim::Known(have.saturating_add(more));
    }
    Ok(shape)
}

/// Product of the fixed dimensions and the number of times the batch is a factor.
fn product(shape: &[Dim]) -> (i64, usize) {
    shape.iter().fold((1i64, 0), |(n, batches), d| match d {
        Dim::Known(k) => (n.saturating_mul(*k), batches),
        Dim::Batch => (n, batches + 1),
    })
}

fn joined(dims: &[Dim]) -> Result<Dim, String> {
    match product(dims) {
        (n, 0) => Ok(Dim::Known(n)),
        (1, 1) => Ok(Dim::Batch),
        _ => Err("the batch would be merged with other dimensions".to_string()),
    }
}

fn flatten(node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let axis = int_attr(node, "axis").unwrap_or(1);
    let axis = if axis == x.len() as i64 { x.len() } else { axis_of(axis, x.len())? };
    Ok(vec![joined(&x[..axis])?, joined(&x[axis..])?])
}

fn reshape(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let name = node.input.get(1).map_or("", String::as_str);
    let Some(target) = env.ints.get(name) else {
        return Err(format!(
            "the target shape {name:?} cannot be resolved; export the model with fixed height and width"
        ));
    };
    let copy_zero = int_attr(node, "allowzero").unwrap_or(0) == 0;
    let mut shape: Vec<Option<Dim>> = Vec::new();
    for (i, d) in target.data.iter().enumerate() {
        shape.push(match d {
            Dim::Known(-1) => None,
            Dim::Known(0) if copy_zero => {
                Some(*x.get(i).ok_or("a zero in the target shape copies no dimension")?)
            }
            Dim::Known(n) if *n < 0 => return Err(format!("target dimension {n} does not fit")),
            d => Some(*d),
        });
    }
    let given: Vec<Dim> = shape.iter().flatten().copied().collect();
    let (have, have_batches) = product(x);
    let (want, want_batches) = product(&given);
    let open = shape.iter().filter(|d| d.is_none()).count();
    let fail = || format!("{} does not reshape to {}", text(x), text(&target.data));
    let rest = match (open, have_batches.checked_sub(want_batches)) {
        (0, Some(0)) if have == want => None,
        (1, Some(0)) if want > 0 && have % want == 0 => Some(Dim::Known(have / want)),
        (1, Some(1)) if have == want => Some(Dim::Batch),
        _ => return Err(fail()),
    };
    shape.into_iter().map(|d| d.or(rest).ok_or_else(fail)).collect()
}

fn transpose(node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let reversed: Vec<i64> = (0..x.len() as i64).rev().collect();
    let order = ints_attr(node, "perm").unwrap_or(&reversed);
    let axes: Vec<usize> = order.iter().map(|&p| axis_of(p, x.len())).collect::<Result<_, _>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..x.len()) {
        return Err(format!("perm {order:?} is no order of the axes of {}", text(x)));
    }
    Ok(axes.into_iter().map(|p| x[p]).collect())
}

fn squeeze(env: &Env<'_>, node: &NodeProto, x: &Shape, op: &str) -> Result<Shape, String> {
    let axes = ints::axes(env, node)?;
    if op == "Squeeze" {
        let drop: Vec<usize> = match axes {
            Some(axes) => axes.iter().map(|&a| axis_of(a, x.len())).collect::<Result<_, _>>()?,
            None => (0..x.len()).filter(|&i| x[i] == Dim::Known(1)).collect(),
        };
        if let Some(&bad) = drop.iter().find(|&&i| x[i] != Dim::Known(1)) {
            return Err(format!("dimension {bad} of {} is not 1", text(x)));
        }
        return Ok((0..x.len()).filter(|i| !drop.contains(i)).map(|i| x[i]).collect());
    }
    let axes = axes.ok_or("axes are missing")?;
    let rank = x.len() + axes.len();
    let at: Vec<usize> = axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?;
    let mut rest = x.iter();
    (0..rank)
        .map(|i| if at.contains(&i) { Some(Dim::Known(1)) } else { rest.next().copied() })
        .collect::<Option<Shape>>()
        .ok_or_else(|| format!("axes {axes:?} do not fit {}", text(x)))
}

fn pad(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let pads = env.fixed_ints(node, 1)?.ok_or("pads are missing")?;
    let axes = env.fixed_ints(node, 3)?.unwrap_or_else(|| (0..x.len() as i64).collect());
    if pads.len() != 2 * axes.len() {
        return Err(format!("pads {pads:?} do not fit {}", text(x)));
    }
    let mut shape = x.clone();
    for (i, &axis) in axes.iter().enumerate() {
        let (axis, more) = (axis_of(axis, x.len())?, pads[i].saturating_add(pads[i + axes.len()]));
        shape[axis] = match shape[axis] {
            Dim::Known(n) if n.saturating_add(more) > 0 => Dim::Known(n.saturating_add(more)),
            Dim::Batch if more == 0 => Dim::Batch,
            _ => return Err(format!("pads {pads:?} do not fit {}", text(x))),
        };
    }
    Ok(shape)
}

fn slice(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let starts = env.fixed_ints(node, 1)?.ok_or("starts are missing")?;
    let ends = env.fixed_ints(node, 2)?.ok_or("ends are missing")?;
    let axes = env.fixed_ints(node, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = env.fixed_ints(node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("starts, ends, axes and steps differ in number".to_string());
    }
    let mut shape = x.clone();
    for i in 0..starts.len() {
        let axis = axis_of(axes[i], x.len())?;
        shape[axis] = match x[axis] {
            Dim::Known(n) if steps[i] != 0 && n < 1 << 24 => {
                match ints::range(starts[i], ends[i], steps[i], n).len() as i64 {
                    0 => return Err(format!("the slice of {} is empty", text(x))),
                    n => Dim::Known(n),
                }
            }
            // The whole batch, as exporters write it.
            Dim::Batch if starts[i] == 0 && steps[i] == 1 && ends[i] >= i64::from(i32::MAX) => {
                Dim::Batch
            }
            _ => return Err(format!("the slice of {} cannot be resolved", text(x))),
        };
    }
    Ok(shape)
}

fn split(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Vec<Shape>, String> {
    let axis = axis_of(int_attr(node, "axis").unwrap_or(0), x.len())?;
    let Dim::Known(size) = x[axis] else { return Err("the batch cannot be split".to_string()) };
    let n = node.output.len() as i64;
    let sizes = match ints_attr(node, "split") {
        Some(sizes) => sizes.to_vec(),
        None => env.fixed_ints(node, 1)?.unwrap_or_else(|| {
            let each = (size + n - 1) / n;
            (0..n).map(|i| each.min(size - i * each)).collect()
        }),
    };
    let sum = sizes.iter().fold(0i64, |sum, &s| sum.saturating_add(s));
    if sum != size || sizes.len() as i64 != n || sizes.iter().any(|&s| s < 1) {
        return Err(format!("split {sizes:?} does not fit {}", text(x)));
    }
    let part = |s: i64| {
        let mut shape = x.clone();
        shape[axis] = Dim::Known(s);
        shape
    };
    Ok(sizes.into_iter().map(part).collect())
}

fn reduce(env: &Env<'_>, node: &NodeProto, x: &Shape) -> Result<Shape, String> {
    let axes = match ints_attr(node, "axes") {
        Some(axes) => axes.to_vec(),
        None if env.opset >= 18 => env.fixed_ints(node, 1)?.unwrap_or_default(),
        None => Vec::new(),
    };
    let axes = if axes.is_empty() { (0..x.len() as i64).collect() } else { axes };
    let at: Vec<usize> = axes.iter().map(|&a| axis_of(a, x.len())).collect::<Result<_, _>>()?;
    let keep = int_attr(node, "keepdims").unwrap_or(1) != 0;
    let dims = x.iter().enumerate();
    Ok(if keep {
        dims.map(|(i, d)| if at.contains(&i) { Dim::Known(1) } else { *d }).collect()
    } else {
        dims.filter(|(i, _)| !at.contains(i)).map(|(_, d)| *d).collect()
    })
}
