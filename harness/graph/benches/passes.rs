//! Time of the graph passes that every cell goes through: load, fold, sites, export, pack, unpack.
//!
//! `cargo bench -p quantbench-graph` measures the embedded model and, where `QUANTBENCH_DATA`
//! names a folder with it, `resnet20-cifar10`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A bench may panic.
#![allow(missing_docs)] // `criterion_group!` makes public functions.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use common::{quantized, real_model, spec};
use criterion::{Criterion, criterion_group, criterion_main};
use quantbench_core::{FirstLast, SitesRule};
use quantbench_graph::{ExportOptions, Graph, decode, encode, export, sites};

const EMBEDDED: &[u8] = include_bytes!("../../../datasets/assets/resnet-shapes10.onnx");

/// Names and bytes of the models at hand.
fn models() -> Vec<(&'static str, Vec<u8>)> {
    let mut models = vec![("resnet-shapes10", EMBEDDED.to_vec())];
    models.extend(real_model("resnet20-cifar10.onnx").map(|bytes| ("resnet20-cifar10", bytes)));
    models
}

fn passes(c: &mut Criterion) {
    for (name, bytes) in models() {
        let graph = Graph::from_bytes(&bytes, name).unwrap();
        let folded = graph.fold().unwrap();
        let spec = spec("w4a4", SitesRule::Academic, FirstLast::EightBit);
        let artefact = quantized(&folded, &spec);
        let packed = encode(&artefact);
        let mut group = c.benchmark_group(name);
        group.sample_size(20);
        group.bench_function("load", |b| b.iter(|| Graph::from_bytes(black_box(&bytes), name)));
        group.bench_function("fold", |b| b.iter(|| black_box(&graph).fold()));
        group.bench_function("sites", |b| b.iter(|| sites(black_box(&folded), &spec)));
        group.bench_function("export", |b| {
            b.iter(|| export(black_box(&artefact), ExportOptions { portable: false }));
        });
        group.bench_function("pack", |b| b.iter(|| encode(black_box(&artefact))));
        group.bench_function("unpack", |b| b.iter(|| decode(black_box(&packed), name)));
        group.finish();
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
