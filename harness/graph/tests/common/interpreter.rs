//! A plain interpreter of the few operators that the folding tests use: slow and obvious.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // A test may panic and be plain.

use std::collections::HashMap;

use quantbench_core::Tensor;
use quantbench_graph::Graph;
use quantbench_graph::onnx::NodeProto;

pub fn run(graph: &Graph, image: &Tensor) -> Tensor {
    let mut values: HashMap<String, Tensor> = HashMap::new();
    values.insert(graph.input().to_string(), image.clone());
    for node in graph.nodes() {
        let get = |i: usize| -> Tensor {
            let name = &node.input[i];
            values.get(name).cloned().unwrap_or_else(|| graph.weight(name).unwrap())
        };
        let op = node.op_type.as_deref().unwrap();
        let out = match op {
            "Conv" => conv(&get(0), &get(1), (node.input.len() > 2).then(|| get(2)), node),
            "BatchNormalization" => norm(&get(0), [get(1), get(2), get(3), get(4)]),
            "Relu" => map(&get(0), |v| v.max(0.0)),
            "Add" => {
                let (a, b) = (get(0), get(1));
                let n = b.len();
                let data = a.data.iter().enumerate().map(|(i, v)| v + b.data[i % n]).collect();
                Tensor::new(a.dims, data)
            }
            "GlobalAveragePool" => {
                let x = get(0);
                let area = x.dims[2] * x.dims[3];
                let data = x.data.chunks(area).map(|c| c.iter().sum::<f32>() / area as f32);
                Tensor::new(vec![x.dims[0], x.dims[1], 1, 1], data.collect())
            }
            "Flatten" | "Reshape" => {
                let x = get(0);
                Tensor::new(vec![x.dims[0], x.stride()], x.data)
            }
            "Gemm" | "MatMul" => {
                gemm(&get(0), &get(1), (node.input.len() > 2).then(|| get(2)), node)
            }
            // Shape arithmetic has no part in the values.
            "Shape" | "Gather" | "Concat" => continue,
            other => panic!("the interpreter lacks {other}"),
        };
        values.insert(node.output[0].clone(), out);
    }
    values[graph.output()].clone()
}

fn map(x: &Tensor, f: impl Fn(f32) -> f32) -> Tensor {
    Tensor::new(x.dims.clone(), x.data.iter().map(|&v| f(v)).collect())
}

fn attr(node: &NodeProto, name: &str, default: i64) -> i64 {
    let found = node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
    found.and_then(|a| a.i.or_else(|| a.ints.first().copied())).unwrap_or(default)
}

fn norm(x: &Tensor, [gamma, beta, mean, var]: [Tensor; 4]) -> Tensor {
    let (channels, area) = (x.dims[1], x.dims[2] * x.dims[3]);
    let data = x.data.iter().enumerate().map(|(i, v)| {
        let c = i / area % channels;
        (v - mean.data[c]) / (var.data[c] + 1e-5).sqrt() * gamma.data[c] + beta.data[c]
    });
    Tensor::new(x.dims.clone(), data.collect())
}

fn conv(x: &Tensor, w: &Tensor, bias: Option<Tensor>, node: &NodeProto) -> Tensor {
    let (stride, pad) = (attr(node, "strides", 1), attr(node, "pads", 0));
    let groups = attr(node, "group", 1) as usize;
    let [n, _, h, width] = x.dims[..] else { panic!("rank") };
    let [o, per_group, kh, kw] = w.dims[..] else { panic!("rank") };
    let out = |size: usize, k: usize| ((size as i64 + 2 * pad - k as i64) / stride + 1) as usize;
    let (oh, ow) = (out(h, kh), out(width, kw));
    let channels = x.dims[1];
    let mut data = Vec::with_capacity(n * o * oh * ow);
    for (b, oc, y, z) in
        (0..n * o * oh * ow).map(|i| (i / (o * oh * ow), i / (oh * ow) % o, i / ow % oh, i % ow))
    {
        let mut sum = bias.as_ref().map_or(0.0, |t| t.data[oc]);
        for (ic, ky, kx) in (0..per_group * kh * kw).map(|i| (i / (kh * kw), i / kw % kh, i % kw)) {
            let (iy, ix) =
                (y as i64 * stride + ky as i64 - pad, z as i64 * stride + kx as i64 - pad);
            if iy < 0 || ix < 0 || iy >= h as i64 || ix >= width as i64 {
                continue;
            }
            let c = oc / (o / groups) * per_group + ic;
            let at = ((b * channels + c) * h + iy as usize) * width + ix as usize;
            sum += x.data[at] * w.data[((oc * per_group + ic) * kh + ky) * kw + kx];
        }
        data.push(sum);
    }
    Tensor::new(vec![n, o, oh, ow], data)
}

fn gemm(x: &Tensor, w: &Tensor, bias: Option<Tensor>, node: &NodeProto) -> Tensor {
    let flip = attr(node, "transB", 0) != 0;
    let (n, k) = (x.dims[0], x.dims[1]);
    let o = if flip { w.dims[0] } else { w.dims[1] };
    let data = (0..n * o).map(|i| {
        let (row, c) = (i / o, i % o);
        let weight = |j: usize| if flip { w.data[c * k + j] } else { w.data[j * o + c] };
        let sum: f32 = (0..k).map(|j| x.data[row * k + j] * weight(j)).sum();
        sum + bias.as_ref().map_or(0.0, |t| t.data[c])
    });
    Tensor::new(vec![n, o], data.collect())
}
