//! Integer kernels beside their innermost loop, on one thread: `cargo bench -p quantbench-engine
//! --bench packed`. Elements are operations, two per multiply-accumulate.
//!
//! Each sample times the product or the convolution and, right after it, the micro-kernel of the
//! same arithmetic on the same instruction set, whose operands stay in the first cache. Time is
//! CPU time of the thread, so that other processes hardly matter; a line at the end of each
//! benchmark gives medians over the samples and that of their ratios.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use quantbench_engine::packed::{
    Activations, Conv, Finish, Finished, Geometry, Input, Isa, Kernel, PackedError, Requantize,
    Thresholds, Weights, micro_kernel, product_into,
};
use rustix::time::{ClockId, clock_gettime};

/// Rows, outputs and length of a product.
const PRODUCTS: [[usize; 3]; 2] = [[256, 256, 1152], [512, 512, 2304]];
/// Channels and side of ResNet-20's three stages, 3 x 3, eight images.
const CONVS: [[usize; 2]; 3] = [[16, 32], [32, 16], [64, 8]];
const IMAGES: usize = 8;

/// CPU time of this thread.
#[derive(Clone, Copy)]
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
    }
    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        &Units
    }
}

struct Units;

impl ValueFormatter for Units {
    fn scale_values(&self, _typical: f64, values: &mut [f64]) -> &'static str {
        for v in values {
            *v /= 1e3;
        }
        "us"
    }
    fn scale_throughputs(&self, _: f64, work: &Throughput, values: &mut [f64]) -> &'static str {
        let Throughput::Elements(operations) = work else { return "?" };
        for v in values {
            *v = *operations as f64 / *v;
        }
        "Gop/s"
    }
    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The innermost loop of a kernel, with operands that stay in the first cache.
struct Micro {
    isa: Isa,
    weights: Weights,
    activations: Activations,
    times: usize,
    operations: f64,
}

fn noise(count: usize, end: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| (i * 7919 + i / 13 * 31 + 13) % 1009 % end)
}

fn codes(kernel: Kernel, count: usize) -> Vec<u8> {
    noise(count, usize::from(kernel.top(bits(kernel))) + 1).map(|c| c as u8).collect()
}

fn weights(kernel: Kernel, count: usize) -> Vec<i8> {
    let low = i32::from(*kernel.weights().start());
    let levels = i32::from(*kernel.weights().end()) - low + 1;
    let one =
        |i: usize| if kernel == Kernel::Binary { i as i32 % 2 * 2 - 1 } else { low + i as i32 };
    noise(count, levels as usize).map(|i| one(i) as i8).collect()
}

/// Ternary weights meet activations of two bits.
fn bits(kernel: Kernel) -> u8 {
    match kernel {
        Kernel::Int2 | Kernel::Ternary => 2,
        Kernel::Binary => 1,
        _ => 8,
    }
}

impl Micro {
    /// The fastest of three lengths: short sums are dominated by their end, and the weights of
    /// long ones may not fit.
    fn new(kernel: Kernel, isa: Isa) -> Result<Self, PackedError> {
        let (outputs, length) = match kernel {
            Kernel::Int8Exact => (32, 128),
            Kernel::Int8Saturating | Kernel::Int8Dot => (32, 256),
            Kernel::Int4 => (32, 512),
            Kernel::Int2 => (64, 512),
            Kernel::Ternary => (32, 1024),
            Kernel::Binary => (32, 2048),
        };
        let lengths = [length, 2 * length, 4 * length];
        let all: Result<Vec<_>, _> =
            lengths.into_iter().map(|l| Self::of(kernel, isa, outputs, l)).collect();
        let speed = |micro: &Self| median((0..9).map(|_| micro.speed()).collect());
        let timed = all?.into_iter().map(|micro| (speed(&micro), micro));
        let best = timed.max_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, micro)| micro).ok_or_else(|| unreachable!())
    }

    fn of(kernel: Kernel, isa: Isa, outputs: usize, length: usize) -> Result<Self, PackedError> {
        kernel.runs_on(isa)?;
        let rows = 8;
        let times = if isa.name() == "portable" { 4 } else { 100 };
        let codes = codes(kernel, rows * length);
        Ok(Self {
            isa,
            weights: Weights::pack(kernel, outputs, length, &weights(kernel, outputs * length))?,
            activations: Activations::pack(kernel, [rows, length], &codes, bits(kernel), 0)?,
            times,
            operations: (2 * rows * outputs * length * times) as f64,
        })
    }

    /// Operations per nanosecond.
    fn speed(&self) -> f64 {
        let start = ThreadTime.start();
        self.run();
        self.operations / ThreadTime.end(start).as_nanos() as f64
    }

    fn run(&self) {
        let _ = black_box(micro_kernel(self.isa, &self.weights, &self.activations, self.times));
    }
}

