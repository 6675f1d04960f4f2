//! Which layers the runtime executes with integer kernels.

use prost::Message;
use quantbench_graph::onnx::ModelProto;

use crate::error::{EngineError, one_line};
use crate::runtime::Runtime;
use crate::session::{Optimisation, Options, builder};

/// Conv, FC and MatMul ops of ONNX and ONNX Runtime that multiply integers.
const INTEGER: [&str; 9] = [
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulInteger16",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearConv",
    "QLinearMatMul",
    "QLinearConvTranspose",
];

/// The same layers left in float. With `MatMulNBits` only the weights are integers.
const FLOAT: [&str; 9] = [
    "Conv",
    "ConvTranspose",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "Gemm",
    "MatMul",
    "MatMulNBits",
    "TransposeMatMul",
];

/// Counts the conv, FC and MatMul layers that ONNX Runtime executes with integer kernels on this
/// machine, and those layers in all, after full optimisation: `(integer, all)`.
///
/// # Errors
/// The runtime refuses the model, or the folder for temporary files cannot be used: the runtime
/// writes the optimised model to a file, which is read and removed.
pub fn count_integer_layers(
    runtime: &Runtime,
    onnx: &[u8],
    threads: usize,
) -> Result<(u64, u64), EngineError> {
    layers(runtime, onnx, &Options { threads, optimisation: Optimisation::All })
}

/// `(integer, all)` layers as a session with these options has them.
fn layers(runtime: &Runtime, onnx: &[u8], options: &Options) -> Result<(u64, u64), EngineError> {
    let origin = "deployed model";
    let optimised = |reason: &dyn std::fmt::Display| EngineError::Optimised {
        origin: origin.to_string(),
        reason: one_line(&reason.to_string()),
        folder: std::env::temp_dir(),
    };
    let refused = |error: &ort::Error| EngineError::Refused {
        origin: origin.to_string(),
        version: runtime.version().to_string(),
        reason: one_line(error.message()),
    };
    let folder =
        tempfile::Builder::new().prefix("quantbench-").tempdir().map_err(|e| optimised(&e))?;
    let path = folder.path().join("optimised.onnx");
    builder(runtime, options)
        .and_then(|b| Ok(b.with_optimized_model_path(&path)?))
        .and_then(|mut b| b.commit_from_memory(onnx))
        .map_err(|error| refused(&error))?;
    let bytes = std::fs::read(&path).map_err(|e| optimised(&e))?;
    let model = ModelProto::decode(bytes.as_slice()).map_err(|e| optimised(&e))?;
    Ok(count(&model))
}

/// `(integer, all)` of an optimised model.
fn count(model: &ModelProto) -> (u64, u64) {
    let ops = || model.graph.iter().flat_map(|g| &g.node).filter_map(|n| n.op_type.as_deref());
    let integer = ops().filter(|op| INTEGER.contains(op)).count() as u64;
    let float = ops().filter(|op| FLOAT.contains(op)).count() as u64;
    (integer, integer + float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{qdq_net, runtime, tiny_net};

    #[test]
    fn a_float_model_has_no_integer_layers() {
        let Some(runtime) = runtime() else { return };
        assert_eq!(count_integer_layers(runtime, &tiny_net(1), 1).unwrap(), (0, 3));
    }

    #[test]
    fn a_layer_between_quantizers_becomes_an_integer_kernel() {
        let Some(runtime) = runtime() else { return };
        assert_eq!(count_integer_layers(runtime, &qdq_net(true), 1).unwrap(), (1, 1));
        // Without a quantizer behind it the conv gives floats and is left in float.
        assert_eq!(count_integer_layers(runtime, &qdq_net(false), 1).unwrap(), (0, 1));
    }

    #[test]
    fn only_full_optimisation_uses_integer_kernels() {
        let Some(runtime) = runtime() else { return };
        for optimisation in [Optimisation::Off, Optimisation::Float] {
            let options = Options { threads: 1, optimisation };
            assert_eq!(layers(runtime, &qdq_net(true), &options).unwrap(), (0, 1));
        }
    }

    #[test]
    fn a_refused_model_is_an_error() {
        let Some(runtime) = runtime() else { return };
        let error = count_integer_layers(runtime, b"not a model", 1).unwrap_err();
        assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    }
}
