//! Range estimators: per channel of weights, per summary of an activation, and the summary itself
//! per value.
#![allow(missing_docs)] // Criterion's macros make items that nobody reads.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantbench_core::Bits;
use quantbench_methods::parts::ranges::{
    Aciq, Distribution, Entropy, Lp, MinMax, Mse, Percentile, RangeEstimator, Summary, WeightStyle,
};

/// Values of a bell shape from a fixed sequence.
fn bell(n: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    (0..n).map(|_| (0..6).map(|_| uniform()).sum::<f32>() - 3.0).collect()
}

fn estimators() -> Vec<(&'static str, Box<dyn RangeEstimator>)> {
    let aciq = |distribution| Box::new(Aciq { distribution });
    vec![
        ("minmax", Box::new(MinMax)),
        ("mse", Box::new(Mse)),
        ("lp", Box::new(Lp::new(2.4))),
        ("percentile", Box::new(Percentile { percent: 99.999 })),
        ("entropy", Box::new(Entropy)),
        ("aciq", aciq(Distribution::Laplace)),
        ("aciq-auto", aciq(Distribution::Auto)),
    ]
}

/// One output channel of a 3x3 conv with 64 inputs; those that do not search weights share
/// min-max.
fn weights(c: &mut Criterion) {
    let channel = bell(64 * 9);
    let mut group = c.benchmark_group("weights");
    group.throughput(Throughput::Elements(channel.len() as u64));
    for (name, estimator) in estimators().into_iter().take(3) {
        for bits in [4, 8] {
            let bits = Bits::new(bits).unwrap_or(Bits::EIGHT);
            group.bench_function(BenchmarkId::new(name, bits), |b| {
                b.iter(|| estimator.weights(black_box(&channel), WeightStyle::Symmetric, bits));
            });
        }
    }
    group.finish();
}

/// A rectified activation of a million values.
fn activation(c: &mut Criterion) {
    let values: Vec<f32> = bell(1 << 20).iter().map(|v| v.max(0.0)).collect();
    let seen = Summary::of(&values);
    let mut group = c.benchmark_group("activation");
    for (name, estimator) in estimators() {
        for bits in [4, 8] {
            let bits = Bits::new(bits).unwrap_or(Bits::EIGHT);
            group.bench_function(BenchmarkId::new(name, bits), |b| {
                b.iter(|| estimator.activation(black_box(&seen), bits));
            });
        }
    }
    group.finish();
}

/// Extremes and histogram of signed and rectified values, per value.
fn summary(c: &mut Criterion) {
    let signed = bell(1 << 20);
    let rectified: Vec<f32> = signed.iter().map(|v| v.max(0.0)).collect();
    let mut group = c.benchmark_group("summary");
    group.throughput(Throughput::Elements(signed.len() as u64));
    for (name, values) in [("signed", &signed), ("rectified", &rectified)] {
        group.bench_function(name, |b| b.iter(|| Summary::of(black_box(values))));
    }
    group.finish();
}

criterion_group!(benches, weights, activation, summary);
criterion_main!(benches);
