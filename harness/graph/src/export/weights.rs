//! Weights: integer initializer, scales, zero points, DequantizeLinear.

use quantbench_core::packing::pack;
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table};

use super::ExportOptions;
use super::editor::{Editor, floats, int, node, raw};
use crate::onnx::data_type;

/// Bits of the ONNX type that stores a weight grid: 8, 4 or 2.
pub(super) fn native_bits(grid: &Grid, options: ExportOptions) -> u8 {
    match (grid.bits.get(), &grid.levels) {
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

/// Replaces an FP32 initializer by codes; DequantizeLinear's output takes over its name. Levels of
/// a table that are whole numbers are codes of 8 bits, others are looked up.
///
/// ONNX packs types below a byte with the first value in the lowest bits.
pub(super) fn quantize(
    editor: &mut Editor,
    name: &str,
    tensor: &QuantTensor,
    options: ExportOptions,
) {
    let grid = &tensor.grid;
    if let Levels::Table(table) = &grid.levels {
        if table.is_whole() {
            return quantize(editor, name, &whole(tensor, table), options);
        }
        return look_up(editor, name, tensor, table);
    }
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

/// The same values, with the whole numbers of a table as codes of 8 bits.
fn whole(tensor: &QuantTensor, table: &Table) -> QuantTensor {
    let (_, channels, inner) = tensor.grid.layout(&tensor.dims);
    let rows = tensor.codes.chunks(inner.max(1)).enumerate();
    let level = |c: usize, code: i32| table.row(c)[code as usize] as i32;
    let codes =
        rows.flat_map(|(i, row)| row.iter().map(move |q| level(i % channels, *q))).collect();
    let levels = Levels::Affine { qmin: -128, qmax: 127 };
    let grid = Grid { levels, bits: Bits::EIGHT, ..tensor.grid.clone() };
    QuantTensor { dims: tensor.dims.clone(), grid, codes }
}

/// Codes as bytes, which Gather looks up among the levels of all channels, times the scales.
fn look_up(editor: &mut Editor, name: &str, tensor: &QuantTensor, table: &Table) {
    let grid = &tensor.grid;
    let (axis, channels) = match grid.granularity {
        Granularity::Tensor => (0, 1),
        Granularity::Channel { axis } => (axis, grid.scale.len()),
    };
    // One number per channel, against the weights' dimensions.
    let mut broadcast = vec![1; tensor.dims.len()];
    if let Some(dim) = broadcast.get_mut(axis) {
        *dim = channels;
    }
    editor.remove_initializer(name);
    let bytes = tensor.codes.iter().map(|&q| q as u8).collect();
    let codes = raw(&tensor.dims, data_type::UINT8, bytes);
    let codes = editor.add(&format!("{name}_codes"), codes);
    let levels = editor.add(&format!("{name}_levels"), floats(&[table.all().len()], table.all()));
    let scale = editor.add(&format!("{name}_scale"), floats(&broadcast, &grid.scale));
    let mut index = editor.fresh(&format!("{name}_index"));
    let mut cast = node("Cast", &[&codes], &index);
    cast.attribute.push(int("to", i64::from(data_type::INT32)));
    editor.in_front(cast);
    if table.row_count() > 1 {
        let firsts = (0..channels).map(|c| (c * table.count()) as i32);
        let firsts = firsts.flat_map(i32::to_le_bytes).collect();
        let firsts = raw(&broadcast, data_type::INT32, firsts);
        let firsts = editor.add(&format!("{name}_rows"), firsts);
        let moved = editor.fresh(&format!("{name}_index"));
        editor.in_front(node("Add", &[&index, &firsts], &moved));
        index = moved;
    }
    let found = editor.fresh(&format!("{name}_level"));
    editor.in_front(node("Gather", &[&levels, &index], &found));
    editor.in_front(node("Mul", &[&found, &scale], name));
}
