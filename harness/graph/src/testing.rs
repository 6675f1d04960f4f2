//! Small networks for the tests of every room. Not part of the public interface.

use crate::onnx::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
    dimension, type_proto,
};
use crate::values::from_f32;
use prost::Message;
use quantbench_core::Tensor;
use quantbench_core::rng::Rng;

/// Builds a small model node by node with seeded weights.
pub struct Builder {
    rng: Rng,
    graph: GraphProto,
}

impl Builder {
    /// An empty graph.
    pub fn new(seed: u64) -> Self {
        let rng = Rng::from_parts(&["testing", &seed.to_string()]);
        Self { rng, graph: GraphProto { name: Some("tiny".into()), ..GraphProto::default() } }
    }

    /// An approximately normal number (sum of uniforms), so that no libm is involved.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.rng.unit_f32()).sum::<f32>() - 6.0
    }

    /// A tensor of normal numbers times `scale` plus `shift`.
    pub fn random(&mut self, dims: &[usize], scale: f32, shift: f32) -> Tensor {
        let count = dims.iter().product();
        let data = (0..count).map(|_| self.normal() * scale + shift).collect();
        Tensor::new(dims.to_vec(), data)
    }

    /// Adds an FP32 initializer.
    pub fn weight(&mut self, name: &str, tensor: &Tensor) -> &mut Self {
        self.graph.initializer.push(from_f32(name, tensor));
        self
    }

    /// Adds any initializer.
    pub fn initializer(&mut self, tensor: TensorProto) -> &mut Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// Adds an INT64 list.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        let tensor = crate::values::from_ints(name, vec![values.len() as i64], values);
        self.initializer(tensor)
    }

    /// Adds a node.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> &mut Self {
        self.graph.node.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(format!("{op}_{output}")),
            input: inputs.iter().map(|s| (*s).to_string()).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..NodeProto::default()
        });
        self
    }

    /// Gives the last node a further output.
    pub fn output(&mut self, output: &str) -> &mut Self {
        if let Some(node) = self.graph.node.last_mut() {
            node.output.push(output.into());
        }
        self
    }

    /// A 3x3 conv without bias and a batch norm with plausible statistics; gives `<name>_bn`.
    pub fn conv_bn(
        &mut self,
        input: &str,
        name: &str,
        (inputs, outputs): (usize, usize),
        stride: i64,
        groups: usize,
    ) -> String {
        let fan = (inputs / groups * 9) as f32;
        let w = self.random(&[outputs, inputs / groups, 3, 3], (2.0 / fan).sqrt(), 0.0);
        self.weight(&format!("{name}.w"), &w);
        let attributes = vec![
            ints("kernel_shape", &[3, 3]),
            ints("pads", &[1, 1, 1, 1]),
            ints("strides", &[stride, stride]),
            int("group", groups as i64),
        ];
        let conv = format!("{name}_out");
        self.node("Conv", &[input, &format!("{name}.w")], &conv, attributes);
        for (part, scale, shift) in
            [("gamma", 0.2, 1.0), ("beta", 0.2, 0.1), ("mean", 0.2, 0.0), ("var", 0.0, 1.0)]
        {
            let mut tensor = self.random(&[outputs], scale, shift);
            if part == "var" {
                tensor.data.iter_mut().for_each(|v| *v = 0.5 + self.rng.unit_f32());
            }
            self.weight(&format!("{name}.{part}"), &tensor);
        }
        let norm = format!("{name}_bn");
        let names: Vec<String> =
            ["gamma", "beta", "mean", "var"].iter().map(|p| format!("{name}.{p}")).collect();
        let inputs: Vec<&str> =
            std::iter::once(conv.as_str()).chain(names.iter().map(String::as_str)).collect();
        self.node("BatchNormalization", &inputs, &norm, vec![float("epsilon", 1e-5)]);
        norm
    }

    /// The finished model with one image input and one output.
    pub fn finish(&mut self, image: &[i64], output: &str) -> Vec<u8> {
        self.model(image, output).encode_to_vec()
    }

    /// The finished model as a message.
    pub fn model(&mut self, image: &[i64], output: &str) -> ModelProto {
        let mut graph = std::mem::take(&mut self.graph);
        graph.input.push(info("input", Some(image)));
        graph.output.push(info(output, None));
        ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(17),
            }],
            ..ModelProto::default()
        }
    }
}

/// A value of `[N, image...]`; without dimensions the shape is left out.
pub fn info(name: &str, image: Option<&[i64]>) -> ValueInfoProto {
    let dim = |value| Dimension { value: Some(value), denotation: None };
    let shape = image.map(|image| TensorShapeProto {
        dim: std::iter::once(dim(dimension::Value::DimParam("N".into())))
            .chain(image.iter().map(|&d| dim(dimension::Value::DimValue(d))))
            .collect(),
    });
    let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}

/// An attribute of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        ints: values.to_vec(),
        r#type: Some(attribute_type::INTS),
        ..AttributeProto::default()
    }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

/// A real attribute.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        f: Some(value),
        r#type: Some(attribute_type::FLOAT),
        ..AttributeProto::default()
    }
}

/// A residual network for images of 3 x 8 x 8 and 4 classes: a stem, one residual block, a
/// strided conv, global pooling, Flatten, Gemm; batch norm not folded.
pub fn tiny_resnet(seed: u64) -> Vec<u8> {
    let mut b = Builder::new(seed);
    let stem = b.conv_bn("input", "stem", (3, 8), 1, 1);
    b.node("Relu", &[&stem], "stem_relu", vec![]);
    let one = b.conv_bn("stem_relu", "a", (8, 8), 1, 1);
    b.node("Relu", &[&one], "a_relu", vec![]);
    let two = b.conv_bn("a_relu", "b", (8, 8), 1, 1);
    b.node("Add", &[&two, "stem_relu"], "sum", vec![]);
    b.node("Relu", &["sum"], "sum_relu", vec![]);
    let three = b.conv_bn("sum_relu", "c", (8, 16), 2, 1);
    b.node("Relu", &[&three], "c_relu", vec![]);
    b.node("GlobalAveragePool", &["c_relu"], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "features", vec![int("axis", 1)]);
    let w = b.random(&[4, 16], 0.4, 0.0);
    let bias = b.random(&[4], 0.1, 0.0);
    b.weight("fc.w", &w).weight("fc.b", &bias);
    b.node("Gemm", &["features", "fc.w", "fc.b"], "logits", vec![int("transB", 1)]);
    b.finish(&[3, 8, 8], "logits")
}
