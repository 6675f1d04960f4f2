//! Stochastic gradient descent.

use super::error::OptimError;
use super::parameters::share;
use super::{Memory, Update};

/// How steps go on in the direction of the steps before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Momentum {
    /// Each step follows its own gradient alone.
    None,
    /// The buffer keeps this share of itself; 0 to below 1.
    Heavy(f64),
    /// The same, and the step looks one step ahead (Nesterov); above 0, below 1.
    Nesterov(f64),
}

/// `torch.optim.SGD` with dampening 0. With gradient g, parameter p, buffer b (0 at first), group's
/// weight decay w and learning rate r, momentum m:
///
/// 1. `g += w p`
/// 2. `b = m b + g`
/// 3. Nesterov: `g += m b`, else `g = b`
/// 4. `p -= r g`
///
/// Without momentum 2 and 3 fall away. The rate is not part of the buffer, so a change of the rate
/// acts at once on all of the step (unlike Sutskever et al. 2013).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// The momentum.
    pub momentum: Momentum,
}

impl Sgd {
    pub(super) fn check(&self) -> Result<(), OptimError> {
        match self.momentum {
            Momentum::None => Ok(()),
            Momentum::Heavy(share_kept) => share(share_kept, "the momentum"),
            // PyTorch refuses this too: there would be nothing to look ahead by.
            Momentum::Nesterov(0.0) => Err(OptimError::Setting {
                what: "the momentum of Nesterov's rule".to_string(),
                value: 0.0,
                expected: "a number above 0 and below 1",
            }),
            Momentum::Nesterov(share_kept) => share(share_kept, "the momentum of Nesterov's rule"),
        }
    }

    pub(super) fn update(
        &self,
        with: Update,
        value: &mut [f32],
        gradient: &[f32],
        memory: &mut Memory,
    ) {
        let (rate, decay) = (with.rate as f32, with.weight_decay as f32);
        let each = value.iter_mut().zip(gradient);
        match self.momentum {
            Momentum::None => {
                for (p, g) in each {
                    *p -= rate * (g + decay * *p);
                }
            }
            Momentum::Heavy(momentum) => {
                let momentum = momentum as f32;
                for ((p, g), b) in each.zip(&mut memory.first) {
                    *b = momentum * *b + (g + decay * *p);
                    *p -= rate * *b;
                }
            }
            Momentum::Nesterov(momentum) => {
                let momentum = momentum as f32;
                for ((p, g), b) in each.zip(&mut memory.first) {
                    let g = g + decay * *p;
                    *b = momentum * *b + g;
                    *p -= rate * (g + momentum * *b);
                }
            }
        }
    }
}
