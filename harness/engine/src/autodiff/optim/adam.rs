//! Adam.

use super::error::OptimError;
use super::parameters::{not_negative, share};
use super::{Memory, Update};

/// What weight decay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// It is added to the gradient, and so divided like it: `torch.optim.Adam`.
    Gradient,
    /// It shrinks the values by `rate * weight_decay` of themselves: `torch.optim.AdamW`
    /// (Loshchilov and Hutter 2019).
    Decoupled,
}

/// Adam (Kingma and Ba 2015) as in PyTorch. With gradient g, parameter p, group's weight decay w and
/// learning rate r, and t updates of the parameter, this one included:
///
/// 1. `g += w p`, or decoupled `p *= 1 - r w`
/// 2. `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`
/// 3. `p -= r / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)`
///
/// So ε stands outside of the root and is added after the correction of v: a paper that states it
/// otherwise (TensorFlow's "ε hat") needs another number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Share that the mean of the gradients keeps; 0 to below 1.
    pub beta1: f64,
    /// Share that the mean of the squared gradients keeps; 0 to below 1.
    pub beta2: f64,
    /// Added to the divisor; not negative.
    pub epsilon: f64,
    /// What weight decay does.
    pub decay: Decay,
}

/// PyTorch's defaults.
impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: Decay::Gradient }
    }
}

impl Adam {
    pub(super) fn check(&self) -> Result<(), OptimError> {
        share(self.beta1, "beta1 of Adam")?;
        share(self.beta2, "beta2 of Adam")?;
        not_negative(self.epsilon, || "epsilon of Adam".to_string())
    }

    pub(super) fn update(
        &self,
        with: Update,
        value: &mut [f32],
        gradient: &[f32],
        memory: &mut Memory,
    ) {
        let (decay, shrink) = match self.decay {
            Decay::Gradient => (with.weight_decay as f32, 1.0),
            Decay::Decoupled => (0.0, (1.0 - with.rate * with.weight_decay) as f32),
        };
        // Corrections in FP64, as Python computes them; what meets tensors is FP32.
        let rate = (with.rate / (1.0 - power(self.beta1, with.count))) as f32;
        let root = (1.0 - power(self.beta2, with.count)).sqrt() as f32;
        let (beta1, rest1) = (self.beta1 as f32, (1.0 - self.beta1) as f32);
        let (beta2, rest2) = (self.beta2 as f32, (1.0 - self.beta2) as f32);
        let epsilon = self.epsilon as f32;
        let means = memory.first.iter_mut().zip(&mut memory.second);
        for ((p, g), (m, v)) in value.iter_mut().zip(gradient).zip(means) {
            let g = g + decay * *p;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *p = *p * shrink - rate * (*m / (v.sqrt() / root + epsilon));
        }
    }
}

/// A power by multiplications alone: the same bits on every machine, which `powi` and the
/// system's `pow` do not promise.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut square, mut product) = (base, 1.0);
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= square;
        }
        square *= square;
        exponent /= 2;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn powers_are_those_of_the_library() {
        for base in [0.0f64, 0.5, 0.9, 0.999] {
            for exponent in [0, 1, 2, 3, 17, 1000, 64_001] {
                let expected = base.powf(exponent as f64);
                let found = power(base, exponent);
                assert!((found - expected).abs() <= 1e-11 * expected, "{base}^{exponent}");
            }
        }
    }
}
