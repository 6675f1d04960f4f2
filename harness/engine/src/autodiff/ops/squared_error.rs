//! Squared error of maps, the loss of reconstruction.

use pulp::Simd;
use quantbench_core::Tensor;

use crate::autodiff::kernels::pointwise::{self, Pointwise, Reduce};
use crate::autodiff::map::Map;
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Mean over images and pixels of the squared error summed over channels; none if the target has
/// another shape.
///
/// With weights, a map of the same shape, each squared error counts that often.
pub fn squared_error(
    tape: &mut Tape,
    input: Var,
    target: Map,
    weights: Option<Map>,
) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let places = shape.images * shape.pixels();
    let fits = target.shape() == shape && weights.as_ref().is_none_or(|w| w.shape() == shape);
    if !fits || places == 0 {
        return None;
    }
    let [sum] = match &weights {
        None => pointwise::reduce(Error, [x, &target]),
        Some(weights) => pointwise::reduce(Error, [x, &target, weights]),
    };
    let loss = sum.iter().sum::<f64>() / places as f64;
    let value = Value::Flat(Tensor::new(vec![1], vec![loss as f32]));
    let op = SquaredError { input, target, weights, scale: 2.0 / places as f32 };
    Some(tape.push(&[input], value, op))
}

struct SquaredError {
    input: Var,
    target: Map,
    weights: Option<Map>,
    scale: f32,
}

impl Op for SquaredError {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        let x = back.map(self.input);
        let mut out = x.device().dirty(x.shape());
        let slope = Slope(self.scale * gradient.data[0]);
        match &self.weights {
            None => pointwise::apply(slope, [x, &self.target], &mut out),
            Some(weights) => pointwise::apply(slope, [x, &self.target, weights], &mut out),
        }
        back.give(self.input, Value::Map(out));
    }
}

#[derive(Clone, Copy)]
struct Error;

impl Reduce<2, 1> for Error {
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        simd: S,
        _block: usize,
        _part: usize,
        [x, t]: [S::f32s; 2],
    ) -> [S::f32s; 1] {
        let d = simd.sub_f32s(x, t);
        [simd.mul_f32s(d, d)]
    }
}

impl Reduce<3, 1> for Error {
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        simd: S,
        _block: usize,
        _part: usize,
        [x, t, w]: [S::f32s; 3],
    ) -> [S::f32s; 1] {
        let d = simd.sub_f32s(x, t);
        [simd.mul_f32s(simd.mul_f32s(d, d), w)]
    }
}

#[derive(Clone, Copy)]
struct Slope(f32);

impl Pointwise<2> for Slope {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [x, t]: [S::f32s; 2]) -> S::f32s {
        simd.mul_f32s(simd.sub_f32s(x, t), simd.splat_f32s(self.0))
    }
}

impl Pointwise<3> for Slope {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, [x, t, w]: [S::f32s; 3]) -> S::f32s {
        let d = simd.mul_f32s(simd.sub_f32s(x, t), w);
        simd.mul_f32s(d, simd.splat_f32s(self.0))
    }
}
