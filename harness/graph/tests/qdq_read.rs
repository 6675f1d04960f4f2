//! Reading Q/DQ files: our own exports give back what they came from; those of other tools are
//! understood or refused with a reason.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use common::{quantized, spec, tiny};
use prost::Message;
use quantbench_core::{Bits, FirstLast, SitesRule, Tensor};
use quantbench_graph::onnx::{ModelProto, TensorProto, data_type};
use quantbench_graph::testing::{Builder, int, ints};
use quantbench_graph::{
    ExportOptions, allocation, bit_operations, encode, export, read_qdq, sizes,
};

#[test]
fn our_own_exports_give_back_widths_sizes_and_bit_operations() {
    for label in ["w8a8", "w6a6", "w4a4", "w3a3", "w2a2", "w4a32", "w2ta8"] {
        for rule in [SitesRule::Academic, SitesRule::Deployable] {
            for portable in [false, true] {
                let artefact = quantized(&tiny(), &spec(label, rule, FirstLast::EightBit));
                let bytes = export(&artefact, ExportOptions { portable }).unwrap();
                let read = read_qdq(&bytes, "exported").unwrap();
                let case = format!("{label} {rule} portable {portable}");
                assert_eq!(allocation(&read), allocation(&artefact), "{case}");
                assert_eq!(bit_operations(&read), bit_operations(&artefact), "{case}");
                let (have, want) = (sizes(&read, 1, 2), sizes(&artefact, 1, 2));
                assert_eq!(have.weight_bits, want.weight_bits, "{case}");
                assert_eq!(have.theoretical_bits, want.theoretical_bits, "{case}");
                for (name, tensor) in &artefact.weights {
                    assert_eq!(read.weights[name].dequantize(), tensor.dequantize(), "{case}");
                }
                let (have, want) = (encode(&read).len(), encode(&artefact).len());
                // A Clip to fewer levels stays in the graph: some bytes for each site.
                assert!(have.abs_diff(want) < 1024, "{case}: {have} and {want} packed bytes");
            }
        }
    }
}

fn bytes(name: &str, dims: &[i64], kind: i32, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: Some(kind),
        name: Some(name.into()),
        raw_data: Some(raw),
        ..TensorProto::default()
    }
}

/// An image and a conv with integer weights: where the pieces differ, the caller says how.
struct Net {
    b: Builder,
    weight: String,
}

impl Net {
    fn new() -> Self {
        let mut b = Builder::new(1);
        let pads = vec![ints("kernel_shape", &[1, 1])];
        b.weight("s", &Tensor::new(vec![], vec![0.5]));
        b.initializer(bytes("z", &[], data_type::UINT8, vec![0]));
        b.node("QuantizeLinear", &["input", "s", "z"], "q", vec![]);
        b.node("DequantizeLinear", &["q", "s", "z"], "x", vec![]);
        b.node("Conv", &["x", "w"], "y", pads);
        b.node("GlobalAveragePool", &["y"], "logits", vec![]);
        Self { b, weight: "w".into() }
    }

    fn stored(mut self) -> Self {
        let codes = vec![100, 200, 0, 1, 2, 3];
        self.b.initializer(bytes("wq", &[2, 3, 1, 1], data_type::UINT8, codes));
        self.b.weight("ws", &Tensor::new(vec![2], vec![0.5, 0.25]));
        self.b.initializer(bytes("wz", &[2], data_type::UINT8, vec![7, 9]));
        let weight = self.weight.clone();
        self.b.node("DequantizeLinear", &["wq", "ws", "wz"], &weight, vec![int("axis", 0)]);
        self
    }

    fn finish(mut self) -> ModelProto {
        self.b.model(&[3, 4, 4], "logits")
    }
}

fn read(model: &ModelProto) -> Result<quantbench_graph::Artefact, String> {
    read_qdq(&model.encode_to_vec(), "a.onnx").map_err(|error| error.to_string())
}

#[test]
fn unsigned_weights_per_channel_are_read() {
    let read = read(&Net::new().stored().finish()).unwrap();
    let weight = &read.weights["w"];
    assert_eq!(weight.grid.bits, Bits::EIGHT);
    assert_eq!(weight.dequantize().data, [46.5, 96.5, -3.5, -2.0, -1.75, -1.5]);
    assert_eq!(read.activations["input"].bits, Bits::EIGHT);
    assert_eq!(read.graph.nodes().len(), 2, "quantizers are taken out");
}