/// Benchmarks `work` and prints its speed and that of the micro-kernel.
fn compare(
    group: &mut BenchmarkGroup<'_, ThreadTime>,
    name: &str,
    shape: &str,
    operations: usize,
    micro: &Micro,
    mut work: impl FnMut(),
) {
    let samples = RefCell::new(Vec::new());
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(BenchmarkId::new(name, shape), |b| {
        b.iter_custom(|times| {
            let start = ThreadTime.start();
            for _ in 0..times {
                work();
            }
            let spent = ThreadTime.end(start);
            let start = ThreadTime.start();
            let rounds = 1 + times as usize * operations / (4 * micro.operations as usize);
            for _ in 0..rounds {
                micro.run();
            }
            let beside = ThreadTime.end(start);
            samples.borrow_mut().push([
                operations as f64 * times as f64 / spent.as_nanos() as f64,
                micro.operations * rounds as f64 / beside.as_nanos() as f64,
            ]);
            spent
        });
    });
    let samples = samples.into_inner();
    if samples.is_empty() {
        return; // not asked for
    }
    let of = |f: fn(&[f64; 2]) -> f64| median(samples.iter().map(f).collect());
    let (own, beside, ratio) = (of(|s| s[0]), of(|s| s[1]), of(|s| s[0] / s[1]));
    eprintln!("{name} {shape}: {own:.0} Gop/s, micro-kernel {beside:.0}, ratio {ratio:.2}");
}

fn products(
    group: &mut BenchmarkGroup<'_, ThreadTime>,
    name: &str,
    kernel: Kernel,
    micro: &Micro,
) -> Result<(), PackedError> {
    for [rows, outputs, length] in PRODUCTS {
        let packed = Weights::pack(kernel, outputs, length, &weights(kernel, outputs * length))?;
        let codes = codes(kernel, rows * length);
        let activations = Activations::pack(kernel, [rows, length], &codes, bits(kernel), 0)?;
        let mut room = Finished::default();
        compare(
            group,
            name,
            &format!("{rows}x{outputs}x{length}"),
            2 * rows * outputs * length,
            micro,
            || {
                let sums = &Finish::Sums;
                let _ = black_box(product_into(micro.isa, &packed, &activations, sums, &mut room));
            },
        );
    }
    Ok(())
}

/// Binary layers take bits and leave bits; others take codes and leave codes of eight bits.
fn convs(
    group: &mut BenchmarkGroup<'_, ThreadTime>,
    name: &str,
    kernel: Kernel,
    micro: &Micro,
) -> Result<(), PackedError> {
    for [channels, side] in CONVS {
        let geometry =
            Geometry { image: [side; 2], channels, window: [3; 2], stride: [1; 2], pads: [1; 4] };
        let codes = codes(kernel, IMAGES * side * side * channels);
        let packed = weights(kernel, channels * 9 * channels);
        let conv = Conv::new(kernel, geometry, channels, &packed, bits(kernel), 0)?;
        let requantize = Requantize::new(&vec![1e-3; channels], &vec![0.5; channels], 8, [0, 255])?;
        let thresholds = Thresholds::new(1, &vec![3; channels], &vec![false; channels])?;
        let (input, finish) = match kernel {
            Kernel::Binary => (Input::Bits(&codes[..codes.len() / 8]), Finish::Bits(&thresholds)),
            _ => (Input::Codes(&codes), Finish::Requantize(&requantize)),
        };
        let mut room = Finished::default();
        compare(
            group,
            name,
            &format!("{channels}to{channels}at{side}"),
            2 * IMAGES * side * side * channels * channels * 9,
            micro,
            || {
                let _ = black_box(conv.run_into(micro.isa, input, &finish, &mut room));
            },
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // On this thread alone, whose time is taken.
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .with_measurement(ThreadTime)
        .configure_from_args();
    let mut group = criterion.benchmark_group("packed");
    for isa in Isa::available() {
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.runs_on(isa).is_ok()) {
            let name = format!("{}/{}", kernel.name(), isa.name());
            let micro = Micro::new(kernel, isa)?;
            products(&mut group, &name, kernel, &micro)?;
            convs(&mut group, &name, kernel, &micro)?;
        }
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
