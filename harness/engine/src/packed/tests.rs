//! Every kernel on every instruction set of the machine, bit for bit against plain loops.

mod finishes;
mod refusals;

use proptest::prelude::*;

use super::*;

/// Numbers that follow from a seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Codes from 0 to `top`, a fifth of them at the ends.
    fn codes(&mut self, count: usize, top: u8) -> Vec<u8> {
        let one = |noise: &mut Self| match noise.below(10) {
            0 => 0,
            1 => top,
            _ => noise.below(usize::from(top) + 1) as u8,
        };
        (0..count).map(|_| one(self)).collect()
    }

    /// Codes that a kernel holds, a fifth of them at the ends.
    fn weights(&mut self, kernel: Kernel, count: usize) -> Vec<i8> {
        let (low, high) = (*kernel.weights().start(), *kernel.weights().end());
        let one = |noise: &mut Self| match noise.below(10) {
            _ if kernel == Kernel::Binary => [-1, 1][noise.below(2)],
            0 => low,
            1 => high,
            _ => (i32::from(low) + noise.below(usize::from(low.abs_diff(high)) + 1) as i32) as i8,
        };
        (0..count).map(|_| one(self)).collect()
    }

    fn bits(&mut self, kernel: Kernel) -> u8 {
        match kernel {
            Kernel::Ternary => 1 + self.below(8) as u8,
            Kernel::Int2 => 2,
            Kernel::Binary => 1,
            _ => 8,
        }
    }
}

/// What an activation stands for.
fn level(kernel: Kernel, code: u8, zero_point: u8) -> i32 {
    if kernel == Kernel::Binary {
        2 * i32::from(code) - 1
    } else {
        i32::from(code) - i32::from(zero_point)
    }
}

/// The sum of products of one segment.
fn segment(kernel: Kernel, codes: &[u8], weights: &[i8], zero_point: u8) -> i32 {
    let product = |i: usize| level(kernel, codes[i], zero_point) * i32::from(weights[i]);
    if kernel != Kernel::Int8Saturating {
        return (0..codes.len()).map(product).sum();
    }
    // The instruction sees codes: the zero point is taken off afterwards.
    let raw = |i: usize| i32::from(codes[i]) * i32::from(weights[i]);
    let pair = |i: usize| {
        let sum = raw(i) + if i + 1 < codes.len() { raw(i + 1) } else { 0 };
        sum.clamp(-32_768, 32_767)
    };
    let weights: i32 = weights.iter().map(|w| i32::from(*w)).sum();
    (0..codes.len()).step_by(2).map(pair).sum::<i32>() - i32::from(zero_point) * weights
}

fn runnable(kernel: Kernel) -> impl Iterator<Item = Isa> {
    Isa::available().into_iter().filter(move |isa| kernel.runs_on(*isa).is_ok())
}

fn sums(finished: Finished) -> Vec<i32> {
    match finished {
        Finished::Sums(sums) => sums,
        Finished::Bytes(_) => panic!("bytes"),
    }
}

/// A convolution by its definition: taps outside count as zero.
fn plain_conv(
    kernel: Kernel,
    geometry: &Geometry,
    outputs: usize,
    image: &[u8],
    weights: &[i8],
    zero_point: u8,
) -> Vec<i32> {
    let Geometry { image: [height, width], channels, window, stride, pads } = *geometry;
    let [out_height, out_width] = geometry.output().unwrap();
    let mut all = Vec::new();
    for y in 0..out_height {
        for x in 0..out_width {
            for output in 0..outputs {
                let mut sum = 0;
                for dy in 0..window[0] {
                    let row = (y * stride[0] + dy) as i64 - pads[0] as i64;
                    let (mut codes, mut row_weights) = (Vec::new(), Vec::new());
                    for dx in 0..window[1] {
                        let column = (x * stride[1] + dx) as i64 - pads[1] as i64;
                        let inside = (0..height as i64).contains(&row)
                            && (0..width as i64).contains(&column);
                        for c in 0..channels {
                            let at = ((output * window[0] + dy) * window[1] + dx) * channels + c;
                            let pixel = (row * width as i64 + column) * channels as i64 + c as i64;
                            if inside {
                                codes.push(image[pixel as usize]);
                                row_weights.push(weights[at]);
                            } else if kernel != Kernel::Binary {
                                codes.push(zero_point);
                                row_weights.push(weights[at]);
                            }
                        }
                    }
                    sum += segment(kernel, &codes, &row_weights, zero_point);
                }
                all.push(sum);
            }
        }
    }
    all
}

