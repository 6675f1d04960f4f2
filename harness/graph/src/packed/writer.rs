//! Artefact to packed bytes.

use prost::Message;
use quantbench_core::hash::sha256;
use quantbench_core::packing::pack;
use quantbench_core::{Granularity, Grid, Levels, QuantTensor};

use super::{AFFINE, BINARY, MAGIC, PER_TENSOR, TABLE, TERNARY, VERSION};
use crate::artefact::Artefact;
use crate::onnx::{ModelProto, TensorProto, data_type};

/// Packs an artefact; the same artefact gives the same bytes.
///
/// The artefact should have passed [`Artefact::check`]: codes that are not on their grid lose
/// their upper bits here.
pub fn encode(artefact: &Artefact) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    let skeleton = skeleton(artefact).encode_to_vec();
    out.extend_from_slice(&(skeleton.len() as u64).to_le_bytes());
    out.extend_from_slice(&skeleton);
    count(&mut out, artefact.weights.len());
    for (name, tensor) in &artefact.weights {
        text(&mut out, name);
        weight(&mut out, tensor);
    }
    count(&mut out, artefact.activations.len());
    for (name, values) in &artefact.activations {
        text(&mut out, name);
        grid(&mut out, values);
    }
    count(&mut out, artefact.notes.len());
    for note in &artefact.notes {
        text(&mut out, note);
    }
    let digest = sha256(&out);
    out.extend_from_slice(&digest);
    out
}

/// The model with the values of quantized weights taken out.
fn skeleton(artefact: &Artefact) -> ModelProto {
    let mut model = artefact.graph.model.clone();
    let initializers = model.graph.iter_mut().flat_map(|g| g.initializer.iter_mut());
    for tensor in initializers {
        let name = tensor.name.clone().unwrap_or_default();
        if artefact.weights.contains_key(&name) {
            *tensor = TensorProto {
                dims: tensor.dims.clone(),
                data_type: Some(data_type::FLOAT),
                name: Some(name),
                ..TensorProto::default()
            };
        }
    }
    model
}

fn weight(out: &mut Vec<u8>, tensor: &QuantTensor) {
    grid(out, &tensor.grid);
    out.push(tensor.dims.len() as u8);
    for &dim in &tensor.dims {
        out.extend_from_slice(&(dim as u32).to_le_bytes());
    }
    let (lowest, _) = tensor.grid.code_range();
    let binary = tensor.grid.levels == Levels::Binary;
    let offset = |&code: &i32| if binary { i32::from(code > 0) } else { code - lowest };
    let offsets: Vec<i32> = tensor.codes.iter().map(offset).collect();
    out.extend_from_slice(&pack(&offsets, tensor.grid.bits.get().min(8)));
}

fn grid(out: &mut Vec<u8>, grid: &Grid) {
    let tag = match grid.levels {
        Levels::Affine { .. } => AFFINE,
        Levels::Ternary => TERNARY,
        Levels::Binary => BINARY,
        Levels::Table(_) => TABLE,
    };
    let (lo, hi) = grid.code_range();
    out.push(tag);
    out.push(grid.bits.get());
    out.extend_from_slice(&(lo as i16).to_le_bytes());
    out.extend_from_slice(&(hi as i16).to_le_bytes());
    out.push(match grid.granularity {
        Granularity::Tensor => PER_TENSOR,
        Granularity::Channel { axis } => axis as u8,
    });
    count(out, grid.scale.len());
    floats(out, &grid.scale);
    let has_zero_points = grid.zero_point.iter().any(|&z| z != 0);
    out.push(u8::from(has_zero_points));
    if has_zero_points {
        for &zero in &grid.zero_point {
            out.extend_from_slice(&(zero as i16).to_le_bytes());
        }
    }
    if let Levels::Table(table) = &grid.levels {
        count(out, table.row_count());
        floats(out, table.all());
        out.push(u8::from(!table.own_thresholds().is_empty()));
        floats(out, table.own_thresholds());
    }
}

fn floats(out: &mut Vec<u8>, values: &[f32]) {
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn count(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u32).to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
