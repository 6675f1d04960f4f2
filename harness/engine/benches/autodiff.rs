//! Kernels of the autodiff engine beside the peak of a core, on one thread: `cargo bench -p
//! quantbench-engine`. Elements are floating-point operations for convolutions and the peak, and
//! numbers for the others.
//!
//! Shapes are those of ResNet-20's three stages and of the layers between them, eight images.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulp::{Simd, WithSimd};
use quantbench_core::Tensor;
use quantbench_engine::autodiff::ops::{self, Affine, Norm};
use quantbench_engine::autodiff::{Device, Tape, Value, Var, Window};
use std::hint::black_box;

/// Input channels, output channels, side of the input, stride, groups.
const CONVS: [(usize, usize, usize, usize, usize); 6] = [
    (3, 16, 32, 1, 1),
    (16, 16, 32, 1, 1),
    (16, 32, 32, 2, 1),
    (32, 32, 16, 1, 1),
    (64, 64, 8, 1, 1),
    (64, 64, 16, 1, 64),
];
const IMAGES: usize = 8;

fn noise(dims: &[usize]) -> Tensor {
    let data = (0..dims.iter().product::<usize>())
        .map(|i| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0)
        .collect();
    Tensor::new(dims.to_vec(), data)
}

fn map(tape: &mut Tape, dims: &[usize], wants: bool) -> Var {
    let map = tape.device().map(&noise(dims)).unwrap_or_else(|| unreachable!());
    if wants { tape.variable(Value::Map(map)) } else { tape.constant(Value::Map(map)) }
}

/// As a loss, the sum of squares.
fn loss(tape: &mut Tape, y: Var) -> Var {
    let zeros = tape.device().zeros(tape.map(y).shape());
    ops::squared_error(tape, y, zeros, None).unwrap_or(y)
}

/// Independent multiply-adds in registers, as many as hide their latency.
struct Peak(usize);

impl WithSimd for Peak {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (a, b) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut sums = [simd.splat_f32s(0.0); 12];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, a, b);
            }
        }
        sums.iter().map(|s| simd.reduce_sum_f32s(*s)).sum()
    }
}

/// Numbers in a vector.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        S::F32_LANES
    }
}

fn peak(c: &mut Criterion) {
    let arch = pulp::Arch::new();
    let flops = 2 * 12 * 10_000 * arch.dispatch(Width);
    let mut group = c.benchmark_group("peak");
    group.throughput(Throughput::Elements(flops as u64));
    group.bench_function("multiply-add", |b| b.iter(|| arch.dispatch(Peak(black_box(10_000)))));
    group.finish();
}

fn convs(c: &mut Criterion) {
    let device = Device::new();
    let mut group = c.benchmark_group("conv");
    for (inputs, outputs, side, stride, groups) in CONVS {
        let window = Window::square(3, stride, 1);
        let per_group = inputs / groups;
        let out = side / stride;
        let flops = 2 * IMAGES * out * out * outputs * per_group * 9;
        group.throughput(Throughput::Elements(flops as u64));
        let shape = format!("{inputs}to{outputs}at{side}by{stride}in{groups}");
        for (what, to_input, to_weight) in
            [("forward", false, false), ("input", true, false), ("weight", false, true)]
        {
            let prepared = || {
                let mut tape = Tape::new(&device);
                let x = map(&mut tape, &[IMAGES, inputs, side, side], to_input);
                let w = Value::Flat(noise(&[outputs, per_group, 3, 3]));
                let w = if to_weight { tape.variable(w) } else { tape.constant(w) };
                (tape, x, w)
            };
            group.bench_function(BenchmarkId::new(what, &shape), |b| {
                if what == "forward" {
                    b.iter_batched(
                        prepared,
                        |(mut tape, x, w)| ops::conv(&mut tape, x, w, None, window, groups),
                        criterion::BatchSize::LargeInput,
                    );
                } else {
                    // With the loss's own gradient, which is small beside it.
                    let whole = || {
                        let (mut tape, x, w) = prepared();
                        let y = ops::conv(&mut tape, x, w, None, window, groups).unwrap_or(x);
                        let from = loss(&mut tape, y);
                        (tape, from)
                    };
                    b.iter_batched(
                        whole,
                        |(tape, from)| tape.backward(from),
                        criterion::BatchSize::LargeInput,
                    );
                }
            });
        }
    }
    group.finish();
}

fn pointwise(c: &mut Criterion) {
    let device = Device::new();
    let dims = [IMAGES, 32, 16, 16];
    let mut group = c.benchmark_group("pointwise");
    group.throughput(Throughput::Elements(dims.iter().product::<usize>() as u64));
    let prepared = || {
        let mut tape = Tape::new(&device);
        let x = map(&mut tape, &dims, true);
        let gamma = tape.parameter(&noise(&[32]));
        let step = tape.parameter(&Tensor::new(vec![1], vec![0.1]));
        (tape, x, gamma, step)
    };
    let normed = |tape: &mut Tape, x: Var, gamma: Var| {
        let how = Norm { epsilon: 1e-5, frozen: None, relu: true };
        ops::norm(tape, x, gamma, gamma, &how).map_or(x, |(y, _)| y)
    };
    let quantized = |tape: &mut Tape, x: Var, step: Var| {
        let grid = Affine { zero_point: 0, top: 15, rate: 1.0, float: None };
        ops::fake_quantize(tape, x, step, grid).unwrap_or(x)
    };
    let size = criterion::BatchSize::LargeInput;
    group.bench_function("norm forward", |b| {
        b.iter_batched(prepared, |(mut t, x, g, _)| normed(&mut t, x, g), size);
    });
    group.bench_function("fake quantization forward", |b| {
        b.iter_batched(prepared, |(mut t, x, _, s)| quantized(&mut t, x, s), size);
    });
    for (name, is_norm) in [("norm backward", true), ("fake quantization backward", false)] {
        let whole = || {
            let (mut tape, x, gamma, step) = prepared();
            let y =
                if is_norm { normed(&mut tape, x, gamma) } else { quantized(&mut tape, x, step) };
            let from = loss(&mut tape, y);
            (tape, from)
        };
        group.bench_function(name, |b| {
            b.iter_batched(whole, |(tape, from)| tape.backward(from), size);
        });
    }
    group.finish();
}

/// One thread, whatever the machine has.
fn alone() -> Criterion {
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
    Criterion::default().sample_size(20)
}

criterion_group!(name = benches; config = alone(); targets = peak, convs, pointwise);
criterion_main!(benches);
