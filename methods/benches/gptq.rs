//! Second moments, their factor, and the rounding of GPTQ and OBQ, on shapes of ResNet-20.
#![allow(missing_docs)] // Criterion's macros make items that nobody reads.
#![allow(clippy::unwrap_used)] // A bench may stop.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use quantbench_core::{Bits, Grid};
use quantbench_graph::Graph;
use quantbench_graph::testing::Builder;
use quantbench_methods::data_dependent::fitted::Problem;
use quantbench_methods::data_dependent::{gptq, obq};
use quantbench_methods::parts::cholesky::inverse_factor;
use quantbench_methods::parts::hessian::Hessian;
use quantbench_methods::parts::patches::Patches;
use quantbench_methods::parts::ranges::{MinMax, RangeEstimator, WeightStyle};

/// Images of a batch.
const IMAGES: usize = 64;

/// Channels and height of the stages of ResNet-20.
const STAGES: [(usize, usize); 3] = [(16, 32), (32, 16), (64, 8)];

fn numbers(n: usize) -> Vec<f32> {
    (0..n as u64).map(|i| ((i * i * 31 + i * 17) % 997) as f32 / 997.0 - 0.4).collect()
}

fn conv(channels: usize, height: usize) -> Graph {
    let mut b = Builder::new(1);
    let out = b.conv_bn("input", "conv", (channels, channels), 1, 1);
    let bytes = b.finish(&[channels as i64, height as i64, height as i64], &out);
    Graph::from_bytes(&bytes, "conv").and_then(|g| g.fold()).unwrap()
}

fn moments(c: &mut Criterion) {
    let mut group = c.benchmark_group("second moments");
    group.sample_size(20);
    for (channels, height) in STAGES {
        let graph = conv(channels, height);
        let patches = Patches::new(&graph, &graph.layers()[0], 0).unwrap();
        let data = numbers(IMAGES * channels * height * height);
        let products = patches.rows * (patches.rows + 1) / 2 * height * height * IMAGES;
        group.throughput(Throughput::Elements(products as u64));
        group.bench_function(BenchmarkId::from_parameter(channels), |b| {
            let mut hessian = Hessian::new(patches.clone());
            b.iter(|| hessian.add(IMAGES, black_box(&data)));
        });
    }
    group.finish();
}

/// Second moments of `n` inputs that share a part.
fn correlated(n: usize) -> Array2<f64> {
    let x = Array2::from_shape_vec((n, 2 * n), numbers(2 * n * n)).unwrap();
    let x = x.mapv(f64::from);
    x.dot(&x.t()) / n as f64 + Array2::<f64>::eye(n)
}

fn rounding(c: &mut Criterion) {
    let mut group = c.benchmark_group("rounding");
    group.sample_size(10);
    for (channels, _) in STAGES {
        let n = channels * 9;
        let rows: Vec<Vec<f32>> = numbers(channels * n).chunks(n).map(<[f32]>::to_vec).collect();
        let bits = Bits::new(4).unwrap();
        let range = |row: &Vec<f32>| MinMax.weights(row, WeightStyle::Symmetric, bits).0;
        let scales = rows.iter().map(range).collect();
        let range = quantbench_core::grid::SignedRange::Full;
        let grid = Grid::symmetric(scales, 0, bits, range);
        let h = correlated(n);
        group.bench_function(BenchmarkId::new("factor", n), |b| {
            b.iter(|| inverse_factor(black_box(&h)));
        });
        let problem = Problem { rows: &rows, first: 0, grid: &grid, h, damping: 0.01 };
        group.throughput(Throughput::Elements((channels * n) as u64));
        group.bench_function(BenchmarkId::new("gptq", n), |b| {
            b.iter(|| gptq::round(black_box(&problem), false));
        });
        group.bench_function(BenchmarkId::new("obq", n), |b| {
            b.iter(|| obq::round(black_box(&problem)));
        });
    }
    group.finish();
}

criterion_group!(benches, moments, rounding);
criterion_main!(benches);
