//! Maps as vectors, and fully connected layers.

use quantbench_core::Tensor;

use super::conv;
use crate::autodiff::kernels::plan::Window;
use crate::autodiff::map::{Device, Map, MapShape};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Maps as maps of one pixel whose channels are all numbers, channel after channel.
pub fn flatten(tape: &mut Tape, input: Var) -> Var {
    let x = tape.map(input);
    let shape = x.shape();
    if shape.pixels() == 1 {
        return input;
    }
    let y = reshaped(
        x,
        MapShape { channels: shape.channels * shape.pixels(), height: 1, width: 1, ..shape },
    );
    tape.push(&[input], Value::Map(y), Flatten(input))
}

/// The same numbers in the order of a tensor, with other dimensions per image.
fn reshaped(x: &Map, shape: MapShape) -> Map {
    let MapShape { images, channels, height, width } = shape;
    let tensor = Tensor::new(vec![images, channels, height, width], x.to_tensor().data);
    let device: &Device = x.device();
    device.map(&tensor).unwrap_or_else(|| device.zeros(shape))
}

struct Flatten(Var);

impl Op for Flatten {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let out = reshaped(&gradient, back.map(self.0).shape());
        back.give(self.0, Value::Map(out));
    }
}

/// Vectors (maps of one pixel) times weights `[output, input]`, and a bias `[output]` if there is
/// one; none if they do not fit.
pub fn linear(tape: &mut Tape, input: Var, weight: Var, bias: Option<Var>) -> Option<Var> {
    let w = tape.flat(weight);
    let [outputs, inputs] = *w.dims.as_slice() else { return None };
    let lifted = Tensor::new(vec![outputs, inputs, 1, 1], w.data.clone());
    let lifted = tape.push(&[weight], Value::Flat(lifted), Lifted(weight));
    conv(tape, input, lifted, bias, Window::square(1, 1, 0), 1)
}

/// Weights `[rows, columns]` as `[columns, rows]`.
pub fn transpose(tape: &mut Tape, weight: Var) -> Var {
    let turned = turned(tape.flat(weight));
    tape.push(&[weight], Value::Flat(turned), Transposed(weight))
}

fn turned(tensor: &Tensor) -> Tensor {
    let (rows, columns) = (tensor.dims[0], tensor.dims.get(1).copied().unwrap_or(1));
    let data = (0..rows * columns).map(|i| tensor.data[i % rows * columns + i / rows]).collect();
    Tensor::new(vec![columns, rows], data)
}

struct Transposed(Var);

impl Op for Transposed {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        back.give(self.0, Value::Flat(turned(&gradient)));
    }
}

/// Weights with two dimensions of one.
struct Lifted(Var);

impl Op for Lifted {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        gradient.dims.truncate(2);
        back.give(self.0, Value::Flat(gradient));
    }
}
