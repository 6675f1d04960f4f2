//! Constants behind DequantizeLinear: weights and biases become FP32 initializers again.

use std::collections::BTreeMap;

use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Tensor};

use super::codes::{container, ends, narrowest, read};
use super::{QdqError, Reader, is_dequantize, is_quantize};
use crate::onnx::{NodeProto, TensorProto, data_type};
use crate::ops::int_attr;
use crate::values::{checked_dims, from_f32, to_f32};

/// Scales and zero points of a quantizer with the type of its codes.
pub(super) struct Step {
    pub(super) scale: Vec<f32>,
    pub(super) zero_point: Vec<i32>,
    /// Type of the zero point; UINT8 where there is none, as ONNX has it.
    pub(super) kind: i32,
}

impl Reader<'_> {
    /// Replaces every DequantizeLinear of a constant by the values that it gives.
    pub(super) fn weights(&mut self) -> Result<(), QdqError> {
        // Several nodes may dequantize one constant in the same way: it is stored once.
        let mut known: BTreeMap<Vec<String>, String> = BTreeMap::new();
        for node in self.proto.node.clone() {
            let Some(codes) = node.input.first().filter(|_| is_dequantize(&node)) else { continue };
            let producer = self.proto.node.iter().find(|n| n.output.contains(codes));
            let rounded = producer
                .filter(|q| is_quantize(q))
                .and_then(|q| self.initializer(q.input.first()?).map(|t| (q.clone(), t.clone())));
            let tensor = match (self.initializer(codes), rounded) {
                (Some(stored), _) => self.stored(&node, stored)?,
                (None, Some((quantize, float))) => Some(self.rounded(&quantize, &node, &float)?),
                (None, None) => continue,
            };
            let output = node.output.first().cloned().unwrap_or_default();
            self.proto.node.retain(|n| *n != node);
            if let Some(first) = known.get(&node.input).filter(|_| !self.is_output(&output)) {
                let first = first.clone();
                self.rename_reads(&output, &first);
                continue;
            }
            known.insert(node.input.clone(), output.clone());
            let values = match &tensor {
                Some(tensor) => tensor.dequantize(),
                None => self.bias(&node)?,
            };
            self.proto.initializer.push(from_f32(&output, &values));
            self.weights.extend(tensor.map(|tensor| (output, tensor)));
        }
        // A QuantizeLinear of a constant is left without readers.
        let held: Vec<String> =
            self.proto.initializer.iter().filter_map(|t| t.name.clone()).collect();
        self.proto.node.retain(|n| {
            !(is_quantize(n) && n.input.first().is_some_and(|source| held.contains(source)))
        });
        Ok(())
    }

    /// Integer weights; none for the INT32 of a bias, which counts as 32 bits like any other.
    fn stored(
        &self,
        node: &NodeProto,
        stored: &TensorProto,
    ) -> Result<Option<QuantTensor>, QdqError> {
        let kind = stored.data_type.unwrap_or(0);
        if kind == data_type::INT32 {
            return Ok(None);
        }
        let dims = checked_dims(stored, self.origin)?;
        let Some((codes, (_, signed))) = read(stored).zip(container(kind)) else {
            return self
                .fail(node, format!("codes of type {kind}; expected 2-, 4- or 8-bit integers"));
        };
        let step = self.step(node, kind)?;
        let granularity = self.granularity(node, &dims, step.scale.len())?;
        let held = codes.iter().chain(&step.zero_point).copied();
        let (levels, bits) = narrowest(held, signed);
        let (scale, zero_point) = (step.scale, step.zero_point);
        let grid = Grid { levels, bits, granularity, scale, zero_point };
        Ok(Some(QuantTensor { dims, grid, codes }))
    }

    /// FP32 weights that the file itself rounds: QuantizeLinear, then DequantizeLinear.
    fn rounded(
        &self,
        quantize: &NodeProto,
        node: &NodeProto,
        float: &TensorProto,
    ) -> Result<QuantTensor, QdqError> {
        if quantize.input.get(1..) != node.input.get(1..) {
            return self.fail(node, "scale or zero point differ from those of its QuantizeLinear");
        }
        let values = to_f32(float, self.origin)?;
        let step = self.step(quantize, data_type::UINT8)?;
        let Some(range) = container(step.kind) else {
            let kind = step.kind;
            return self
                .fail(node, format!("codes of type {kind}; expected 2-, 4- or 8-bit integers"));
        };
        let granularity = self.granularity(quantize, &values.dims, step.scale.len())?;
        let (qmin, qmax) = ends(range);
        let grid = Grid {
            levels: Levels::Affine { qmin, qmax },
            bits: Bits::new(range.0).unwrap_or(Bits::EIGHT),
            granularity,
            scale: step.scale,
            zero_point: step.zero_point,
        };
        let Ok(mut tensor) = grid.quantize(&values) else {
            return self
                .fail(quantize, "its scales are not positive numbers, one for each channel");
        };
        let held = tensor.codes.iter().chain(&tensor.grid.zero_point).copied();
        (tensor.grid.levels, tensor.grid.bits) = narrowest(held, range.1);
        Ok(tensor)
    }

    /// Scales and zero points of a quantizer; `kind` is the type of its codes where it is known.
    pub(super) fn step(&self, node: &NodeProto, kind: i32) -> Result<Step, QdqError> {
        let constant = |at: usize| {
            let name = node.input.get(at).filter(|n| !n.is_empty())?;
            Some(self.initializer(name))
        };
        let Some(Some(scale)) = constant(1) else {
            return self.fail(node, "its scale is computed; expected a constant");
        };
        let scale = to_f32(scale, self.origin)?.data;
        if scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            return self.fail(node, "its scales are not positive finite numbers");
        }
        let (zero_point, kind) = match constant(2) {
            None => (vec![0; scale.len()], kind),
            Some(None) => {
                return self.fail(node, "its zero point is computed; expected a constant");
            }
            Some(Some(zero)) => {
                checked_dims(zero, self.origin)?;
                let found = zero.data_type.unwrap_or(0);
                let Some(codes) = read(zero) else {
                    let reason = format!("zero point of type {found}; expected 2, 4 or 8 bits");
                    return self.fail(node, reason);
                };
                (codes, found)
            }
        };
        if zero_point.len() != scale.len() {
            let (zeros, scales) = (zero_point.len(), scale.len());
            return self.fail(node, format!("{zeros} zero points for {scales} scales"));
        }
        Ok(Step { scale, zero_point, kind })
    }

    fn granularity(
        &self,
        node: &NodeProto,
        dims: &[usize],
        scales: usize,
    ) -> Result<Granularity, QdqError> {
        if int_attr(node, "block_size").is_some_and(|size| size != 0) {
            return self.fail(node, "scales per block; expected one per tensor or per channel");
        }
        let rank = dims.len() as i64;
        let axis = int_attr(node, "axis").unwrap_or(1);
        let axis = if axis < 0 { axis + rank } else { axis };
        let along = usize::try_from(axis).ok().filter(|&axis| axis < dims.len());
        match along {
            _ if scales == 1 => Ok(Granularity::Tensor),
            Some(axis) if dims[axis] == scales => Ok(Granularity::Channel { axis }),
            _ => self.fail(
                node,
                format!("{scales} scales along axis {axis} of dimensions {dims:?}; expected one, or one per index"),
            ),
        }
    }

    /// The values of an INT32 bias.
    fn bias(&self, node: &NodeProto) -> Result<Tensor, QdqError> {
        let name = node.input.first().map_or("", String::as_str);
        let Some(stored) = self.initializer(name) else {
            return self.fail(node, "its codes are missing");
        };
        let dims = checked_dims(stored, self.origin)?;
        let codes = read(stored).unwrap_or_default();
        let step = self.step(node, data_type::INT32)?;
        let granularity = match dims[..] {
            // A bias has one axis, whatever the attribute's default says.
            [n] if n == step.scale.len() && n > 1 => Granularity::Channel { axis: 0 },
            _ => self.granularity(node, &dims, step.scale.len())?,
        };
        let (scale, zero_point) = (step.scale, step.zero_point);
        let levels = Levels::Affine { qmin: i32::MIN, qmax: i32::MAX };
        let grid = Grid { levels, bits: Bits::FP32, granularity, scale, zero_point };
        let (_, channels, inner) = grid.layout(&dims);
        let value = |(at, code): (usize, &i32)| {
            let c = at / inner.max(1) % channels;
            (f64::from(grid.scale[c]) * (f64::from(*code) - f64::from(grid.zero_point[c]))) as f32
        };
        Ok(Tensor::new(dims.clone(), codes.iter().enumerate().map(value).collect()))
    }
}
