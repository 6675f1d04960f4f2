//! Rectified linear unit with a slope that is learned (He et al. 2015).

use pulp::Simd;
use quantbench_core::Tensor;

use super::norm::lanes;
use crate::autodiff::kernels::load;
use crate::autodiff::kernels::pointwise::{self, PerChannel, Reduce};
use crate::autodiff::map::Lanes;
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// `x` above zero, else `slope x`, with one slope or one per channel; none for other numbers.
pub fn prelu(tape: &mut Tape, input: Var, slope: Var) -> Option<Var> {
    let x = tape.map(input);
    let slopes = spread(&tape.flat(slope).data, x.shape().channels)?;
    let mut y = x.device().dirty(x.shape());
    pointwise::per_channel(Below(&slopes), [x], &mut y);
    Some(tape.push(&[input, slope], Value::Map(y), Prelu { input, slope }))
}

/// One slope per channel.
fn spread(slopes: &[f32], channels: usize) -> Option<Vec<Lanes>> {
    match slopes {
        [one] => Some(lanes(vec![*one; channels].into_iter())),
        _ if slopes.len() == channels => Some(lanes(slopes.iter().copied())),
        _ => None,
    }
}

struct Prelu {
    input: Var,
    slope: Var,
}

impl Op for Prelu {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let (x, slope) = (back.map(self.input), back.flat(self.slope));
        let [sums] = pointwise::reduce(Negative, [&gradient, x]);
        let data = if slope.data.len() == 1 {
            vec![sums.iter().sum::<f64>() as f32]
        } else {
            sums.iter().map(|s| *s as f32).collect()
        };
        let to_slope = Tensor::new(slope.dims.clone(), data);
        let Some(slopes) = spread(&slope.data, x.shape().channels) else { return };
        let mut out = x.device().dirty(x.shape());
        pointwise::per_channel(Below(&slopes), [&gradient, x], &mut out);
        back.give(self.input, Value::Map(out));
        back.give(self.slope, Value::Flat(to_slope));
    }
}

/// A number as it is where the input is above zero, else times the slope of its channel.
#[derive(Clone, Copy)]
struct Below<'a>(&'a [Lanes]);

impl PerChannel<1> for Below<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, block: usize, part: usize, [x]: [S::f32s; 1]) -> S::f32s {
        self.apply(simd, block, part, [x, x])
    }
}

impl PerChannel<2> for Below<'_> {
    /// Of a gradient and the input.
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, block: usize, part: usize, [g, x]: [S::f32s; 2]) -> S::f32s {
        let below = simd.mul_f32s(g, load::<S>(&self.0[block], part));
        simd.select_f32s(simd.greater_than_f32s(x, simd.splat_f32s(0.0)), g, below)
    }
}

/// The gradient times the input where that is not above zero.
#[derive(Clone, Copy)]
struct Negative;

impl Reduce<2, 1> for Negative {
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        simd: S,
        _block: usize,
        _part: usize,
        [g, x]: [S::f32s; 2],
    ) -> [S::f32s; 1] {
        [simd.mul_f32s(g, simd.min_f32s(x, simd.splat_f32s(0.0)))]
    }
}
