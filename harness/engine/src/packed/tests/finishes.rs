//! What becomes of sums.

use super::*;

/// A layer with all that finishes need.
struct Layer {
    conv: Conv,
    codes: Vec<u8>,
    sums: Vec<i32>,
}

fn layer(kernel: Kernel, seed: u64, channels: usize, outputs: usize) -> Layer {
    let mut noise = Noise(seed);
    let shape = geometry(&mut noise, channels);
    let bits = noise.bits(kernel);
    let codes = noise.codes(shape.image[0] * shape.image[1] * channels, kernel.top(bits));
    let taps = shape.window[0] * shape.window[1];
    let weights = noise.weights(kernel, outputs * taps * channels);
    let conv = Conv::new(kernel, shape, outputs, &weights, bits, 0).unwrap();
    let sums = plain_conv(kernel, &shape, outputs, &codes, &weights, 0);
    Layer { conv, codes, sums }
}

fn bytes(finished: Finished) -> Vec<u8> {
    match finished {
        Finished::Bytes(bytes) => bytes,
        Finished::Sums(_) => panic!("sums"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn requantization_is_that_of_plain_loops(
        seed in 1u64.., outputs in 1usize..40, zero_point in 0u8.., low in 0u8..100,
    ) {
        let mut noise = Noise(seed);
        let layer = layer(Kernel::Int8Exact, seed, 5, outputs);
        let scales: Vec<f32> = (0..outputs).map(|_| noise.below(1000) as f32 / 3e5).collect();
        let biases: Vec<f32> = (0..outputs).map(|_| noise.below(100) as f32 / 2.0).collect();
        let how = Requantize::new(&scales, &biases, zero_point, [low, 200]).unwrap();
        let expected: Vec<u8> = layer
            .sums
            .iter()
            .enumerate()
            .map(|(i, sum)| {
                let real = *sum as f32 * scales[i % outputs] + biases[i % outputs];
                let code = real.round_ties_even() + f32::from(zero_point);
                code.clamp(low.into(), 200.0) as u8
            })
            .collect();
        for isa in Isa::available() {
            let input = Input::Codes(&layer.codes);
            let found = layer.conv.run(isa, input, &Finish::Requantize(&how)).unwrap();
            prop_assert_eq!(bytes(found), expected.clone(), "{}", isa.name());
        }
    }

    #[test]
    fn thresholds_count_in_both_directions(
        seed in 1u64.., outputs in 1usize..40, levels in 1u8..5,
    ) {
        let mut noise = Noise(seed);
        let layer = layer(Kernel::Binary, seed, 9, outputs);
        let falls: Vec<bool> = (0..outputs).map(|_| noise.below(2) == 1).collect();
        let mut thresholds = Vec::new();
        for _ in 0..outputs {
            let mut row: Vec<i32> = (0..levels).map(|_| noise.below(40) as i32 - 20).collect();
            row.sort_unstable();
            thresholds.extend(row);
        }
        let each = usize::from(levels);
        let how = Thresholds::new(levels, &thresholds, &falls).unwrap();
        let code = |(i, sum): (usize, &i32)| {
            let output = i % outputs;
            let row = &thresholds[output * each..][..each];
            let reached = |t: &&i32| if falls[output] { sum <= *t } else { sum >= *t };
            row.iter().filter(reached).count() as u8
        };
        let expected: Vec<u8> = layer.sums.iter().enumerate().map(code).collect();
        for isa in Isa::available() {
            let input = Input::Codes(&layer.codes);
            let found = layer.conv.run(isa, input, &Finish::Codes(&how)).unwrap();
            prop_assert_eq!(bytes(found), expected.clone(), "{}", isa.name());
        }
    }

    /// Bits that one layer leaves are what the next one takes.
    #[test]
    fn bits_go_from_layer_to_layer(
        seed in 1u64.., middle in 1usize..40, ternary in any::<bool>(),
    ) {
        let mut noise = Noise(seed);
        let first = layer(Kernel::Binary, seed, 12, middle);
        let thresholds: Vec<i32> = (0..middle).map(|_| noise.below(11) as i32 - 5).collect();
        let how = Thresholds::new(1, &thresholds, &vec![false; middle]).unwrap();
        let kernel = if ternary { Kernel::Ternary } else { Kernel::Binary };
        let weights = noise.weights(kernel, 3 * 9 * middle);
        let shape = Geometry {
            image: first.conv.output(),
            channels: middle,
            window: [3, 3],
            stride: [1, 1],
            pads: [2; 4],
        };
        let second = Conv::new(kernel, shape, 3, &weights, 1, 0).unwrap();
        for isa in Isa::available() {
            let input = Input::Codes(&first.codes);
            let codes = bytes(first.conv.run(isa, input, &Finish::Codes(&how)).unwrap());
            let bits = bytes(first.conv.run(isa, input, &Finish::Bits(&how)).unwrap());
            let pixels = codes.len() / middle;
            prop_assert_eq!(bits.len(), pixels * middle.div_ceil(8));
            let expected = plain_conv(kernel, &shape, 3, &codes, &weights, 0);
            let found = second.run(isa, Input::Bits(&bits), &Finish::Sums).unwrap();
            prop_assert_eq!(sums(found), expected, "{}", isa.name());
        }
    }
}

/// 0.5 goes to 0, 1.5 to 2, 2.5 to 2 and both ends hold.
#[test]
fn halves_round_to_even() {
    let packed = Weights::pack(Kernel::Int8Exact, 1, 1, &[1]).unwrap();
    let codes = [1, 3, 5, 7, 0, 255];
    let activations = Activations::pack(Kernel::Int8Exact, [6, 1], &codes, 8, 0).unwrap();
    let how = Requantize::new(&[0.5], &[0.0], 10, [11, 100]).unwrap();
    for isa in Isa::available() {
        let found = product(isa, &packed, &activations, &Finish::Requantize(&how)).unwrap();
        assert_eq!(bytes(found), [11, 12, 12, 14, 11, 100], "{}", isa.name());
    }
}
