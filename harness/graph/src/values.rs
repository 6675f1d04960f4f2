//! Values of initializers: between ONNX tensors and ours.

use std::borrow::Cow;

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::onnx::{NodeProto, TensorProto, data_type};

/// Bits of one element of an ONNX data type; `None` for types that we do not read.
pub(crate) fn element_bits(kind: i32) -> Option<usize> {
    Some(match kind {
        data_type::FLOAT | data_type::INT32 | 12 => 32,
        data_type::UINT8 | data_type::INT8 | data_type::BOOL => 8,
        4 | 5 | data_type::FLOAT16 | 16 => 16,
        data_type::INT64 | data_type::DOUBLE | 13 => 64,
        data_type::UINT4 | data_type::INT4 => 4,
        data_type::UINT2 | data_type::INT2 => 2,
        _ => return None,
    })
}

/// Dimensions of an initializer, checked for sign, overflow and against the data that is there.
pub(crate) fn checked_dims(proto: &TensorProto, origin: &str) -> Result<Vec<usize>, GraphError> {
    let fail = |reason: String| {
        let name = proto.name.clone().unwrap_or_default();
        Err(GraphError::Initializer { origin: origin.to_string(), name, reason })
    };
    let mut count = 1usize;
    for &d in &proto.dims {
        let Some(next) = usize::try_from(d).ok().and_then(|d| count.checked_mul(d)) else {
            return fail(format!("dimensions {:?} are negative or overflow", proto.dims));
        };
        count = next;
    }
    let Some(bits) = proto.data_type.and_then(element_bits) else {
        let kind = proto.data_type.unwrap_or(0);
        return fail(format!("data type {kind} is not supported; expected float or integer data"));
    };
    let (have, want, unit) = if let Some(raw) = &proto.raw_data {
        let Some(all) = count.checked_mul(bits) else {
            return fail(format!("dimensions {:?} overflow", proto.dims));
        };
        (raw.len(), all.div_ceil(8), "bytes")
    } else {
        let have = match proto.data_type {
            Some(data_type::FLOAT) => proto.float_data.len(),
            Some(data_type::INT64) => proto.int64_data.len(),
            Some(data_type::DOUBLE) => proto.double_data.len(),
            Some(12 | 13) => proto.uint64_data.len(),
            _ => proto.int32_data.len(),
        };
        let per_item = if bits < 8 { 8 / bits } else { 1 };
        (have, count.div_ceil(per_item), "values")
    };
    if have != want {
        return fail(format!(
            "dimensions {:?} need {want} {unit}, the file holds {have}; re-export the model",
            proto.dims
        ));
    }
    Ok(proto.dims.iter().map(|&d| d as usize).collect())
}

/// Reads an FP32 tensor; FP16 and FP64 are converted.
pub fn to_f32(proto: &TensorProto, origin: &str) -> Result<Tensor, GraphError> {
    let dims = checked_dims(proto, origin)?;
    let raw = proto.raw_data.as_deref();
    let data: Vec<f32> = match (proto.data_type, raw) {
        (Some(data_type::FLOAT), Some(raw)) => {
            raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        (Some(data_type::FLOAT), None) => proto.float_data.clone(),
        (Some(data_type::DOUBLE), Some(raw)) => raw
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
            .collect(),
        (Some(data_type::DOUBLE), None) => proto.double_data.iter().map(|&v| v as f32).collect(),
        (Some(data_type::FLOAT16), Some(raw)) => {
            raw.chunks_exact(2).map(|b| half_to_f32(u16::from_le_bytes([b[0], b[1]]))).collect()
        }
        (Some(data_type::FLOAT16), None) => {
            proto.int32_data.iter().map(|&v| half_to_f32(v as u16)).collect()
        }
        (kind, _) => {
            return Err(GraphError::Initializer {
                origin: origin.to_string(),
                name: proto.name.clone().unwrap_or_default(),
                reason: format!("expected floating-point data, found type {}", kind.unwrap_or(0)),
            });
        }
    };
    Ok(Tensor::new(dims, data))
}

/// An IEEE half as FP32.
fn half_to_f32(h: u16) -> f32 {
    let sign = if h & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(h >> 10 & 0x1f), f32::from(h & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    }
}

/// Reads an integer tensor (INT64, INT32 or BOOL): shapes, axes, pads, switches. `None` for other
/// types.
pub fn to_ints(proto: &TensorProto) -> Option<Vec<i64>> {
    let raw = proto.raw_data.as_deref();
    match (proto.data_type?, raw) {
        (data_type::INT64, Some(raw)) => Some(
            raw.chunks_exact(8)
                .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
                .collect(),
        ),
        (data_type::INT64, None) => Some(proto.int64_data.clone()),
        (data_type::INT32, Some(raw)) => Some(
            raw.chunks_exact(4)
                .map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])))
                .collect(),
        ),
        (data_type::BOOL, Some(raw)) => Some(raw.iter().map(|&b| b.into()).collect()),
        (data_type::INT32 | data_type::BOOL, None) => {
            Some(proto.int32_data.iter().map(|&v| v.into()).collect())
        }
        _ => None,
    }
}