fn geometry(noise: &mut Noise, channels: usize) -> Geometry {
    let window = [1 + noise.below(3), 1 + noise.below(3)];
    let pads = [0; 4].map(|_| noise.below(3));
    let image = [0, 1].map(|i| window[i] + noise.below(7));
    let stride = [1 + noise.below(2), 1 + noise.below(2)];
    Geometry { image, channels, window, stride, pads }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products_are_those_of_plain_loops(
        seed in 1u64.., rows in 1usize..40, outputs in 1usize..70, length in 1usize..300,
    ) {
        let mut noise = Noise(seed);
        for kernel in Kernel::ALL {
            let bits = noise.bits(kernel);
            let top = kernel.top(bits);
            let zero_point = if kernel == Kernel::Binary { 0 } else { noise.codes(1, top)[0] };
            let codes = noise.codes(rows * length, top);
            let weights = noise.weights(kernel, outputs * length);
            let packed = Weights::pack(kernel, outputs, length, &weights).unwrap();
            let activations =
                Activations::pack(kernel, [rows, length], &codes, bits, zero_point).unwrap();
            let mut expected = Vec::new();
            for codes in codes.chunks(length) {
                for weights in weights.chunks(length) {
                    expected.push(segment(kernel, codes, weights, zero_point));
                }
            }
            for isa in runnable(kernel) {
                let found = product(isa, &packed, &activations, &Finish::Sums).unwrap();
                prop_assert_eq!(sums(found), expected.clone(), "{} {}", kernel.name(), isa.name());
            }
        }
    }

    #[test]
    fn convolutions_are_those_of_plain_loops(
        seed in 1u64.., outputs in 1usize..40, channels in 1usize..40, images in 1usize..3,
    ) {
        let mut noise = Noise(seed);
        for kernel in Kernel::ALL {
            let shape = geometry(&mut noise, channels);
            let bits = noise.bits(kernel);
            let top = kernel.top(bits);
            let zero_point = if kernel == Kernel::Binary { 0 } else { noise.codes(1, top)[0] };
            let each = shape.image[0] * shape.image[1] * channels;
            let codes = noise.codes(images * each, top);
            let taps = shape.window[0] * shape.window[1];
            let weights = noise.weights(kernel, outputs * taps * channels);
            let conv = Conv::new(kernel, shape, outputs, &weights, bits, zero_point).unwrap();
            let expected: Vec<i32> = codes
                .chunks(each)
                .flat_map(|image| plain_conv(kernel, &shape, outputs, image, &weights, zero_point))
                .collect();
            for isa in runnable(kernel) {
                let found = conv.run(isa, Input::Codes(&codes), &Finish::Sums).unwrap();
                prop_assert_eq!(
                    sums(found), expected.clone(), "{} {} {:?}", kernel.name(), isa.name(), shape
                );
            }
        }
    }

    #[test]
    fn depthwise_ones_too(seed in 1u64.., channels in 1usize..40) {
        let mut noise = Noise(seed);
        let shape = geometry(&mut noise, channels);
        let zero_point = noise.codes(1, 255)[0];
        let codes = noise.codes(shape.image[0] * shape.image[1] * channels, 255);
        let taps = shape.window[0] * shape.window[1];
        let weights = noise.weights(Kernel::Int8Exact, taps * channels);
        let one = Geometry { channels: 1, ..shape };
        let mut expected = vec![0; shape.output().unwrap().iter().product::<usize>() * channels];
        for c in 0..channels {
            let image: Vec<u8> = codes.iter().skip(c).step_by(channels).copied().collect();
            let weights = &weights[c * taps..][..taps];
            let sums = plain_conv(Kernel::Int8Exact, &one, 1, &image, weights, zero_point);
            for (i, sum) in sums.iter().enumerate() {
                expected[i * channels + c] = *sum;
            }
        }
        let conv = Depthwise::new(shape, &weights, zero_point).unwrap();
        for isa in Isa::available() {
            let found = conv.run(isa, &codes, &Finish::Sums).unwrap();
            prop_assert_eq!(sums(found), expected.clone(), "{}", isa.name());
        }
    }
}

