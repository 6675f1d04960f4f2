//! SQuant's rounding with flips, per weight, on shapes of ResNet-20.
#![allow(missing_docs)] // Criterion's macros make items that nobody reads.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantbench_core::{Bits, Tensor};
use quantbench_graph::{Layer, LayerKind};
use quantbench_methods::data_free::squant::round;

fn layer(dims: &[usize]) -> Layer {
    Layer {
        name: "layer".into(),
        node: 0,
        kind: if dims.len() == 4 { LayerKind::Conv } else { LayerKind::Fc },
        weight: "w".into(),
        dims: dims.to_vec(),
        axis: 0,
        bias: None,
        input: "x".into(),
        output: "y".into(),
        groups: 1,
        macs: 0,
        is_first: false,
        is_last: false,
    }
}

fn rounding(c: &mut Criterion) {
    let mut group = c.benchmark_group("squant");
    for dims in [vec![16, 16, 3, 3], vec![64, 64, 3, 3], vec![10, 64]] {
        let n: usize = dims.iter().product();
        let data = (0..n as u64).map(|i| ((i * i * 31 + i * 17) % 997) as f32 / 997.0 - 0.4);
        let (tensor, layer) = (Tensor::new(dims.clone(), data.collect()), layer(&dims));
        group.throughput(Throughput::Elements(n as u64));
        for bits in [4, 8] {
            let bits = Bits::new(bits).unwrap_or(Bits::EIGHT);
            let id = BenchmarkId::new(format!("{dims:?}"), bits);
            group.bench_function(id, |b| b.iter(|| round(black_box(&tensor), &layer, bits)));
        }
    }
    group.finish();
}

criterion_group!(benches, rounding);
criterion_main!(benches);
