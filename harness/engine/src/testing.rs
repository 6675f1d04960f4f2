//! Small models and image sources for the tests of this room.

use prost::Message;
use quantbench_core::rng::Rng;
use quantbench_core::{ImageSource, LabelledSource, SourceError, Tensor};
use quantbench_graph::onnx::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
    dimension, type_proto,
};

use crate::runtime::Runtime;

/// The runtime, or none with the reason printed where it is not set up. With
/// `QUANTBENCH_REQUIRE_RUNTIME` set, as `scripts/test` sets it, that is a failure.
pub(crate) fn runtime() -> Option<&'static Runtime> {
    match Runtime::load() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            let required = std::env::var_os("QUANTBENCH_REQUIRE_RUNTIME").is_some();
            assert!(!required, "the runtime is required: {error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// Images held as numbers.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Vec<f32>,
    pub(crate) labels: Vec<u16>,
    pub(crate) classes: usize,
}

impl Values {
    pub(crate) fn new(dims: &[usize], data: Vec<f32>) -> Self {
        Self { dims: dims.to_vec(), data, labels: Vec::new(), classes: 0 }
    }

    /// The same images with labels below `classes`.
    pub(crate) fn labelled(self, labels: Vec<u16>, classes: usize) -> Self {
        Self { labels, classes, ..self }
    }

    /// `n` images of numbers between -1 and 1.
    pub(crate) fn random(dims: &[usize], n: usize, seed: u64) -> Self {
        Self::new(dims, random(n * dims.iter().product::<usize>(), seed))
    }
}

impl ImageSource for Values {
    fn len(&self) -> usize {
        self.data.len() / self.dims.iter().product::<usize>()
    }
    fn dims(&self) -> &[usize] {
        &self.dims
    }
    fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
        let stride: usize = self.dims.iter().product();
        let end = (start + n).min(self.len());
        let dims = std::iter::once(end - start).chain(self.dims.iter().copied()).collect();
        Ok(Tensor::new(dims, self.data[start * stride..end * stride].to_vec()))
    }
}

impl LabelledSource for Values {
    fn labels(&self) -> &[u16] {
        &self.labels
    }
    fn classes(&self) -> usize {
        self.classes
    }
}

/// Numbers between -1 and 1.
pub(crate) fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Rng::from_parts(&["engine tests", &seed.to_string()]);
    (0..n).map(|_| random.below(2001) as f32 / 1000.0 - 1.0).collect()
}

/// A residual net on `[batch, 3, 8, 8]`: conv, relu, conv, add, relu, pool, FC to five classes.
pub(crate) fn tiny_net(seed: u64) -> Vec<u8> {
    let nodes = vec![
        node("Conv", "conv1", &["image", "w1", "b1"], "stem", vec![ints("pads", &[1; 4])]),
        node("Relu", "relu1", &["stem"], "stem_relu", vec![]),
        node("Conv", "conv2", &["stem_relu", "w2", "b2"], "body", vec![ints("pads", &[1; 4])]),
        node("Add", "add", &["body", "stem_relu"], "sum", vec![]),
        node("Relu", "relu2", &["sum"], "sum_relu", vec![]),
        node("GlobalAveragePool", "pool", &["sum_relu"], "pooled", vec![]),
        node("Flatten", "flatten", &["pooled"], "features", vec![]),
        node("Gemm", "fc", &["features", "w3", "b3"], "logits", vec![int("transB", 1)]),
    ];
    let weights = [
        ("w1", &[16, 3, 3, 3][..]),
        ("b1", &[16]),
        ("w2", &[16, 16, 3, 3]),
        ("b2", &[16]),
        ("w3", &[5, 16]),
        ("b3", &[5]),
    ];
    let weights = weights
        .iter()
        .zip(0..)
        .map(|((name, dims), i)| floats(name, dims, &random(dims.iter().product(), seed * 100 + i)))
        .collect();
    model(nodes, weights, &[3, 8, 8])
}

/// A net that passes its `k` input values on as logits.
pub(crate) fn flatten_net(k: i64) -> Vec<u8> {
    model(vec![node("Flatten", "flatten", &["image"], "logits", vec![])], vec![], &[k, 1, 1])
}

/// A net of one node on `[batch, 3, 8, 8]`.
pub(crate) fn one_node(op: &str, name: &str, attributes: Vec<AttributeProto>) -> Vec<u8> {
    model(vec![node(op, name, &["image"], "logits", attributes)], vec![], &[3, 8, 8])
}

