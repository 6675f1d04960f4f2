//! Activations: Clip where needed, QuantizeLinear, DequantizeLinear behind the producer.

use quantbench_core::{Grid, Levels, Table};

use super::editor::{Editor, floats, node, raw};
use crate::onnx::{NodeProto, data_type};

/// Puts a value on its grid for everything that reads it.
///
/// The quantized value has the old name where the value is an output of the graph; otherwise the
/// old name stays with the float value and readers read `<value>_dequantized`.
pub(super) fn quantize(editor: &mut Editor, value: &str, grid: &Grid) {
    let producer = editor.graph().producer(value);
    let is_output = editor.graph().proto().output.iter().any(|o| o.name.as_deref() == Some(value));
    let (float, quantized) = match producer {
        Some(index) if is_output => {
            let float = editor.fresh(&format!("{value}_float"));
            editor.rename_output(index, value, &float);
            (float, value.to_string())
        }
        _ => {
            let quantized = editor.fresh(&format!("{value}_dequantized"));
            editor.rename_reads(value, &quantized);
            (value.to_string(), quantized)
        }
    };
    let nodes = match &grid.levels {
        Levels::Binary => sign(editor, value, grid, &float, &quantized),
        Levels::Affine { .. } | Levels::Ternary => affine(editor, value, grid, &float, &quantized),
        Levels::Table(table) => climb(editor, value, table, grid.scale[0], [&float, &quantized]),
    };
    editor.behind(producer, nodes);
}

/// Rounding to equal steps in an 8-bit container; Clip first if the container has more levels.
fn affine(
    editor: &mut Editor,
    value: &str,
    grid: &Grid,
    float: &str,
    quantized: &str,
) -> Vec<NodeProto> {
    let codes = grid.code_range();
    let (kind, full) = if grid.is_signed() {
        (data_type::INT8, (-128, 127))
    } else {
        (data_type::UINT8, (0, 255))
    };
    let mut nodes = Vec::new();
    let mut source = float.to_string();
    if codes != full {
        let (lo, hi) = grid.ends(0);
        let lo = editor.add(&format!("{value}_lowest"), floats(&[], &[lo]));
        let hi = editor.add(&format!("{value}_highest"), floats(&[], &[hi]));
        let clipped = editor.fresh(&format!("{value}_clipped"));
        nodes.push(node("Clip", &[&source, &lo, &hi], &clipped));
        source = clipped;
    }
    let scale = editor.add(&format!("{value}_scale"), floats(&[], &grid.scale));
    let zero = raw(&[], kind, vec![grid.zero_point[0] as u8]);
    let zero = editor.add(&format!("{value}_zero_point"), zero);
    let stored = editor.fresh(&format!("{value}_quantized"));
    nodes.push(node("QuantizeLinear", &[&source, &scale, &zero], &stored));
    let mut dequantize = node("DequantizeLinear", &[&stored, &scale, &zero], quantized);
    dequantize.name = Some(editor.fresh(&format!("{value}_dequantize")));
    nodes.push(dequantize);
    nodes
}

/// Sign with Sign(0) = +1, times the scale: ONNX's own Sign(0) is 0.
fn sign(
    editor: &mut Editor,
    value: &str,
    grid: &Grid,
    float: &str,
    quantized: &str,
) -> Vec<NodeProto> {
    let (lo, hi) = grid.ends(0);
    let zero = editor.add(&format!("{value}_threshold"), floats(&[], &[0.0]));
    let lo = editor.add(&format!("{value}_lowest"), floats(&[], &[lo]));
    let hi = editor.add(&format!("{value}_highest"), floats(&[], &[hi]));
    let above = editor.fresh(&format!("{value}_above"));
    let mut choose = node("Where", &[&above, &hi, &lo], quantized);
    choose.name = Some(editor.fresh(&format!("{value}_sign")));
    vec![node("GreaterOrEqual", &[float, &zero], &above), choose]
}

/// The lowest level, raised to the next at each threshold that is reached.
fn climb(
    editor: &mut Editor,
    value: &str,
    table: &Table,
    scale: f32,
    [float, quantized]: [&str; 2],
) -> Vec<NodeProto> {
    let mut nodes = Vec::new();
    let levels = table.row(0);
    let mut at = editor.add(&format!("{value}_lowest"), floats(&[], &[scale * levels[0]]));
    let steps = table.thresholds(0).into_iter().zip(&levels[1..]);
    let last = levels.len() - 2;
    for (i, (threshold, level)) in steps.enumerate() {
        let threshold = floats(&[], &[scale * threshold]);
        let threshold = editor.add(&format!("{value}_threshold"), threshold);
        let level = editor.add(&format!("{value}_level"), floats(&[], &[scale * level]));
        let above = editor.fresh(&format!("{value}_above"));
        nodes.push(node("GreaterOrEqual", &[float, &threshold], &above));
        let next = editor.fresh(&format!("{value}_raised"));
        let next = if i == last { quantized.to_string() } else { next };
        nodes.push(node("Where", &[&above, &level, &at], &next));
        at = next;
    }
    nodes
}
