//! What a method that trains grids has to say about them.

use quantbench_core::{Bits, Grid, QuantTensor, Tensor};
use quantbench_engine::autodiff::{Tape, Var};

use crate::contract::MethodError;

/// A parameter of a grid as it begins, and how it is trained.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// Its value at the start.
    pub(crate) value: Tensor,
    /// What the learning rate is multiplied with.
    pub(crate) rate: f64,
    /// Weight decay.
    pub(crate) decay: f64,
    /// Smallest and largest value that any of its numbers may reach.
    pub(crate) within: (f32, f32),
}

impl Parameter {
    /// Numbers that are trained at the network's rate, without decay, within any bounds.
    pub(crate) fn of(values: Vec<f32>) -> Self {
        let value = Tensor::new(vec![values.len()], values);
        Self { value, rate: 1.0, decay: 0.0, within: (f32::MIN, f32::MAX) }
    }

    /// The same with another rate and decay.
    #[must_use]
    pub(crate) fn trained(self, rate: f64, decay: f64) -> Self {
        Self { rate, decay, ..self }
    }

    /// The same, kept within bounds.
    #[must_use]
    pub(crate) fn within(self, low: f32, high: f32) -> Self {
        Self { within: (low, high), ..self }
    }
}

/// How the loss curves in the numbers that a grid gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Curvature {
    /// Trace of the Hessian over the number of numbers.
    pub(crate) trace: f64,
    /// Standard deviation of the gradient.
    pub(crate) deviation: f64,
}

/// A grid in training.
///
/// What is no parameter but changes from step to step is its state, which has to outlive an
/// interruption: [`Trained::state`] and [`Trained::restore`].
pub(crate) trait Trained: Send {
    /// Its parameters as they begin.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Puts a value on the grid. `own` are its parameters, in order. None if the value does not
    /// fit.
    fn apply(&mut self, tape: &mut Tape, value: Var, own: &[Var]) -> Option<Var>;

    /// Told before each step which of how many it is.
    fn begin(&mut self, step: usize, steps: usize) {
        let _ = (step, steps);
    }

    /// Told how the loss curves where the grid puts its numbers, if the method asks for that.
    fn curvature(&mut self, found: Curvature) {
        let _ = found;
    }

    /// What it remembers beside parameters.
    fn state(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Takes up what it remembered.
    fn restore(&mut self, state: &[f32]) {
        let _ = state;
    }
}

/// A grid of a layer's weights.
pub(crate) trait WeightGrid: Trained {
    /// Trained weights on the trained grid, batch norm not folded.
    fn quantized(&self, weights: &Tensor, own: &[Tensor]) -> QuantTensor;
}

/// A grid of a value.
pub(crate) trait ValueGrid: Trained {
    /// The trained grid.
    fn grid(&self, own: &[Tensor]) -> Grid;
}

/// Weights whose grid begins.
pub(crate) struct WeightStart<'a> {
    /// The weights.
    pub(crate) weights: &'a Tensor,
    /// Axis of the output channels.
    pub(crate) axis: usize,
    /// Width.
    pub(crate) bits: Bits,
}

impl WeightStart<'_> {
    /// Mean of the magnitudes.
    pub(crate) fn mean_abs(&self) -> f64 {
        mean_abs(&self.weights.data)
    }

    /// What levels are multiplied with so that their mean magnitude is that of the weights: behind
    /// a batch norm that changes nothing, in front of none it keeps what the layer gives.
    pub(crate) fn scale_of(&self, quantized: &QuantTensor) -> f32 {
        positive(self.mean_abs() / mean_abs(&quantized.dequantize().data).max(1e-30))
    }

    /// Mean and standard deviation.
    pub(crate) fn moments(&self) -> (f64, f64) {
        moments(&self.weights.data)
    }
}

/// A value whose grid begins with what a first batch shows.
pub(crate) struct ValueStart<'a> {
    /// Numbers of the first batch.
    pub(crate) seen: &'a [f32],
    /// How many of them are one image's.
    pub(crate) per_image: usize,
    /// The smallest, or zero if that is less.
    pub(crate) least: f32,
    /// The largest, or zero if that is more.
    pub(crate) most: f32,
    /// Width.
    pub(crate) bits: Bits,
}

impl ValueStart<'_> {
    /// Whether any number is negative.
    pub(crate) fn signed(&self) -> bool {
        self.least < 0.0
    }
}

/// The grids of a method.
pub(crate) trait Grids {
    /// Widest widths of weights and of activations that these grids are for; sites that are wider
    /// (first and last layers) get uniform grids over what was seen.
    fn widest(&self) -> (u8, u8) {
        (8, 8)
    }

    /// After how many epochs each the curvature is measured; none if it is not.
    fn curvature_every(&self) -> Option<usize> {
        None
    }

    /// Begins the grid of a layer's weights.
    fn weight(&self, start: &WeightStart<'_>) -> Result<Box<dyn WeightGrid>, MethodError>;

    /// Begins the grid of a value that is not the image.
    fn value(&self, start: &ValueStart<'_>) -> Result<Box<dyn ValueGrid>, MethodError>;
}

/// The numbers of each channel along an axis.
pub(crate) fn rows(tensor: &Tensor, axis: usize) -> Vec<Vec<f32>> {
    let inner: usize = tensor.dims[axis + 1..].iter().product();
    let mut rows = vec![Vec::new(); tensor.dims[axis]];
    let count = rows.len();
    for (i, part) in tensor.data.chunks(inner.max(1)).enumerate() {
        rows[i % count].extend_from_slice(part);
    }
    rows
}

/// Smallest and largest code around zero: one more below than above.
pub(crate) fn signed_codes(bits: Bits) -> (i32, i32) {
    let half = 1 << (bits.get() - 1);
    (-half, half - 1)
}

/// Largest code from zero.
pub(crate) fn top_code(bits: Bits) -> i32 {
    (1 << bits.get()) - 1
}

/// Mean of magnitudes; zero without numbers.
pub(crate) fn mean_abs(numbers: &[f32]) -> f64 {
    let sum: f64 = numbers.iter().map(|v| f64::from(v.abs())).sum();
    sum / numbers.len().max(1) as f64
}

/// Mean and standard deviation; zeros without numbers.
pub(crate) fn moments(numbers: &[f32]) -> (f64, f64) {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    (mean, (squares / count).sqrt())
}

/// A positive number, or one.
pub(crate) fn positive(value: f64) -> f32 {
    let value = value as f32;
    if value > 0.0 && value.is_finite() { value } else { 1.0 }
}
