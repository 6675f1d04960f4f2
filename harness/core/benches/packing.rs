//! Packing and unpacking of codes, per code.
#![allow(missing_docs)] // Criterion's macros make items that nobody reads.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantbench_core::packing::{pack, unpack};

const CODES: usize = 1 << 16;

fn packing(c: &mut Criterion) {
    for bits in [2u8, 3, 4, 8] {
        let half = 1i32 << (bits - 1);
        let codes: Vec<i32> = (0..CODES as i32).map(|i| (i * 7919) % (2 * half) - half).collect();
        let packed = pack(&codes, bits);
        let mut group = c.benchmark_group("packing");
        group.throughput(Throughput::Elements(CODES as u64));
        group.bench_function(BenchmarkId::new("pack", bits), |b| {
            b.iter(|| pack(black_box(&codes), bits));
        });
        group.bench_function(BenchmarkId::new("unpack", bits), |b| {
            b.iter(|| unpack(black_box(&packed), CODES, bits, true));
        });
        group.finish();
    }
}

criterion_group!(benches, packing);
criterion_main!(benches);
