//! Batch normalisation.

use quantbench_core::Tensor;

use super::{Init, OnTape};
use crate::autodiff::ops::{self, Moments, Norm};
use crate::autodiff::optim::OptimError;
use crate::autodiff::tape::{Tape, Value, Var};

/// Maps or vectors normalised per channel, with running moments (PyTorch's semantics and numbers:
/// epsilon 1e-5, momentum 0.1).
#[derive(Debug, Clone)]
pub struct BatchNorm {
    affine: Option<[usize; 2]>,
    epsilon: f32,
    momentum: f32,
    moments: Moments,
}

impl BatchNorm {
    /// With parameters `<name>.weight` of ones and `<name>.bias` of zeros, if it is to be affine.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(
        init: &mut Init<'_>,
        name: &str,
        channels: usize,
        affine: bool,
    ) -> Result<Self, OptimError> {
        let affine = affine.then(|| {
            let gamma = init.constant(&format!("{name}.weight"), &[channels], 1.0)?;
            let beta = init.constant(&format!("{name}.bias"), &[channels], 0.0)?;
            Ok([gamma, beta])
        });
        let moments = Moments { mean: vec![0.0; channels], variance: vec![1.0; channels] };
        Ok(Self { affine: affine.transpose()?, epsilon: 1e-5, momentum: 0.1, moments })
    }

    /// The running moments.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Normalised with the moments of the batch, which the running ones then follow; none if the
    /// input does not fit.
    pub fn train(&mut self, tape: &mut Tape, on: &OnTape, input: Var) -> Option<Var> {
        let (y, found) = self.apply(tape, on, input, None)?;
        let shape = tape.map(input).shape();
        self.moments.follow(&found, shape.images * shape.pixels(), self.momentum);
        Some(y)
    }

    /// Normalised with the running moments; none if the input does not fit.
    pub fn evaluate(&self, tape: &mut Tape, on: &OnTape, input: Var) -> Option<Var> {
        self.apply(tape, on, input, Some(&self.moments)).map(|(y, _)| y)
    }

    fn apply(
        &self,
        tape: &mut Tape,
        on: &OnTape,
        input: Var,
        frozen: Option<&Moments>,
    ) -> Option<(Var, Moments)> {
        let [gamma, beta] = if let Some([gamma, beta]) = self.affine {
            [on.get(gamma)?, on.get(beta)?]
        } else {
            let channels = self.moments.mean.len();
            [1.0, 0.0]
                .map(|v| tape.constant(Value::Flat(Tensor::new(vec![channels], vec![v; channels]))))
        };
        let how = Norm { epsilon: self.epsilon, frozen, relu: false };
        ops::norm(tape, input, gamma, beta, &how)
    }
}
