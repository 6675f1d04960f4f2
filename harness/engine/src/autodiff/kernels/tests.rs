//! Every kernel against the definition, on every instruction set of this machine.

use proptest::prelude::*;
use quantbench_core::Tensor;

use super::conv::{self, Channels, Packed};
use super::plan::{Plan, Window};
use super::winograd::{self, Nine};
use super::{conv_weight, depthwise};
use crate::autodiff::isa::Isa;
use crate::autodiff::map::{BLOCK, Device, Lanes, MapShape};

/// Numbers between -1 and 1 that look random.
pub(crate) fn noise(dims: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let data = (0..dims.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::new(dims.to_vec(), data)
}

/// A case: images, input rows and columns, window, channels.
#[derive(Debug, Clone)]
struct Case {
    images: usize,
    size: [usize; 2],
    window: Window,
    channels: Channels,
}

impl Case {
    fn output(&self) -> [usize; 2] {
        self.window.output(self.size).unwrap()
    }

    fn input_dims(&self) -> [usize; 4] {
        [self.images, self.channels.inputs, self.size[0], self.size[1]]
    }

    fn output_dims(&self) -> [usize; 4] {
        [self.images, self.channels.outputs, self.output()[0], self.output()[1]]
    }

    fn weight_dims(&self) -> [usize; 3] {
        let Channels { inputs, outputs, groups, taps } = self.channels;
        [outputs, inputs / groups, taps]
    }

    /// Calls with (input, weight, output) of each product of the definition.
    fn products(&self, mut call: impl FnMut(usize, usize, usize)) {
        let ([_, _, h, w], [n, c, oh, ow]) = (self.input_dims(), self.output_dims());
        let Channels { inputs, outputs, groups, taps } = self.channels;
        let (per_in, per_out) = (inputs / groups, outputs / groups);
        let Window { kernel, stride, before, dilation, .. } = self.window;
        for i in 0..n * c * oh * ow {
            let (x, y, o, image) = (i % ow, i / ow % oh, i / (ow * oh) % c, i / (ow * oh * c));
            for (k, t) in (0..per_in).flat_map(|k| (0..taps).map(move |t| (k, t))) {
                let row = (y * stride[0] + t / kernel[1] * dilation[0]).wrapping_sub(before[0]);
                let column = (x * stride[1] + t % kernel[1] * dilation[1]).wrapping_sub(before[1]);
                if row < h && column < w {
                    let channel = o / per_out * per_in + k;
                    let from = ((image * inputs + channel) * h + row) * w + column;
                    call(from, (o * per_in + k) * taps + t, i);
                }
            }
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![
        (1usize..40, 1usize..40).prop_map(|(i, o)| (i, o, 1)),
        (1usize..5, 1usize..5, 2usize..9).prop_map(|(i, o, g)| (i * g, o * g, g)),
        (1usize..40).prop_map(|c| (c, c, c)),
        Just((32, 64, 2)),
    ];
    let window = (
        [1usize..4, 1usize..4],
        [1usize..4, 1usize..4],
        [0usize..3, 0usize..3],
        [0usize..3, 0usize..3],
        [1usize..3, 1usize..3],
    );
    let window = window.prop_map(|(kernel, stride, before, after, dilation)| Window {
        kernel,
        stride,
        before,
        after,
        dilation,
    });
    (1usize..11, [1usize..20, 1usize..20], window, channels)
        .prop_map(|(images, size, window, (inputs, outputs, groups))| Case {
            images,
            size,
            window,
            channels: Channels { inputs, outputs, groups, taps: window.taps() },
        })
        .prop_filter("the kernel fits", |case| case.window.output(case.size).is_some())
}

fn near(found: &[f32], want: &[f64], what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), want.len());
    let largest = want.iter().fold(1f64, |m, w| m.max(w.abs()));
    for (i, (f, w)) in found.iter().zip(want).enumerate() {
        prop_assert!((f64::from(*f) - w).abs() < 1e-5 * largest, "{what} {i}: {f} against {w}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn convolutions_are_those_of_the_definition(case in case(), seed in any::<u64>()) {
        let input = noise(&case.input_dims(), seed);
        let weights = noise(&case.weight_dims(), seed ^ 1);
        let bias = noise(&[case.channels.outputs], seed ^ 2);
        let gradient = noise(&case.output_dims(), seed ^ 3);
        let per_channel = gradient.data.len() / case.images / case.channels.outputs;
        let mut output: Vec<f64> = (0..gradient.data.len())
            .map(|i| f64::from(bias.data[i / per_channel % case.channels.outputs]))
            .collect();
        let (mut to_input, mut to_weights) =
            (vec![0.0; input.data.len()], vec![0.0; weights.data.len()]);
        case.products(|i, w, o| {
            let [x, k, g] = [input.data[i], weights.data[w], gradient.data[o]].map(f64::from);
            output[o] += x * k;
            to_input[i] += k * g;
            to_weights[w] += x * g;
        });
        let forward = Plan::forward(&case.window, case.size).unwrap();
        let backward = Plan::backward(&case.window, case.size).unwrap();
        for isa in Isa::available() {
            let device = Device::with(isa);
            let (x, g) = (device.map(&input).unwrap(), device.map(&gradient).unwrap());
            let mut y = device.dirty(MapShape::of(&case.output_dims()).unwrap());
            let mut dx = device.dirty(x.shape());
            let what = |what: &str| format!("{what} on {}", isa.name());
            let Channels { inputs, outputs, groups, taps } = case.channels;
            conv::pass(&x, &forward, &Packed::forward(&weights.data, &case.channels), &bias.data, &mut y);
            near(&y.to_tensor().data, &output, &what("output"))?;
            conv::pass(&g, &backward, &Packed::backward(&weights.data, &case.channels), &[], &mut dx);
            near(&dx.to_tensor().data, &to_input, &what("input"))?;
            let dw = conv_weight::gradient(&x, &forward, &case.channels, &g);
            near(&dw, &to_weights, &what("weights"))?;
            if inputs == groups && outputs == groups {
                let packed = depthwise::pack(&weights.data, inputs, taps);
                depthwise::pass(&x, &forward, &packed, &bias.data, &mut y);
                near(&y.to_tensor().data, &output, &what("depthwise output"))?;
                depthwise::pass(&g, &backward, &packed, &[], &mut dx);
                near(&dx.to_tensor().data, &to_input, &what("depthwise input"))?;
                let dw = depthwise::weight_gradient(&x, &forward, taps, &g);
                near(&dw, &to_weights, &what("depthwise weights"))?;
            }
        }
    }
}

/// Kernels of three rows and columns, steps of one, and more room than pixels, or fewer.
fn nine() -> impl Strategy<Value = Case> {
    let zeros = || [0usize..4, 0usize..4];
    let shape = (1usize..3, [1usize..20, 1usize..20], 1usize..40, 1usize..70);
    (shape, zeros(), zeros())
        .prop_map(|((images, size, inputs, outputs), before, after)| {
            let window = Window { before, after, ..Window::square(3, 1, 0) };
            let channels = Channels { inputs, outputs, groups: 1, taps: 9 };
            Case { images, size, window, channels }
        })
        .prop_filter("there is a tile", |case| {
            let output = case.window.output(case.size);
            output.is_some_and(|output| output.iter().chain(&case.size).all(|size| *size >= 2))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn fewer_products_give_the_same(case in nine(), seed in any::<u64>()) {
        let input = noise(&case.input_dims(), seed);
        let weights = noise(&case.weight_dims(), seed ^ 1);
        let gradient = noise(&case.output_dims(), seed ^ 2);
        let (mut output, mut to_input) = (vec![0.0; gradient.data.len()], vec![0.0; input.data.len()]);
        case.products(|i, w, o| {
            output[o] += f64::from(input.data[i]) * f64::from(weights.data[w]);
            to_input[i] += f64::from(gradient.data[o]) * f64::from(weights.data[w]);
        });
        let forward = Plan::forward(&case.window, case.size).unwrap();
        let backward = Plan::backward(&case.window, case.size).unwrap();
        let Channels { inputs, outputs, .. } = case.channels;
        let start = |channels: usize| vec![Lanes::ZERO; channels.div_ceil(BLOCK)];
        for isa in Isa::available() {
            let device = Device::with(isa);
            let (x, g) = (device.map(&input).unwrap(), device.map(&gradient).unwrap());
            let mut y = device.dirty(g.shape());
            let mut dx = device.dirty(x.shape());
            let packed = Packed::forward(&weights.data, &case.channels);
            let nine = Nine::of(&forward).unwrap();
            winograd::pass(&x, &forward, &nine, &packed, &start(outputs), &mut y);
            near(&y.to_tensor().data, &output, &format!("output on {}", isa.name()))?;
            let packed = Packed::backward(&weights.data, &case.channels);
            let nine = Nine::of(&backward).unwrap();
            winograd::pass(&g, &backward, &nine, &packed, &start(inputs), &mut dx);
            near(&dx.to_tensor().data, &to_input, &format!("input on {}", isa.name()))?;
        }
    }
}

#[test]
fn only_three_rows_and_columns_with_steps_of_one_take_fewer_products() {
    let fits = |window: Window, size| Nine::of(&Plan::forward(&window, size).unwrap()).is_some();
    assert!(fits(Window::square(3, 1, 1), [2, 2]));
    assert!(!fits(Window::square(3, 1, 0), [3, 4]));
    assert!(!fits(Window::square(3, 2, 1), [8, 8]));
    assert!(!fits(Window { dilation: [1, 2], ..Window::square(3, 1, 2) }, [8, 8]));
    assert!(!fits(Window { kernel: [1, 9], ..Window::square(3, 1, 4) }, [8, 8]));
    let back = Plan::backward(&Window::square(3, 2, 1), [8, 8]).unwrap();
    assert_eq!(Nine::of(&back), None);
}

#[test]
fn sums_do_not_depend_on_the_number_of_threads() {
    let channels = Channels { inputs: 20, outputs: 40, groups: 1, taps: 9 };
    let window = Window::square(3, 2, 1);
    let plan = Plan::forward(&window, [9, 9]).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Device::new();
            let x = device.map(&noise(&[37, 20, 9, 9], 1)).unwrap();
            let g = device.map(&noise(&[37, 40, 5, 5], 2)).unwrap();
            conv_weight::gradient(&x, &plan, &channels, &g)
        })
    };
    let one = on(1);
    assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one));
}