/// The value of a Constant node, however it is written; `None` for text, sparse tensors and other
/// operators.
pub(crate) fn constant(node: &NodeProto) -> Option<Cow<'_, TensorProto>> {
    if node.op_type.as_deref() != Some("Constant") {
        return None;
    }
    let ints = |dims, values: &[i64]| Some(Cow::Owned(from_ints("", dims, values)));
    let floats =
        |dims, values: &[f32]| Some(Cow::Owned(from_f32("", &Tensor::new(dims, values.to_vec()))));
    node.attribute.iter().find_map(|a| match a.name.as_deref()? {
        "value" => a.t.as_ref().map(Cow::Borrowed),
        "value_float" => floats(vec![], &[a.f?]),
        "value_floats" => floats(vec![a.floats.len()], &a.floats),
        "value_int" => ints(vec![], &[a.i?]),
        "value_ints" => ints(vec![a.ints.len() as i64], &a.ints),
        _ => None,
    })
}

/// An FP32 tensor as an initializer.
pub fn from_f32(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.dims.iter().map(|&d| d as i64).collect(),
        data_type: Some(data_type::FLOAT),
        name: Some(name.to_string()),
        raw_data: Some(tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect()),
        ..TensorProto::default()
    }
}

/// Integers as an INT64 initializer.
pub(crate) fn from_ints(name: &str, dims: Vec<i64>, values: &[i64]) -> TensorProto {
    from_ints_of(name, data_type::INT64, dims, values)
}

/// Integers as an initializer of one of the types that [`to_ints`] reads.
pub(crate) fn from_ints_of(name: &str, kind: i32, dims: Vec<i64>, values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|v| {
        let width = element_bits(kind).unwrap_or(64) / 8;
        v.to_le_bytes().into_iter().take(width)
    });
    TensorProto {
        dims,
        data_type: Some(kind),
        name: Some(name.to_string()),
        raw_data: Some(raw.collect()),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_convert() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2f32.powi(-24)), (0x7bff, 65504.0)]
        {
            assert_eq!(half_to_f32(bits), value);
        }
        assert!(half_to_f32(0x7e00).is_nan());
    }

    #[test]
    fn a_length_that_does_not_match_the_dims_is_named() {
        let mut proto = from_f32("w", &Tensor::new(vec![2], vec![1.0, 2.0]));
        proto.dims = vec![3];
        let message = to_f32(&proto, "m.onnx").unwrap_err().to_string();
        assert!(message.contains("\"w\"") && message.contains("need 12 bytes"), "{message}");
        proto.dims = vec![i64::MAX, i64::MAX];
        assert!(to_f32(&proto, "m.onnx").unwrap_err().to_string().contains("overflow"));
    }
}