#[test]
fn weights_that_the_file_rounds_itself_are_rounded_half_to_even() {
    let mut net = Net::new();
    net.b.weight("float", &Tensor::new(vec![1, 3, 1, 1], vec![0.25, 0.75, -80.0]));
    net.b.initializer(bytes("wz", &[], data_type::INT8, vec![0]));
    net.b.node("QuantizeLinear", &["float", "s", "wz"], "wq", vec![]);
    net.b.node("DequantizeLinear", &["wq", "s", "wz"], "w", vec![]);
    let read = read(&net.finish()).unwrap();
    assert_eq!(read.weights["w"].codes, [0, 2, -128]);
    assert_eq!(read.weights["w"].dequantize().data, [0.0, 1.0, -64.0]);
}

#[test]
fn the_variants_of_com_microsoft_are_the_same_nodes() {
    let mut model = Net::new().stored().finish();
    let plain = read(&model).unwrap();
    for node in &mut model.graph.as_mut().unwrap().node {
        if node.op_type.as_deref().unwrap().ends_with("Linear") {
            node.domain = Some("com.microsoft".into());
        }
    }
    let same = read(&model).unwrap();
    assert_eq!(allocation(&same), allocation(&plain));
    assert_eq!(same.weights, plain.weights);
}

#[test]
fn a_value_that_others_read_unquantized_keeps_its_width_there() {
    let mut net = Net::new().stored();
    let second = bytes("vq", &[2, 3, 1, 1], data_type::INT8, vec![1; 6]);
    net.b.initializer(second);
    net.b.node("DequantizeLinear", &["vq", "s"], "v", vec![]);
    net.b.node("Conv", &["input", "v"], "unquantized", vec![]);
    net.b.node("Add", &["y", "unquantized"], "sum", vec![]);
    let mut model = net.finish();
    model.graph.as_mut().unwrap().node[3].input[0] = "sum".into();
    let layers = allocation(&read(&model).unwrap());
    let mut widths: Vec<(u8, u8)> =
        layers.iter().map(|l| (l.weights.get(), l.activations.get())).collect();
    widths.sort_unstable();
    assert_eq!(widths, [(2, 32), (8, 8)], "codes of ones fit 2 bits");
}

#[test]
fn what_rows_cannot_describe_is_refused_with_the_node() {
    let refused = |change: &dyn Fn(&mut ModelProto), expected: &str| {
        let mut model = Net::new().stored().finish();
        change(&mut model);
        let message = read(&model).unwrap_err();
        assert!(message.starts_with("a.onnx: ") && message.contains(expected), "{message}");
    };
    let float = read(&common_float()).unwrap_err();
    assert!(float.contains("there is no QuantizeLinear or DequantizeLinear node"), "{float}");
    let graph = |m: &mut ModelProto| m.graph.take().unwrap();
    refused(
        &|m| m.graph.as_mut().unwrap().node[2].op_type = Some("QLinearConv".into()),
        "node \"Conv_y\" (QLinearConv) belongs to the operator-oriented format",
    );
    refused(
        &|m| {
            let mut g = graph(m);
            let zero = g.initializer.iter_mut().find(|t| t.name.as_deref() == Some("z")).unwrap();
            (zero.data_type, zero.raw_data) = (Some(4), Some(vec![0, 0]));
            m.graph = Some(g);
        },
        "zero point of type 4; expected 2, 4 or 8 bits",
    );
    refused(
        &|m| m.graph.as_mut().unwrap().node[4].attribute.push(int("block_size", 2)),
        "scales per block",
    );
    refused(
        &|m| m.graph.as_mut().unwrap().node[4].attribute[0] = int("axis", 1),
        "2 scales along axis 1 of dimensions [2, 3, 1, 1]",
    );
    refused(
        &|m| {
            for tensor in &mut m.graph.as_mut().unwrap().initializer {
                if tensor.name.as_deref() == Some("s") {
                    tensor.raw_data = Some(0.0_f32.to_le_bytes().to_vec());
                }
            }
        },
        "its scales are not positive finite numbers",
    );
    refused(
        &|m| m.graph.as_mut().unwrap().node[1].op_type = Some("Relu".into()),
        "reads its codes; expected a DequantizeLinear",
    );
    refused(
        &|m| m.graph.as_mut().unwrap().node[1].input[0] = "input".into(),
        "its codes leave the graph; expected a DequantizeLinear",
    );
    for bytes in [&b""[..], b"not a model", b"\x08\x08\x12"] {
        assert!(read_qdq(bytes, "a.onnx").is_err());
    }
}

fn common_float() -> ModelProto {
    let mut b = Builder::new(1);
    b.node("GlobalAveragePool", &["input"], "logits", vec![]);
    b.model(&[3, 4, 4], "logits")
}
