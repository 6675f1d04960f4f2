//! Which 8-bit kernels ONNX Runtime took: one product whose result tells.
//!
//! `vpmaddubsw`, the byte product of AVX2, adds two products of an unsigned and a signed byte into
//! 16 bits and saturates; VNNI, AMX and the kernels of other architectures add into 32. Rows of 255
//! times columns of 127 give another number in each.

use prost::Message;
use quantbench_core::Tensor;
use quantbench_graph::onnx::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
    dimension, type_proto,
};

use crate::error::EngineError;
use crate::runtime::Runtime;
use crate::session::{Optimisation, Options, Session};

/// Inputs of a sum, and sums.
const SIZE: usize = 64;

/// How byte products are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteProducts {
    /// Exactly, in 32 bits.
    Exact,
    /// In 16 bits that saturate, pair by pair.
    Saturating,
    /// In some other way: the sum that was found.
    Other(i64),
}

impl std::fmt::Display for ByteProducts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Saturating => f.write_str("saturating"),
            Self::Other(sum) => write!(f, "unknown (a sum of {sum})"),
        }
    }
}

/// Runs the product of unsigned activations with signed weights and says which kernels did it.
///
/// # Errors
/// The runtime refuses the model, which no version since 1.10 does.
pub fn byte_products(runtime: &Runtime) -> Result<ByteProducts, EngineError> {
    byte_products_under(runtime, Optimisation::Off)
}

/// The same where the runtime may change the product before it runs it.
pub(crate) fn byte_products_under(
    runtime: &Runtime,
    optimisation: Optimisation,
) -> Result<ByteProducts, EngineError> {
    let options = Options { threads: 1, optimisation };
    let mut session = Session::new(runtime, &model(), &options, "the probe of 8-bit kernels")?;
    let output = session.run(&Tensor::new(vec![SIZE, SIZE], vec![255.0; SIZE * SIZE]))?;
    let sum = output.first().and_then(|t| t.data.first()).copied().unwrap_or(f32::NAN);
    Ok(match f64::from(sum) as i64 {
        sum if sum == 255 * 127 * SIZE as i64 => ByteProducts::Exact,
        sum if sum == i64::from(i16::MAX) * SIZE as i64 / 2 => ByteProducts::Saturating,
        sum => ByteProducts::Other(sum),
    })
}

/// Cast to bytes, `MatMulInteger` with weights of 127, cast back.
fn model() -> Vec<u8> {
    let weights = TensorProto {
        dims: vec![SIZE as i64; 2],
        data_type: Some(data_type::INT8),
        name: Some("w".to_string()),
        raw_data: Some(vec![127; SIZE * SIZE]),
        ..TensorProto::default()
    };
    let graph = GraphProto {
        node: vec![
            node("Cast", &["x"], "bytes", Some(data_type::UINT8)),
            node("MatMulInteger", &["bytes", "w"], "sums", None),
            node("Cast", &["sums"], "y", Some(data_type::FLOAT)),
        ],
        name: Some("probe".to_string()),
        initializer: vec![weights],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(13) }],
        ..ModelProto::default()
    }
    .encode_to_vec()
}

fn node(op: &str, input: &[&str], output: &str, to: Option<i32>) -> NodeProto {
    let attribute = to.map(|to| AttributeProto {
        name: Some("to".to_string()),
        i: Some(i64::from(to)),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    });
    NodeProto {
        input: input.iter().map(ToString::to_string).collect(),
        output: vec![output.to_string()],
        name: Some(output.to_string()),
        op_type: Some(op.to_string()),
        attribute: attribute.into_iter().collect(),
        ..NodeProto::default()
    }
}

fn value(name: &str) -> ValueInfoProto {
    let size = |size: i64| Dimension {
        value: Some(dimension::Value::DimValue(size)),
        ..Dimension::default()
    };
    let tensor = TensorTypeProto {
        elem_type: Some(data_type::FLOAT),
        shape: Some(TensorShapeProto { dim: vec![size(SIZE as i64), size(SIZE as i64)] }),
    };
    ValueInfoProto {
        name: Some(name.to_string()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_here_adds_bytes_as_its_cpu_can() {
        let Some(runtime) = crate::testing::runtime() else { return };
        let found = byte_products(runtime).unwrap();
        assert!(matches!(found, ByteProducts::Exact | ByteProducts::Saturating), "{found}");
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512vnni") {
            assert_eq!(found, ByteProducts::Exact);
        }
    }
}