/// Sums as long as a layer's, at both ends of the codes: nothing narrower may overflow on the way.
#[test]
fn extreme_codes_do_not_overflow() {
    for kernel in Kernel::ALL {
        let bits = if kernel == Kernel::Ternary { 8 } else { Noise(1).bits(kernel) };
        let length = if kernel == Kernel::Int2 { 7_200 } else { 65_536 };
        let codes = vec![kernel.top(bits); length];
        for weight in [*kernel.weights().start(), *kernel.weights().end()] {
            let weights = vec![weight; length];
            let packed = Weights::pack(kernel, 1, length, &weights).unwrap();
            let activations = Activations::pack(kernel, [1, length], &codes, bits, 0).unwrap();
            let expected = segment(kernel, &codes, &weights, 0);
            for isa in runnable(kernel) {
                let found = sums(product(isa, &packed, &activations, &Finish::Sums).unwrap());
                assert_eq!(found, [expected], "{} {} {weight}", kernel.name(), isa.name());
            }
        }
    }
}

/// The probe that tells which instruction ran: 64 x 255 x 127, or 32 sums cut off at 32767.
#[test]
fn the_saturation_probe_tells_the_kernels_apart() {
    for (kernel, expected) in [
        (Kernel::Int8Saturating, 1_048_544),
        (Kernel::Int8Exact, 2_072_640),
        (Kernel::Int8Dot, 2_072_640),
    ] {
        let packed = Weights::pack(kernel, 1, 64, &[127; 64]).unwrap();
        let activations = Activations::pack(kernel, [1, 64], &[255; 64], 8, 0).unwrap();
        for isa in runnable(kernel) {
            let found = product(isa, &packed, &activations, &Finish::Sums).unwrap();
            assert_eq!(sums(found), [expected], "{} {}", kernel.name(), isa.name());
        }
    }
}

/// Many more rows than one thread takes at once, on several threads.
#[test]
fn results_do_not_depend_on_threads() {
    let mut noise = Noise(7);
    let (codes, weights) = (noise.codes(700 * 20, 255), noise.weights(Kernel::Int8Exact, 17 * 20));
    let packed = Weights::pack(Kernel::Int8Exact, 17, 20, &weights).unwrap();
    let activations = Activations::pack(Kernel::Int8Exact, [700, 20], &codes, 8, 3).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| product(Isa::best(), &packed, &activations, &Finish::Sums)).unwrap()
    };
    let expected: Vec<i32> = codes
        .chunks(20)
        .flat_map(|codes| weights.chunks(20).map(|w| segment(Kernel::Int8Exact, codes, w, 3)))
        .collect();
    assert_eq!(sums(on(1)), expected);
    assert_eq!(sums(on(3)), expected);
}

/// The loop that speed is compared with does the same arithmetic.
#[test]
fn the_micro_kernel_multiplies() {
    for kernel in Kernel::ALL {
        let bits = Noise(1).bits(kernel);
        let mut noise = Noise(5);
        let (codes, weights) = (noise.codes(60, kernel.top(bits)), noise.weights(kernel, 60));
        let packed = Weights::pack(kernel, 1, 60, &weights).unwrap();
        let activations = Activations::pack(kernel, [1, 60], &codes, bits, 0).unwrap();
        for isa in runnable(kernel) {
            let once = micro_kernel(isa, &packed, &activations, 1).unwrap();
            let base = if kernel == Kernel::Binary { 60 } else { 0 };
            // The fifteen outputs that are not there have no weights; an odd number of equal ones
            // leaves itself.
            let found = sums(product(isa, &packed, &activations, &Finish::Sums).unwrap())[0];
            let blank = match kernel {
                Kernel::Binary => base - 2 * codes.iter().map(|c| i32::from(*c)).sum::<i32>(),
                _ => 0,
            };
            assert_eq!(once, found ^ blank, "{} {}", kernel.name(), isa.name());
            assert_eq!(micro_kernel(isa, &packed, &activations, 2).unwrap(), 0);
        }
    }
}
