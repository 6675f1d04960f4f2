//! Maps as vectors, and fully connected layers.

use quantbench_core::Tensor;

use super::{Moves, conv, rearrange};
use crate::autodiff::kernels::plan::Window;
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Maps as maps of one pixel whose channels are all numbers, channel after channel.
pub fn flatten(tape: &mut Tape, input: Var) -> Var {
    let shape = tape.map(input).shape();
    let all = [shape.channels * shape.pixels(), 1, 1];
    reshape(tape, input, all).unwrap_or(input)
}

/// The same numbers in the order of a tensor, with other channels, rows and columns; none if there
/// are not as many.
pub fn reshape(tape: &mut Tape, input: Var, to: [usize; 3]) -> Option<Var> {
    let shape = tape.map(input).shape();
    let from = [shape.channels, shape.height, shape.width];
    if from == to {
        return Some(input);
    }
    rearrange(tape, input, Moves::reshape(from, to)?)
}

/// Vectors (maps of one pixel) times weights `[output, input]`, and a bias `[output]` if there is
/// one; none if they do not fit.
pub fn linear(tape: &mut Tape, input: Var, weight: Var, bias: Option<Var>) -> Option<Var> {
    let w = tape.flat(weight);
    let [outputs, inputs] = *w.dims.as_slice() else { return None };
    let lifted = with_dims(tape, weight, &[outputs, inputs, 1, 1])?;
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

/// A tensor with other dimensions; none if it does not have as many numbers.
pub fn with_dims(tape: &mut Tape, input: Var, dims: &[usize]) -> Option<Var> {
    let data = &tape.flat(input).data;
    if data.len() != dims.iter().product::<usize>() {
        return None;
    }
    let value = Value::Flat(Tensor::new(dims.to_vec(), data.clone()));
    Some(tape.push(&[input], value, WithDims(input)))
}

struct WithDims(Var);

impl Op for WithDims {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(mut gradient) = gradient else { return };
        gradient.dims.clone_from(&back.flat(self.0).dims);
        back.give(self.0, Value::Flat(gradient));
    }
}
