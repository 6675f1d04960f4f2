//! Gradients against differences of losses, along random directions.

use quantbench_core::Tensor;

use super::*;
use crate::autodiff::kernels::plan::Window;
use crate::autodiff::kernels::tests::noise;
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};
use crate::autodiff::{Device, Isa};

mod shapes;

/// The sum of a map's numbers times random ones: a loss for operations that give maps.
pub(crate) fn weighted_sum(tape: &mut Tape, input: Var) -> Var {
    let x = tape.map(input);
    let shape = x.shape();
    let dims = [shape.images, shape.channels, shape.height, shape.width];
    let weights = noise(&dims, 99);
    let total: f64 = x
        .to_tensor()
        .data
        .iter()
        .zip(&weights.data)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum();
    let value = Value::Flat(Tensor::new(vec![1], vec![total as f32]));
    tape.push(&[input], value, WeightedSum { input, weights })
}

struct WeightedSum {
    input: Var,
    weights: Tensor,
}

impl Op for WeightedSum {
    fn backward(&self, _gradient: Value, back: &mut Back<'_>) {
        let map = back.map(self.input).device().map(&self.weights).unwrap();
        back.give(self.input, Value::Map(map));
    }
}

/// Whether the gradient of a loss of maps and parameters is what the loss changes by.
///
/// `build` gets the variables of all tensors: four-dimensional ones as maps.
pub(crate) fn check(what: &str, tensors: &[Tensor], build: &dyn Fn(&mut Tape, &[Var]) -> Var) {
    for isa in Isa::available() {
        let device = Device::with(isa);
        let run = |tensors: &[Tensor]| {
            let mut tape = Tape::new(&device);
            let vars: Vec<Var> = tensors
                .iter()
                .map(|t| match t.dims.len() {
                    // Parameters of convolutions are marked by a fifth dimension of one.
                    4 => tape.variable(Value::Map(device.map(t).unwrap())),
                    5 => tape.parameter(&Tensor::new(t.dims[..4].to_vec(), t.data.clone())),
                    _ => tape.parameter(t),
                })
                .collect();
            let loss = build(&mut tape, &vars);
            (tape, vars, loss)
        };
        let loss = |tensors: &[Tensor]| {
            let (tape, _, loss) = run(tensors);
            f64::from(tape.scalar(loss))
        };
        let (tape, vars, from) = run(tensors);
        let mut gradients = tape.backward(from);
        for (i, (tensor, var)) in tensors.iter().zip(&vars).enumerate() {
            let gradient = match tensor.dims.len() {
                4 => gradients.map(*var).unwrap().to_tensor(),
                _ => gradients.flat(*var).unwrap(),
            };
            let direction = noise(&tensor.dims, 7 + i as u64);
            let step = 1e-3f32;
            let moved = |by: f32| {
                let mut tensors = tensors.to_vec();
                for (v, d) in tensors[i].data.iter_mut().zip(&direction.data) {
                    *v += by * d;
                }
                loss(&tensors)
            };
            let want = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let pairs = gradient.data.iter().zip(&direction.data);
            let found: f64 = pairs.clone().map(|(g, d)| f64::from(g * d)).sum();
            let size: f64 = pairs.map(|(g, d)| f64::from((g * d).abs())).sum();
            let off = (found - want).abs();
            assert!(
                off < 0.02 * want.abs() + 0.002 * size + 1e-4,
                "{what}, tensor {i}, {}: {found} against {want}",
                isa.name()
            );
        }
    }
}

fn weights(dims: &[usize], seed: u64) -> Tensor {
    let mut tensor = noise(dims, seed);
    tensor.dims.push(1);
    tensor
}

#[test]
fn convolutions_with_and_without_groups() {
    for (inputs, outputs, groups, stride) in
        [(5, 20, 1, 1), (16, 33, 1, 2), (6, 4, 2, 1), (19, 19, 19, 2)]
    {
        let tensors = [
            noise(&[3, inputs, 7, 6], 1),
            weights(&[outputs, inputs / groups, 3, 3], 2),
            noise(&[outputs], 3),
        ];
        check("conv", &tensors, &|tape, v| {
            let window = Window::square(3, stride, 1);
            let y = conv(tape, v[0], v[1], Some(v[2]), window, groups).unwrap();
            weighted_sum(tape, y)
        });
    }
}

#[test]
fn norms_of_the_batch_and_frozen_ones() {
    let tensors = [noise(&[9, 18, 4, 3], 4), noise(&[18], 5), noise(&[18], 6)];
    let frozen = Moments { mean: vec![0.1; 18], variance: vec![0.4; 18] };
    for frozen in [None, Some(&frozen)] {
        for relu in [false, true] {
            check("norm", &tensors, &|tape, v| {
                let how = Norm { epsilon: 1e-3, frozen, relu };
                let (y, _) = norm(tape, v[0], v[1], v[2], &how).unwrap();
                weighted_sum(tape, y)
            });
        }
    }
}

