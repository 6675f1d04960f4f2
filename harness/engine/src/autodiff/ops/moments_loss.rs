//! How far the moments of a batch are from stored ones, the loss by which images are made to look
//! to a network like those that it was trained on.

use quantbench_core::Tensor;

use super::norm::{Line, Moments, lanes, moments_of};
use crate::autodiff::kernels::pointwise;
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Squared differences of the means and of the variances of a batch from a target, each averaged
/// over channels (the loss of batch norm statistics of GDFQ, Xu et al. 2020, eq. 5).
///
/// Variances are those of the batch, sums of squares over the number of values. None if the
/// channels are not those of the target, or there are no values.
pub fn moments_loss(tape: &mut Tape, input: Var, target: &Moments) -> Option<Var> {
    let x = tape.map(input);
    let shape = x.shape();
    let fits = [target.mean.len(), target.variance.len()] == [shape.channels; 2];
    let found = moments_of(x).filter(|_| fits)?;
    let off = |found: &[f32], target: &[f32]| -> Vec<f32> {
        found.iter().zip(target).map(|(f, t)| f - t).collect()
    };
    let mean = off(&found.mean, &target.mean);
    let variance = off(&found.variance, &target.variance);
    let squares = mean.iter().chain(&variance).map(|d| f64::from(*d).powi(2));
    let loss = squares.sum::<f64>() / shape.channels as f64;
    // d/dx = 2/(C M) (mean off) + 2/(C M) (variance off) 2 (x - mean), with M values per channel.
    let share = 2.0 / (shape.channels * shape.images * shape.pixels()) as f32;
    let slope: Vec<f32> = variance.iter().map(|v| 2.0 * share * v).collect();
    let offset =
        mean.iter().zip(slope.iter().zip(&found.mean)).map(|(d, (s, m))| share * d - s * m);
    let op = MomentsLoss { input, offset: offset.collect(), slope };
    Some(tape.push(&[input], Value::Flat(Tensor::new(vec![1], vec![loss as f32])), op))
}

struct MomentsLoss {
    input: Var,
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl Op for MomentsLoss {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        let x = back.map(self.input);
        let scaled = |v: &[f32]| lanes(v.iter().map(|v| v * gradient.data[0]));
        let (slope, offset) = (scaled(&self.slope), scaled(&self.offset));
        let mut out = x.device().dirty(x.shape());
        let line = Line { slope: &slope, offset: &offset, relu: false };
        pointwise::per_channel(line, [x], &mut out);
        back.give(self.input, Value::Map(out));
    }
}
