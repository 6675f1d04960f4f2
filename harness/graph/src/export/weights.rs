//! Weights: integer initializer, scales, zero points, DequantizeLinear.

use quantbench_core::packing::pack;
use quantbench_core::{Granularity, Grid, Levels, QuantTensor};

use super::ExportOptions;
use super::editor::{Editor, floats, int, node, raw};
use crate::onnx::data_type;

/// Bits of the ONNX type that stores a weight grid: 8, 4 or 2.
pub(super) fn native_bits(grid: &Grid, options: ExportOptions) -> u8 {
    match (grid.bits.get(), grid.levels) {
        (bits @ (2 | 4), Levels::Affine { .. } | Levels::Ternary) if !options.portable => {
            let (lo, hi) = grid.code_range();
            let half = 1 << (bits - 1);
            let fits = if lo < 0 { -half <= lo && hi < half } else { hi < 2 * half };
            if fits { bits } else { 8 }
        }
        _ => 8,
    }
}

/// The ONNX type of that many bits.
fn container(bits: u8, signed: bool) -> i32 {
    match (bits, signed) {
        (2, true) => data_type::INT2,
        (2, false) => data_type::UINT2,
        (4, true) => data_type::INT4,
        (4, false) => data_type::UINT4,
        (_, true) => data_type::INT8,
        (_, false) => data_type::UINT8,
    }
}

/// Replaces an FP32 initializer by codes; DequantizeLinear's output takes over its name.
///
/// ONNX packs types below a byte with the first value in the lowest bits.
pub(super) fn quantize(
    editor: &mut Editor,
    name: &str,
    tensor: &QuantTensor,
    options: ExportOptions,
) {
    let grid = &tensor.grid;
    let bits = native_bits(grid, options);
    let kind = container(bits, grid.is_signed());
    let (axis, dims) = match grid.granularity {
        Granularity::Tensor => (None, vec![]),
        Granularity::Channel { axis } => (Some(axis), vec![grid.scale.len()]),
    };
    editor.remove_initializer(name);
    let codes = raw(&tensor.dims, kind, pack(&tensor.codes, bits));
    let codes = editor.add(&format!("{name}_quantized"), codes);
    let scale = editor.add(&format!("{name}_scale"), floats(&dims, &grid.scale));
    let zero = raw(&dims, kind, pack(&grid.zero_point, bits));
    let zero = editor.add(&format!("{name}_zero_point"), zero);
    let mut dequantize = node("DequantizeLinear", &[&codes, &scale, &zero], name);
    dequantize.name = Some(editor.fresh(&format!("{name}_dequantize")));
    dequantize.attribute.extend(axis.map(|axis| int("axis", axis as i64)));
    editor.in_front(dequantize);
}