#[test]
fn sums_and_rectified_linear_units() {
    let tensors = [noise(&[2, 20, 3, 3], 8), noise(&[2, 20, 3, 3], 9)];
    check("add", &tensors, &|tape, v| {
        let a = relu(tape, v[0]);
        let b = add(tape, a, v[1], true).unwrap();
        // A value that is read twice gets both gradients.
        let c = add(tape, b, v[0], false).unwrap();
        weighted_sum(tape, c)
    });
}

#[test]
fn pools() {
    let tensors = [noise(&[2, 20, 6, 6], 10)];
    check("average", &tensors, &|tape, v| {
        let y = average_pool(tape, v[0], Window::square(3, 2, 1)).unwrap();
        let z = global_average_pool(tape, y).unwrap();
        weighted_sum(tape, z)
    });
    check("max", &tensors, &|tape, v| {
        let y = max_pool(tape, v[0], Window::square(3, 2, 1)).unwrap();
        weighted_sum(tape, y)
    });
}

#[test]
fn vectors_and_losses() {
    let tensors = [noise(&[5, 3, 2, 2], 11), noise(&[7, 12], 12), noise(&[7], 13)];
    let teacher = Device::new().map(&noise(&[5, 7], 14)).unwrap();
    let logits = |tape: &mut Tape, v: &[Var]| {
        let x = flatten(tape, v[0]);
        linear(tape, x, v[1], Some(v[2])).unwrap()
    };
    for smoothing in [0.0, 0.1] {
        check("cross entropy", &tensors, &|tape, v| {
            let z = logits(tape, v);
            cross_entropy(tape, z, &[0, 6, 3, 3, 1], smoothing).unwrap()
        });
    }
    check("distillation", &tensors, &|tape, v| {
        let z = logits(tape, v);
        distillation(tape, z, &teacher, 4.0).unwrap()
    });
}

#[test]
fn squared_errors_and_sums_of_losses() {
    let tensors = [noise(&[3, 20, 3, 2], 16)];
    let device = Device::new();
    let other = |seed| device.map(&noise(&[3, 20, 3, 2], seed)).unwrap();
    check("squared error", &tensors, &|tape, v| {
        let a = squared_error(tape, v[0], other(17), None).unwrap();
        let b = squared_error(tape, v[0], other(18), Some(other(19))).unwrap();
        total(tape, &[(a, 0.5), (b, -2.0)])
    });
}

#[test]
fn errors_against_picked_images_are_those_of_gathered_ones_bit_for_bit() {
    let picked = [4, 0, 4];
    for isa in Isa::available() {
        let device = Device::with(isa);
        let targets = device.map(&noise(&[5, 20, 3, 7], 30)).unwrap();
        for rectified in [false, true] {
            let at = |one_pass: bool| {
                let mut tape = Tape::new(&device);
                let x = device.map(&noise(&[3, 20, 3, 7], 31)).unwrap();
                let x = tape.variable(Value::Map(x));
                let error = if one_pass {
                    picked_error(&mut tape, x, &targets, &picked, picked.len(), rectified).unwrap()
                } else {
                    let y = if rectified { relu(&mut tape, x) } else { x };
                    squared_error(&mut tape, y, targets.gather(&picked), None).unwrap()
                };
                let loss = total(&mut tape, &[(error, 0.5)]);
                let value = tape.scalar(loss);
                (value, tape.backward(loss).map(x).unwrap().to_tensor())
            };
            let (found, want) = (at(true), at(false));
            assert_eq!(found.1, want.1);
            assert!((found.0 - want.0).abs() < 1e-5 * want.0);
        }
        let mut tape = Tape::new(&device);
        let x = device.map(&noise(&[3, 20, 3, 7], 31)).unwrap();
        let x = tape.variable(Value::Map(x));
        for picked in [&[0, 1][..], &[0, 1, 5]] {
            assert!(picked_error(&mut tape, x, &targets, picked, picked.len(), false).is_none());
        }
    }
}

/// The function of the definition and its gradients, number by number.
fn plain_fake_quantize(x: f32, s: f32, grid: &Affine, kept: bool) -> (f32, f32, f64) {
    let (low, high) = (-grid.zero_point as f32, (grid.top - grid.zero_point) as f32);
    let v = x / s;
    if kept {
        (x, 1.0, 0.0)
    } else if v < low {
        (s * low, 0.0, f64::from(low))
    } else if v > high {
        (s * high, 0.0, f64::from(high))
    } else {
        let q = v.round_ties_even();
        (s * q, 1.0, f64::from(q - v))
    }
}

