//! The allocator: one budget, and the whole front.
//!
//!     cargo bench -p quantbench-methods --bench allocate

#![allow(missing_docs)] // The macro makes a public function.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use quantbench_methods::parts::allocate::{Choice, Front, allocate};

/// Layers whose sizes have much (a residual network) or little (odd sizes) in common.
fn problem(layers: u64, size: impl Fn(u64) -> u64) -> Vec<Vec<Choice>> {
    (0..layers)
        .map(|i| {
            let loss = |b: u64| (1.0 + (i * 7919 % 101) as f64) * 4f64.powi(-(b as i32));
            [2, 3, 4, 6, 8].map(|b| Choice { cost: b * size(i), loss: loss(b) }).to_vec()
        })
        .collect()
}

fn allocation(c: &mut Criterion) {
    let residual = |layers: u64| problem(layers, move |i| 2304 * 4u64.pow((3 * i / layers) as u32));
    let odd = |layers: u64| problem(layers, |i| 10_007 + i * i * 977 % 50_021);
    for (name, layers) in [
        ("resnet20", residual(18)),
        ("resnet110", residual(108)),
        ("20 odd layers", odd(20)),
        ("120 odd layers", odd(120)),
    ] {
        let budget = layers.iter().map(|l| l[2].cost).sum();
        c.bench_function(&format!("allocate {name}"), |b| {
            b.iter(|| allocate(black_box(&layers), budget));
        });
        c.bench_function(&format!("front {name}"), |b| b.iter(|| Front::new(black_box(&layers))));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = allocation
}
criterion_main!(benches);