/// A conv whose input and weights are quantized to 8 bits, and whose output is if asked.
pub(crate) fn qdq_net(quantized_output: bool) -> Vec<u8> {
    let mut nodes = vec![
        node("QuantizeLinear", "q1", &["image", "s", "z"], "q", vec![]),
        node("DequantizeLinear", "d1", &["q", "s", "z"], "x", vec![]),
        node("DequantizeLinear", "dw", &["w", "s", "zw"], "wf", vec![]),
        node("Conv", "conv", &["x", "wf"], "y", vec![]),
    ];
    let last = if quantized_output {
        nodes.push(node("QuantizeLinear", "q2", &["y", "s", "z"], "qy", vec![]));
        nodes.push(node("DequantizeLinear", "d2", &["qy", "s", "z"], "yf", vec![]));
        "yf"
    } else {
        "y"
    };
    nodes.push(node("Flatten", "flatten", &[last], "logits", vec![]));
    let bytes: Vec<u8> = (0..4 * 3 * 3 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let weights = vec![
        floats("s", &[], &[0.01]),
        raw("z", data_type::UINT8, &[], vec![128]),
        raw("zw", data_type::INT8, &[], vec![0]),
        raw("w", data_type::INT8, &[4, 3, 3, 3], bytes),
    ];
    model(nodes, weights, &[3, 8, 8])
}

/// The same model with a fixed batch size.
pub(crate) fn with_batch(onnx: &[u8], batch: i64) -> Vec<u8> {
    let mut model = ModelProto::decode(onnx).unwrap();
    let graph = model.graph.as_mut().unwrap();
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        let Some(type_proto::Value::TensorType(tensor)) =
            value.r#type.as_mut().and_then(|t| t.value.as_mut())
        else {
            continue;
        };
        if let Some(shape) = &mut tensor.shape {
            shape.dim[0].value = Some(dimension::Value::DimValue(batch));
        }
    }
    model.encode_to_vec()
}

/// The same model with another type of its input.
pub(crate) fn with_input_type(onnx: &[u8], elem_type: i32) -> Vec<u8> {
    let mut model = ModelProto::decode(onnx).unwrap();
    let input = &mut model.graph.as_mut().unwrap().input[0];
    if let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|t| t.value.as_mut())
    {
        tensor.elem_type = Some(elem_type);
    }
    model.encode_to_vec()
}

/// The same model with one more input, which nothing reads.
pub(crate) fn with_second_input(onnx: &[u8]) -> Vec<u8> {
    let mut model = ModelProto::decode(onnx).unwrap();
    model.graph.as_mut().unwrap().input.push(value("mask", &[1]));
    model.encode_to_vec()
}

fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>, image: &[i64]) -> Vec<u8> {
    let output = ValueInfoProto {
        name: Some("logits".to_string()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(TensorTypeProto {
                elem_type: Some(data_type::FLOAT),
                shape: None,
            })),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    };
    let graph = GraphProto {
        node,
        name: Some("net".to_string()),
        initializer,
        input: vec![value("image", image)],
        output: vec![output],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
    ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![opset],
        ..ModelProto::default()
    }
    .encode_to_vec()
}

/// An FP32 value with a free batch in front of `dims`.
fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let batch = dimension::Value::DimParam("batch".to_string());
    let dim = std::iter::once(batch)
        .chain(dims.iter().map(|d| dimension::Value::DimValue(*d)))
        .map(|v| Dimension { value: Some(v), denotation: None })
        .collect();
    ValueInfoProto {
        name: Some(name.to_string()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(TensorTypeProto {
                elem_type: Some(data_type::FLOAT),
                shape: Some(TensorShapeProto { dim }),
            })),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}

fn node(
    op: &str,
    name: &str,
    input: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input: input.iter().map(ToString::to_string).collect(),
        output: vec![output.to_string()],
        name: Some(name.to_string()),
        op_type: Some(op.to_string()),
        attribute,
        ..NodeProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        ints: values.to_vec(),
        r#type: Some(attribute_type::INTS),
        ..AttributeProto::default()
    }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    raw(name, data_type::FLOAT, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn raw(name: &str, data_type: i32, dims: &[usize], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|d| *d as i64).collect(),
        data_type: Some(data_type),
        name: Some(name.to_string()),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}