#[test]
fn fake_quantization_is_that_of_the_definition_with_the_gradients_of_lsq() {
    let tensor = noise(&[3, 20, 4, 3], 20);
    for (zero_point, top, float) in
        [(0, 15, None), (3, 7, None), (8, 15, Some((0.5, Chance::new(1, 2, 3))))]
    {
        for isa in Isa::available() {
            let device = Device::with(isa);
            let grid = Affine { zero_point, top, rate: 0.25, float };
            let mut tape = Tape::new(&device);
            let x = tape.variable(Value::Map(device.map(&tensor).unwrap()));
            let s = tape.parameter(&Tensor::new(vec![1], vec![0.11]));
            let y = fake_quantize(&mut tape, x, s, grid).unwrap();
            let found = tape.map(y).to_tensor();
            let loss = weighted_sum(&mut tape, y);
            let mut gradients = tape.backward(loss);
            let (dx, ds) = (gradients.map(x).unwrap().to_tensor(), gradients.flat(s).unwrap());
            let weights = noise(&tensor.dims, 99);
            let (mut want, mut count) = (0f64, 0);
            for (i, v) in tensor.data.iter().enumerate() {
                let (pixel, channel, image) = (i % 12, i / 12 % 20, i / 240);
                let place = image * 24 + channel / 16 * 12 + pixel;
                let kept =
                    float.is_some_and(|(share, c)| c.below(place, share).0[channel % 16] > 0.0);
                count += usize::from(kept);
                let (y, slope, step) = plain_fake_quantize(*v, 0.11, &grid, kept);
                assert_eq!(found.data[i], y);
                assert_eq!(dx.data[i], slope * weights.data[i]);
                want += 0.25 * step * f64::from(weights.data[i]);
            }
            assert!((f64::from(ds.data[0]) - want).abs() < 1e-4, "{} {want}", ds.data[0]);
            assert!(float.is_none() || (300..420).contains(&count), "{count} of 720");
        }
    }
}

#[test]
fn mixtures_take_each_number_from_one_side() {
    let device = Device::new();
    let [a, b] = [21, 22].map(|seed| device.map(&noise(&[4, 20, 5, 5], seed)).unwrap());
    let mixed = Chance::new(5, 0, 0).mix(&a, &b, &[0, 1, 2, 3], 0.3).unwrap().to_tensor();
    let rest = Chance::new(5, 0, 0).after(1).mix(&a, &b, &[1, 2, 3], 0.3).unwrap().to_tensor();
    let (a, b) = (a.to_tensor(), b.to_tensor());
    let from_a = mixed.data.iter().zip(&a.data).filter(|(m, a)| m == a).count();
    let from_b = mixed.data.iter().zip(&b.data).filter(|(m, b)| m == b).count();
    assert_eq!(from_a + from_b, 2000);
    assert!((500..700).contains(&from_a), "{from_a}");
    assert_eq!(rest.data, mixed.data[mixed.data.len() / 4..]);
    assert_ne!(Chance::new(5, 0, 1), Chance::new(5, 1, 0));
    let [c, d] = [&a, &b].map(|t| device.map(t).unwrap());
    for (share, from) in [(1.0, &c), (0.0, &d)] {
        let picked = Chance::new(5, 0, 0).mix(&c, &d, &[2, 2, 0], share).unwrap();
        assert_eq!(picked.to_tensor(), from.gather(&[2, 2, 0]).to_tensor());
    }
}

#[test]
fn losses_have_the_values_of_the_definition() {
    let device = Device::new();
    let mut tape = Tape::new(&device);
    let z = Tensor::new(vec![2, 3], vec![1.0, 2.0, 0.5, 0.0, 0.0, 0.0]);
    let z = tape.variable(Value::Map(device.map(&z).unwrap()));
    let loss = cross_entropy(&mut tape, z, &[1, 0], 0.0).unwrap();
    let first = (1f64.exp() + 2f64.exp() + 0.5f64.exp()).ln() - 2.0;
    assert!((f64::from(tape.scalar(loss)) - f64::midpoint(first, 3f64.ln())).abs() < 1e-6);
    let same = tape.map(z).copy();
    let loss = distillation(&mut tape, z, &same, 3.0).unwrap();
    assert!(tape.scalar(loss).abs() < 1e-6);
    assert!(cross_entropy(&mut tape, z, &[1], 0.0).is_none());
    assert!(cross_entropy(&mut tape, z, &[1, 3], 0.0).is_none());
}

#[test]
fn moments_are_those_of_the_batch_even_around_a_large_mean() {
    let mut tensor = noise(&[10, 17, 5, 5], 15);
    tensor.data.iter_mut().for_each(|v| *v += 1000.0);
    let device = Device::new();
    let mut tape = Tape::new(&device);
    let x = tape.constant(Value::Map(device.map(&tensor).unwrap()));
    let one = tape.parameter(&Tensor::new(vec![17], vec![1.0; 17]));
    let how = Norm { epsilon: 0.0, frozen: None, relu: false };
    let (_, moments) = norm(&mut tape, x, one, one, &how).unwrap();
    for c in 0..17 {
        let values: Vec<f64> = (0..10)
            .flat_map(|n| (0..25).map(move |p| (n, p)))
            .map(|(n, p)| f64::from(tensor.data[(n * 17 + c) * 25 + p]))
            .collect();
        let mean = values.iter().sum::<f64>() / 250.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 250.0;
        assert!((f64::from(moments.mean[c]) - mean).abs() < 1e-4);
        assert!((f64::from(moments.variance[c]) - variance).abs() < 1e-4 * variance);
    }
}
