//! Where parameters begin.

use quantbench_core::Tensor;
use quantbench_core::rng::Rng;

use crate::autodiff::optim::{OptimError, Parameters};

/// A normal number of mean zero and variance one (the polar method, Marsaglia and Bray 1964).
pub fn normal(rng: &mut Rng) -> f32 {
    loop {
        let [u, v] = [(); 2].map(|()| 2.0 * f64::from(rng.unit_f32()) - 1.0);
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return (u * (-2.0 * s.ln() / s).sqrt()) as f32;
        }
    }
}

/// Adds seeded parameters to a group.
pub struct Init<'a> {
    parameters: &'a mut Parameters,
    group: usize,
    rng: Rng,
}

impl<'a> Init<'a> {
    /// For the group at an index, with numbers of a stream.
    pub fn new(parameters: &'a mut Parameters, group: usize, rng: Rng) -> Self {
        Self { parameters, group, rng }
    }

    /// Uniform numbers within `1 / sqrt(fan)` of zero, PyTorch's for the weights and biases of
    /// layers with `fan` terms per output (He et al. 2015 with a slope of sqrt(5)).
    ///
    /// # Errors
    /// The name is taken, or the group does not exist.
    pub fn uniform(&mut self, name: &str, dims: &[usize], fan: usize) -> Result<usize, OptimError> {
        let bound = 1.0 / (fan.max(1) as f32).sqrt();
        self.each(name, dims, |rng| (2.0 * rng.unit_f32() - 1.0) * bound)
    }

    /// Normal numbers.
    ///
    /// # Errors
    /// As of [`Init::uniform`].
    pub fn normal(&mut self, name: &str, dims: &[usize]) -> Result<usize, OptimError> {
        self.each(name, dims, normal)
    }

    /// The same number everywhere.
    ///
    /// # Errors
    /// As of [`Init::uniform`].
    pub fn constant(
        &mut self,
        name: &str,
        dims: &[usize],
        value: f32,
    ) -> Result<usize, OptimError> {
        self.each(name, dims, |_| value)
    }

    fn each(
        &mut self,
        name: &str,
        dims: &[usize],
        mut number: impl FnMut(&mut Rng) -> f32,
    ) -> Result<usize, OptimError> {
        let count = dims.iter().product();
        let data = (0..count).map(|_| number(&mut self.rng)).collect();
        self.parameters.add(self.group, name, Tensor::new(dims.to_vec(), data))
    }
}
