//! Time of all simulated targets for a ResNet-18: `cargo bench -p quantbench-hardware`.

#![allow(clippy::unwrap_used)] // A bench may panic.
#![allow(missing_docs)] // `criterion_group!` makes public functions.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use quantbench_hardware::Profile;

/// One target of each model.
const SIX: [&str; 6] = ["bitfusion", "edge-tpu", "eyeriss", "mcu-m4", "stripes", "systolic-ws-64"];

fn cost(c: &mut Criterion) {
    let workload = common::topology("resnet18");
    let profiles: Vec<Profile> = SIX.iter().map(|name| common::profile(name)).collect();
    c.bench_function("resnet18 on six targets", |b| {
        b.iter(|| {
            for profile in &profiles {
                black_box(profile.cost(black_box(&workload)).unwrap());
            }
        });
    });
    for profile in &profiles {
        c.bench_function(&format!("resnet18 on {}", profile.name), |b| {
            b.iter(|| profile.cost(black_box(&workload)).unwrap());
        });
    }
}

criterion_group!(benches, cost);
criterion_main!(benches);
