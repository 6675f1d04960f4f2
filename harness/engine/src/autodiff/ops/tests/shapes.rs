//! Gradients on random shapes.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const ARITHMETIC: [Arithmetic; 6] = [
    Arithmetic::Add,
    Arithmetic::Subtract,
    Arithmetic::Multiply,
    Arithmetic::Divide,
    Arithmetic::Max,
    Arithmetic::Min,
];

const ACTIVATIONS: [Activation; 11] = [
    Activation::Abs,
    Activation::Elu(0.7),
    Activation::Erf,
    Activation::Exp,
    Activation::HardSigmoid { alpha: 0.9, beta: 0.4 },
    Activation::HardSwish,
    Activation::LeakyRelu(0.2),
    Activation::Sigmoid,
    Activation::Softplus,
    Activation::Sqrt,
    Activation::Tanh,
];

prop_compose! {
    fn map()(n in 1usize..5, c in 1usize..36, h in 1usize..6, w in 1usize..6) -> [usize; 4] {
        [n, c, h, w]
    }
}

/// Noise with no number so near to one where a slope jumps that a difference would see both sides.
fn smooth(dims: &[usize], seed: u64, jumps: &[f32]) -> Tensor {
    let mut tensor = noise(dims, seed);
    for v in &mut tensor.data {
        if let Some(jump) = jumps.iter().find(|j| (*v - **j).abs() < 0.01) {
            *v = jump + 0.01;
        }
    }
    tensor
}

/// Noise that stays clear of zero.
fn positive(dims: &[usize], seed: u64) -> Tensor {
    let mut tensor = noise(dims, seed);
    tensor.data.iter_mut().for_each(|v| *v = 1.2 + *v * 0.8);
    tensor
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn arithmetic_of_two_maps(dims in map(), what in select(ARITHMETIC.to_vec()), seed in 0u64..99) {
        let (a, mut b) = (noise(&dims, seed), positive(&dims, seed + 1));
        for (a, b) in a.data.iter().zip(&mut b.data) {
            // The larger one may not change within a difference.
            *b += if (a - *b).abs() < 0.01 { 0.02 } else { 0.0 };
        }
        check("arithmetic", &[a, b], &|tape, v| {
            let y = arithmetic(tape, what, v[0], v[1]).unwrap();
            weighted_sum(tape, y)
        });
    }

    #[test]
    fn activations(dims in map(), what in select(ACTIVATIONS.to_vec()), seed in 0u64..99) {
        let x = match what {
            Activation::Sqrt => positive(&dims, seed),
            Activation::HardSigmoid { alpha, beta } => {
                smooth(&dims, seed, &[-beta / alpha, (1.0 - beta) / alpha])
            }
            _ => smooth(&dims, seed, &[0.0]),
        };
        check("activation", &[x], &|tape, v| {
            let y = activate(tape, v[0], what);
            weighted_sum(tape, y)
        });
    }

    #[test]
    fn learned_slopes_and_softmax(
        dims in map(), single in any::<bool>(), log in any::<bool>(), seed in 0u64..99,
    ) {
        let slopes = noise(&[if single { 1 } else { dims[1] }], seed + 1);
        check("prelu and softmax", &[smooth(&dims, seed, &[0.0]), slopes], &|tape, v| {
            let y = prelu(tape, v[0], v[1]).unwrap();
            let z = softmax(tape, y, log);
            weighted_sum(tape, z)
        });
    }

    #[test]
    fn averages_of_windows_that_do_not_count_as_a_whole(
        dims in map(), kernel in 1usize..4, stride in 1usize..4, pad in 0usize..3, seed in 0u64..99,
    ) {
        let window = Window::square(kernel, stride, pad.min(kernel - 1));
        prop_assume!(window.output([dims[2], dims[3]]).is_some());
        let x = noise(&dims, seed);
        check("average", &[x], &|tape, v| {
            let y = average_pool_of(tape, v[0], window, [[0; 2]; 2]).unwrap();
            weighted_sum(tape, y)
        });
        // The mean of ones is one, wherever the window is.
        let device = Device::new();
        let mut tape = Tape::new(&device);
        let ones = Tensor::new(dims.to_vec(), vec![1.0; dims.iter().product()]);
        let x = tape.constant(Value::Map(device.map(&ones).unwrap()));
        let y = average_pool_of(&mut tape, x, window, [[0; 2]; 2]).unwrap();
        prop_assert!(tape.map(y).to_tensor().data.iter().all(|v| (v - 1.0).abs() < 1e-6));
    }

    #[test]
    fn numbers_that_move(dims in map(), factor in 1usize..4, seed in 0u64..99) {
        let size = [dims[1], dims[2], dims[3]];
        let x = noise(&dims, seed);
        check("upsample", std::slice::from_ref(&x), &|tape, v| {
            let y = rearrange(tape, v[0], Moves::upsample(size, factor).unwrap()).unwrap();
            weighted_sum(tape, y)
        });
        // Behind each other along the channels, and the first channel of the second one in front.
        let [c, h, w] = size;
        let part = |start: usize| {
            let moves = Moves::along(&size, &[2 * c + 1, h, w], |there, here| {
                here.copy_from_slice(there);
                here[0] = there[0].wrapping_sub(start);
                true
            });
            Arc::new(moves.unwrap())
        };
        let tensors = [x.clone(), noise(&dims, seed + 1)];
        check("concat", &tensors, &|tape, v| {
            let y = place(tape, &[(v[0], part(1)), (v[1], part(c + 1))], 0.5).unwrap();
            weighted_sum(tape, y)
        });
        let device = Device::new();
        let mut tape = Tape::new(&device);
        let [a, b] = [0, 1].map(|i| tape.constant(Value::Map(device.map(&tensors[i]).unwrap())));
        let y = place(&mut tape, &[(a, part(1)), (b, part(c + 1))], 0.5).unwrap();
        let (found, plane) = (tape.map(y).to_tensor().data, c * h * w);
        for n in 0..dims[0] {
            let image = &found[n * (2 * plane + h * w)..][..2 * plane + h * w];
            prop_assert!(image[..h * w].iter().all(|v| *v == 0.5));
            prop_assert_eq!(&image[h * w..][..plane], &tensors[0].data[n * plane..][..plane]);
            prop_assert_eq!(&image[h * w + plane..], &tensors[1].data[n * plane..][..plane]);
        }
    }

    #[test]
    fn distances_of_moments(dims in map(), seed in 0u64..99) {
        prop_assume!(dims[0] * dims[2] * dims[3] > 1);
        let target = Moments { mean: vec![0.3; dims[1]], variance: vec![0.6; dims[1]] };
        check("moments", &[noise(&dims, seed)], &|tape, v| {
            moments_loss(tape, v[0], &target).unwrap()
        });
    }

    #[test]
    fn rows_of_a_table(rows in 1usize..6, columns in 1usize..40, seed in 0u64..99) {
        let labels: Vec<u16> = (0..7).map(|i| (i * 5 % rows) as u16).collect();
        check("embed", &[noise(&[rows, columns], seed)], &|tape, v| {
            let y = embed(tape, v[0], &labels).unwrap();
            weighted_sum(tape, y)
        });
        let mut tape = Tape::new(&Device::new());
        let table = tape.parameter(&noise(&[rows, columns], seed));
        prop_assert!(embed(&mut tape, table, &[rows as u16]).is_none());
    }
}
