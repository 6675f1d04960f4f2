//! Pairs of QuantizeLinear and DequantizeLinear on activations become grids of values.

use quantbench_core::{Bits, Granularity, Grid, Levels};

use super::codes::{container, ends, narrowest};
use super::{QdqError, Reader, is_dequantize, is_quantize};
use crate::onnx::NodeProto;
use crate::values::to_f32;
use crate::walk::op;

impl Reader<'_> {
    /// Takes out every pair and notes the grid of the value that its readers see.
    pub(super) fn activations(&mut self) -> Result<(), QdqError> {
        let quantizers: Vec<NodeProto> =
            self.proto.node.iter().filter(|n| is_quantize(n)).cloned().collect();
        for quantize in &quantizers {
            self.pair(quantize)?;
        }
        if let Some(left) = self.proto.node.iter().find(|n| is_dequantize(n)).cloned() {
            let reason = "it reads what neither a constant nor a QuantizeLinear gives";
            return self.fail(&left, reason);
        }
        Ok(())
    }

    fn pair(&mut self, quantize: &NodeProto) -> Result<(), QdqError> {
        // An earlier pair may have renamed what this one reads.
        let Some(at) = self.proto.node.iter().position(|n| n.output == quantize.output) else {
            return Ok(());
        };
        let quantize = self.proto.node[at].clone();
        let source = quantize.input.first().cloned().unwrap_or_default();
        let stored = quantize.output.first().cloned().unwrap_or_default();
        let grid = self.grid(&quantize, &source)?;
        let readers: Vec<NodeProto> =
            self.proto.node.iter().filter(|n| n.input.contains(&stored)).cloned().collect();
        if self.is_output(&stored) || readers.is_empty() {
            return self.fail(&quantize, "its codes leave the graph; expected a DequantizeLinear");
        }
        for reader in &readers {
            if !is_dequantize(reader) {
                let reason = format!("{} reads its codes; expected a DequantizeLinear", op(reader));
                return self.fail(&quantize, reason);
            }
            if reader.input.get(1..) != quantize.input.get(1..)
                && !self.same_step(&quantize, reader)?
            {
                return self.fail(reader, "scale or zero point differ from its QuantizeLinear's");
            }
        }
        let outputs: Vec<String> =
            readers.iter().filter_map(|n| n.output.first().cloned()).collect();
        let alone = self.reads(&source) == 1 && !outputs.iter().any(|o| self.is_output(o));
        self.proto.node.retain(|n| !readers.contains(n));
        if alone {
            self.proto.node.remove(self.position(&quantize));
            for output in &outputs {
                self.rename_reads(output, &source);
            }
            self.grids.insert(source, grid);
            return Ok(());
        }
        // Others read the value as it is: those behind the pair get a copy with the grid.
        let place = self.position(&quantize);
        let (kept, same): (Vec<String>, Vec<String>) = {
            let first = outputs[0].clone();
            outputs.into_iter().partition(|o| *o == first || self.is_output(o))
        };
        for output in &same {
            self.rename_reads(output, &kept[0]);
        }
        let copy = |output: &String| NodeProto {
            op_type: Some("Identity".to_string()),
            name: Some(output.clone()),
            input: vec![source.clone()],
            output: vec![output.clone()],
            ..NodeProto::default()
        };
        let copies: Vec<NodeProto> = kept.iter().map(copy).collect();
        self.proto.node.splice(place..=place, copies);
        self.grids.extend(kept.into_iter().map(|output| (output, grid.clone())));
        Ok(())
    }

    fn position(&self, node: &NodeProto) -> usize {
        self.proto.node.iter().position(|n| n == node).unwrap_or(0)
    }

    fn same_step(&self, one: &NodeProto, other: &NodeProto) -> Result<bool, QdqError> {
        let kind = crate::onnx::data_type::UINT8;
        let (one, other) = (self.step(one, kind)?, self.step(other, kind)?);
        Ok(one.scale == other.scale && one.zero_point == other.zero_point)
    }

    fn grid(&self, quantize: &NodeProto, source: &str) -> Result<Grid, QdqError> {
        let step = self.step(quantize, crate::onnx::data_type::UINT8)?;
        let Some(range) = container(step.kind) else {
            let kind = step.kind;
            return self.fail(quantize, format!("codes of type {kind}; expected at most 8 bits"));
        };
        let &[scale] = step.scale.as_slice() else {
            let scales = step.scale.len();
            return self.fail(
                quantize,
                format!("{scales} scales; expected one, rows describe activations per tensor"),
            );
        };
        let (qmin, qmax) = ends(range);
        let whole = (Levels::Affine { qmin, qmax }, Bits::new(range.0).unwrap_or(Bits::EIGHT));
        let zero = step.zero_point[0];
        let (levels, bits) =
            self.clipped(source, scale, zero, (qmin, qmax), range.1).unwrap_or(whole);
        let (scale, zero_point) = (step.scale, step.zero_point);
        Ok(Grid { levels, bits, granularity: Granularity::Tensor, scale, zero_point })
    }

    /// The levels that a Clip to constants right in front of a quantizer leaves.
    fn clipped(
        &self,
        source: &str,
        scale: f32,
        zero: i32,
        (qmin, qmax): (i32, i32),
        signed: bool,
    ) -> Option<(Levels, Bits)> {
        let clip = self.proto.node.iter().find(|n| n.output.iter().any(|o| o == source))?;
        let end = |at: usize| {
            let tensor = self.initializer(clip.input.get(at)?)?;
            let value = *to_f32(tensor, self.origin).ok()?.data.first()?;
            let code = (value / scale).round_ties_even().clamp(-1.0e9, 1.0e9) as i32 + zero;
            Some(code.clamp(qmin, qmax))
        };
        let ends = (op(clip) == "Clip").then(|| Some([end(1)?, end(2)?, zero]))??;
        Some(narrowest(ends.into_iter(), signed))
    }
}
