//! Convolution.

use quantbench_core::Tensor;

use crate::autodiff::kernels::conv::{self as dense, Channels, Packed};
use crate::autodiff::kernels::plan::{Plan, Window};
use crate::autodiff::kernels::{conv_weight, depthwise, pointwise};
use crate::autodiff::map::Map;
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Convolution of maps with weights `[output, input of the group, rows, columns]` and, if there
/// is one, a bias `[output]`; `groups` divides both numbers of channels.
///
/// None if the window does not fit the maps, or weights, bias and groups not each other.
pub fn conv(
    tape: &mut Tape,
    input: Var,
    weight: Var,
    bias: Option<Var>,
    window: Window,
    groups: usize,
) -> Option<Var> {
    let (x, w) = (tape.map(input), tape.flat(weight));
    let (shape, dims) = (x.shape(), &w.dims);
    let (&outputs, &per_group) = (dims.first()?, dims.get(1)?);
    let channels = Channels { inputs: shape.channels, outputs, groups, taps: window.taps() };
    let fits = dims.get(2..) == Some(&window.kernel[..])
        && groups > 0
        && per_group * groups == shape.channels
        && outputs % groups == 0
        && bias.is_none_or(|b| tape.flat(b).data.len() == outputs);
    let size = [shape.height, shape.width];
    let plan = Plan::forward(&window, size).filter(|_| fits)?;
    let empty = Tensor::default();
    let b = bias.map_or(&empty, |b| tape.flat(b));
    let mut y = x.device().dirty(shape.with(outputs, plan.output[0], plan.output[1]));
    if channels.alone() {
        let packed = depthwise::pack(&w.data, outputs, channels.taps);
        depthwise::pass(x, &plan, &packed, &b.data, &mut y);
    } else {
        dense::pass(x, &plan, &Packed::forward(&w.data, &channels), &b.data, &mut y);
    }
    let back = Plan::backward(&window, size)?;
    let inputs: Vec<Var> = [input, weight].into_iter().chain(bias).collect();
    let op = Conv { input, weight, bias, channels, plan, back };
    Some(tape.push(&inputs, Value::Map(y), op))
}

struct Conv {
    input: Var,
    weight: Var,
    bias: Option<Var>,
    channels: Channels,
    plan: Plan,
    back: Plan,
}

impl Op for Conv {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        if let Some(bias) = self.bias.filter(|b| back.wants(*b)) {
            let [sum] = pointwise::reduce(Itself, [&gradient]);
            let sum: Vec<f32> = sum.iter().map(|s| *s as f32).collect();
            back.give(bias, Value::Flat(Tensor::new(vec![sum.len()], sum)));
        }
        if back.wants(self.weight) {
            let input = back.map(self.input);
            let data = if self.channels.alone() {
                depthwise::weight_gradient(input, &self.plan, self.channels.taps, &gradient)
            } else {
                conv_weight::gradient(input, &self.plan, &self.channels, &gradient)
            };
            let dims = back.flat(self.weight).dims.clone();
            back.give(self.weight, Value::Flat(Tensor::new(dims, data)));
        }
        if back.wants(self.input) {
            let gradient = self.to_input(&gradient, back);
            back.give(self.input, Value::Map(gradient));
        }
    }
}

impl Conv {
    fn to_input(&self, gradient: &Map, back: &Back<'_>) -> Map {
        let input = back.map(self.input);
        let weight = &back.flat(self.weight).data;
        let mut out = input.device().dirty(input.shape());
        if self.channels.alone() {
            let packed = depthwise::pack(weight, self.channels.outputs, self.channels.taps);
            depthwise::pass(gradient, &self.back, &packed, &[], &mut out);
        } else {
            let packed = Packed::backward(weight, &self.channels);
            dense::pass(gradient, &self.back, &packed, &[], &mut out);
        }
        out
    }
}

#[derive(Clone, Copy)]
struct Itself;

impl pointwise::Reduce<1, 1> for Itself {
    #[inline(always)]
    fn terms<S: pulp::Simd>(
        &self,
        _simd: S,
        _block: usize,
        _part: usize,
        inputs: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        inputs
    }
}
