//! Nodes that move numbers.

use std::sync::Arc;

use quantbench_graph::onnx::NodeProto;
use quantbench_graph::ops::{int_attr, ints_attr, node_name, text_attr};

use super::{Builder, Kind, Step, axis_of, input};
use crate::autodiff::ops::{Moves, size_of};

const MISFIT: &str = "it moves numbers that are not there";

/// A step that moves the numbers of one input.
fn moving(moves: Option<Moves>) -> Result<Kind, String> {
    let moves = moves.ok_or(MISFIT)?;
    if moves.is_nothing() {
        return Ok(Kind::Same);
    }
    Ok(Kind::Place { moves: vec![Arc::new(moves)], fill: 0.0 })
}

/// The part of a value that begins at a place along an axis.
fn part(from: &[usize], to: &[usize], axis: usize, start: usize) -> Option<Moves> {
    Moves::along(from, to, |there, here| {
        here.copy_from_slice(there);
        here[axis] += start;
        true
    })
}

impl Builder<'_> {
    pub(super) fn reshape(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0)?, self.output(node, 0)?);
        moving(Moves::reshape(size_of(&from), size_of(&to)))
    }

    pub(super) fn transpose(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0)?, self.output(node, 0)?);
        let reversed: Vec<i64> = (0..=from.len() as i64).rev().collect();
        let order = ints_attr(node, "perm").unwrap_or(&reversed);
        let order: Vec<usize> =
            order.iter().skip(1).map(|a| axis_of(*a, &from)).collect::<Result<_, _>>()?;
        moving(Moves::along(&from, &to, |there, here| {
            order.iter().zip(there).for_each(|(axis, at)| here[*axis] = *at);
            true
        }))
    }

    pub(super) fn slice(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0)?, self.output(node, 0)?);
        let starts = self.ints(node, 1).ok_or("its bounds are no constants")?;
        let axes = self.ints(node, 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints(node, 4).unwrap_or_else(|| vec![1; starts.len()]);
        let mut rules = vec![(0, 1); from.len()];
        for ((axis, start), step) in axes.iter().zip(&starts).zip(&steps) {
            if *axis == 0 || *axis == -(from.len() as i64) - 1 {
                // All of the batch: anything else has no shape.
                continue;
            }
            let axis = axis_of(*axis, &from)?;
            let n = from[axis] as i64;
            let start = if *start < 0 { start.saturating_add(n) } else { *start };
            rules[axis] = (start.clamp(0, if *step < 0 { n - 1 } else { n }), *step);
        }
        moving(Moves::along(&from, &to, |there, here| {
            for (axis, (start, step)) in rules.iter().enumerate() {
                let Ok(at) = usize::try_from(start + there[axis] as i64 * step) else {
                    return false;
                };
                here[axis] = at;
            }
            true
        }))
    }

    pub(super) fn split(&self, node: &NodeProto) -> Result<Vec<Step>, String> {
        let from = self.dims(node, 0)?;
        let axis = axis_of(int_attr(node, "axis").unwrap_or(0), &from)?;
        let mut start = 0;
        let mut steps = Vec::new();
        for (i, output) in node.output.iter().enumerate() {
            let to = self.output(node, i)?;
            steps.push(Step {
                node: node_name(node).to_string(),
                kind: moving(part(&from, &to, axis, start))?,
                inputs: vec![input(node, 0)?.to_string()],
                output: output.clone(),
            });
            start += to[axis];
        }
        Ok(steps)
    }

    pub(super) fn concat(&self, node: &NodeProto) -> Result<(Kind, Vec<String>), String> {
        let to = self.output(node, 0)?;
        let axis = axis_of(int_attr(node, "axis").unwrap_or(1), &to)?;
        let mut start = 0;
        let mut moves = Vec::new();
        for at in 0..node.input.len() {
            if self.graph.initializer(input(node, at)?).is_some() {
                return Err("it joins values with constants".to_string());
            }
            let from = self.dims(node, at)?;
            let (low, high) = (start, start + from[axis]);
            let own = Moves::along(&from, &to, |there, here| {
                here.copy_from_slice(there);
                here[axis] = there[axis].wrapping_sub(low);
                (low..high).contains(&there[axis])
            });
            moves.push(Arc::new(own.ok_or(MISFIT)?));
            start = high;
        }
        Ok((Kind::Place { moves, fill: 0.0 }, node.input.clone()))
    }

    pub(super) fn gather(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0)?, self.output(node, 0)?);
        let axis = axis_of(int_attr(node, "axis").unwrap_or(0), &from)?;
        let places = self.ints(node, 1).ok_or("its indices are no constants")?;
        let name = input(node, 1)?;
        let index_dims: Vec<usize> = self.graph.shape(name).map_or_else(Vec::new, |shape| {
            shape
                .iter()
                .map(|d| if let super::Dim::Known(n) = d { *n as usize } else { 0 })
                .collect()
        });
        let n = from[axis] as i64;
        moving(Moves::along(&from, &to, |there, here| {
            let (lead, rest) = there.split_at(axis);
            let (own, rest) = rest.split_at(index_dims.len());
            let at = own.iter().zip(&index_dims).fold(0, |at, (i, n)| at * n + i);
            let Some(place) = places.get(at).map(|p| if *p < 0 { p + n } else { *p }) else {
                return false;
            };
            here[..axis].copy_from_slice(lead);
            here[axis] = usize::try_from(place).unwrap_or(usize::MAX);
            here[axis + 1..].copy_from_slice(rest);
            true
        }))
    }

    pub(super) fn pad(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0)?, self.output(node, 0)?);
        let pads = self.ints(node, 1).ok_or("its pads are no constants")?;
        let axes = self.ints(node, 3).unwrap_or_else(|| (0..(pads.len() / 2) as i64).collect());
        let mut before = vec![0; from.len()];
        for (axis, pad) in axes.iter().zip(&pads) {
            // The batch is never padded: that has no shape.
            if let Ok(axis) = axis_of(*axis, &from) {
                before[axis] = *pad;
            }
        }
        let mode = text_attr(node, "mode").unwrap_or("constant");
        if !["constant", "edge", "reflect"].contains(&mode) {
            return Err(format!("its mode {mode:?} is not supported"));
        }
        let fill = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) => {
                let value = self.graph.weight(name).ok().and_then(|t| t.data.first().copied());
                value.ok_or("its value is no constant")?
            }
            None => 0.0,
        };
        let moves = Moves::along(&from, &to, |there, here| {
            for axis in 0..there.len() {
                let last = from[axis] as i64 - 1;
                let at = there[axis] as i64 - before[axis];
                let at = match mode {
                    "edge" => at.clamp(0, last),
                    "reflect" => last - (last - at.abs()).abs(),
                    _ => at,
                };
                let Ok(at) = usize::try_from(at) else { return false };
                here[axis] = at;
            }
            true
        });
        let moves = Arc::new(moves.ok_or(MISFIT)?);
        Ok(Kind::Place { moves: vec![moves], fill })
    }

    pub(super) fn mean(&self, node: &NodeProto) -> Result<Kind, String> {
        let (from, to) = (self.dims(node, 0)?, self.output(node, 0)?);
        let axes = self.list(node, "axes", 1).filter(|axes| !axes.is_empty());
        let axes = axes.ok_or("it is a mean over the batch")?;
        let gone: Vec<usize> = axes.iter().map(|a| axis_of(*a, &from)).collect::<Result<_, _>>()?;
        let kept: Vec<usize> = (0..from.len()).filter(|a| !gone.contains(a)).collect();
        let order: Vec<usize> = kept.iter().chain(&gone).copied().collect();
        let count = |axes: &[usize]| axes.iter().map(|a| from[*a]).product::<usize>();
        // One channel for each mean, and as many pixels as it has terms.
        let channels = count(&kept);
        let turned: Vec<usize> = order.iter().map(|a| from[*a]).collect();
        let pixels = match *turned.as_slice() {
            [_, h, w] if gone == [1, 2] => [channels, h, w],
            _ => [channels, 1, count(&gone)],
        };
        let before = Moves::new(size_of(&from), pixels, |mut position| {
            let mut here = vec![0; from.len()];
            for axis in order.iter().rev() {
                here[*axis] = position % from[*axis];
                position /= from[*axis];
            }
            Some(here.iter().zip(&from).fold(0, |at, (i, n)| at * n + i))
        });
        let after = Moves::reshape([channels, 1, 1], size_of(&to));
        let useful = |moves: Option<Moves>| {
            let moves = moves.ok_or(MISFIT)?;
            Ok::<_, String>((!moves.is_nothing()).then(|| Arc::new(moves)))
        };
        Ok(Kind::Mean { before: useful(before)?, after: useful(after)? })
    }
}
