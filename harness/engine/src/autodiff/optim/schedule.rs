//! Learning rates over the steps of a training.

use std::f64::consts::PI;

use thiserror::Error;

/// How the rate falls after the warm-up.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Not at all.
    Constant,
    /// Along half a cosine from the base to a floor, which the step after the last one would have:
    /// `torch.optim.lr_scheduler.CosineAnnealingLR` with `T_max` = steps after the warm-up.
    Cosine {
        /// A rate from 0 to the base, PyTorch's `eta_min`.
        floor: f64,
    },
    /// By a factor at each milestone: `torch.optim.lr_scheduler.MultiStepLR`.
    Steps {
        /// Steps that are the first with a lower rate, rising, counted from 0 at the start of the
        /// training, the warm-up included.
        milestones: Vec<usize>,
        /// What the rate is multiplied by, PyTorch's `gamma`; 0 to 1.
        factor: f64,
    },
    /// Along a line from the base to zero, which the step after the last one would have: `LambdaLR`
    /// with `1 - step / steps`.
    Linear,
}

/// A learning rate for each step. A step may stand for an epoch, where a paper changes the rate
/// once per epoch: then there are as many steps as epochs.
///
/// A warm-up of k steps rises along a line: step i < k has `base (i + 1) / (k + 1)`, so that no step
/// is wasted on a rate of zero and step k is the first with all of the base. That is PyTorch's
/// `LinearLR(start_factor=1/(k+1), total_iters=k)`, followed in a `SequentialLR` by the shape over
/// the remaining steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    shape: Shape,
    base: f64,
    warm_up: usize,
    steps: usize,
}

/// A schedule that cannot be, or a step that is not in it. Steps count from 0.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ScheduleError {
    /// No steps.
    #[error("a schedule of 0 steps was asked for; expected 1 or more")]
    NoSteps,
    /// A warm-up that never ends.
    #[error("a warm-up of {warm_up} steps leaves none of {steps}; expected fewer")]
    WarmUp {
        /// Steps of the warm-up.
        warm_up: usize,
        /// All steps.
        steps: usize,
    },
    /// A base that is no learning rate.
    #[error("the learning rate is {base}; expected a finite number that is not negative")]
    Base {
        /// The base.
        base: f64,
    },
    /// A floor that is above the base or no learning rate.
    #[error("the lowest learning rate is {floor}; expected a number from 0 to {base}, the highest")]
    Floor {
        /// The floor.
        floor: f64,
        /// The base.
        base: f64,
    },
    /// A factor that does not lower.
    #[error("the learning rate is to be multiplied by {factor}; expected a number from 0 to 1")]
    Factor {
        /// The factor.
        factor: f64,
    },
    /// Milestones that do not rise, or not from the warm-up to the end.
    #[error(
        "milestone {milestone} does not come after {after} and before {steps}, the number of \
         steps; expected rising steps after the warm-up"
    )]
    Milestone {
        /// The milestone.
        milestone: usize,
        /// The milestone before, else the last step of the warm-up or step 0.
        after: usize,
        /// All steps.
        steps: usize,
    },
    /// A step at or behind the end.
    #[error("the learning rate of step {step} was asked for; the steps are 0 to {}", .steps - 1)]
    Step {
        /// The step.
        step: usize,
        /// All steps.
        steps: usize,
    },
}

impl Schedule {
    /// A schedule over `steps` steps, of which the first `warm_up` rise to the rate `base`.
    ///
    /// # Errors
    /// There are no steps or only those of the warm-up, or a number is out of its range.
    pub fn new(
        shape: Shape,
        base: f64,
        warm_up: usize,
        steps: usize,
    ) -> Result<Self, ScheduleError> {
        if steps == 0 {
            return Err(ScheduleError::NoSteps);
        }
        if warm_up >= steps {
            return Err(ScheduleError::WarmUp { warm_up, steps });
        }
        if !(base.is_finite() && base >= 0.0) {
            return Err(ScheduleError::Base { base });
        }
        match &shape {
            Shape::Cosine { floor } if !(0.0..=base).contains(floor) => {
                return Err(ScheduleError::Floor { floor: *floor, base });
            }
            Shape::Steps { factor, .. } if !(0.0..=1.0).contains(factor) => {
                return Err(ScheduleError::Factor { factor: *factor });
            }
            Shape::Steps { milestones, .. } => {
                let mut after = warm_up.saturating_sub(1);
                for &milestone in milestones {
                    if milestone <= after || milestone >= steps {
                        return Err(ScheduleError::Milestone { milestone, after, steps });
                    }
                    after = milestone;
                }
            }
            _ => {}
        }
        Ok(Self { shape, base, warm_up, steps })
    }

    /// Number of steps, the warm-up included.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The learning rate of a step, counted from 0.
    ///
    /// # Errors
    /// The step is not below [`Schedule::steps`].
    pub fn rate(&self, step: usize) -> Result<f64, ScheduleError> {
        if step >= self.steps {
            return Err(ScheduleError::Step { step, steps: self.steps });
        }
        let Some(after) = step.checked_sub(self.warm_up) else {
            return Ok(self.base * (step + 1) as f64 / (self.warm_up + 1) as f64);
        };
        let done = after as f64 / (self.steps - self.warm_up) as f64;
        Ok(match &self.shape {
            Shape::Constant => self.base,
            Shape::Cosine { floor } => {
                floor + (self.base - floor) * (1.0 + (PI * done).cos()) / 2.0
            }
            Shape::Steps { milestones, factor } => {
                let passed = milestones.iter().filter(|milestone| **milestone <= step);
                passed.fold(self.base, |rate, _| rate * factor)
            }
            Shape::Linear => self.base * (1.0 - done),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rates(shape: Shape, base: f64, warm_up: usize, steps: usize) -> Vec<f64> {
        let schedule = Schedule::new(shape, base, warm_up, steps).unwrap();
        (0..steps).map(|step| schedule.rate(step).unwrap()).collect()
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (step, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() < 1e-9, "step {step}: {f} is not {e}");
        }
    }

    #[test]
    fn a_cosine_has_known_values() {
        // (1 + cos 18k°) / 20 for k = 0..10, from a table of cosines.
        let expected = [
            0.1,
            0.097_552_825_8,
            0.090_450_849_7,
            0.079_389_262_6,
            0.065_450_849_7,
            0.05,
            0.034_549_150_3,
            0.020_610_737_4,
            0.009_549_150_3,
            0.002_447_174_2,
        ];
        near(&rates(Shape::Cosine { floor: 0.0 }, 0.1, 0, 10), &expected);
        let raised: Vec<f64> = expected.iter().map(|r| 0.02 + 0.8 * r).collect();
        near(&rates(Shape::Cosine { floor: 0.02 }, 0.1, 0, 10), &raised);
    }

    #[test]
    fn milestones_count_from_the_start_and_the_warm_up_rises() {
        let shape = Shape::Steps { milestones: vec![4, 6], factor: 0.1 };
        let expected = [0.4, 0.4, 0.4, 0.4, 0.04, 0.04, 0.004, 0.004];
        near(&rates(shape.clone(), 0.4, 0, 8), &expected);
        let expected = [0.1, 0.2, 0.3, 0.4, 0.04, 0.04, 0.004, 0.004];
        near(&rates(shape, 0.4, 3, 8), &expected);
    }

    #[test]
    fn lines_and_constants_have_known_values() {
        near(&rates(Shape::Linear, 1.0, 0, 5), &[1.0, 0.8, 0.6, 0.4, 0.2]);
        near(&rates(Shape::Linear, 1.0, 1, 5), &[0.5, 1.0, 0.75, 0.5, 0.25]);
        near(&rates(Shape::Constant, 0.3, 2, 4), &[0.1, 0.2, 0.3, 0.3]);
    }

    proptest! {
        /// PyTorch's scheduler makes each rate from the rate before.
        #[test]
        fn a_cosine_is_pytorchs_recursion(
            base in 0.01f64..1.0, share in 0.0f64..1.0, warm_up in 0usize..5, steps in 1usize..300,
        ) {
            let (floor, horizon) = (base * share, steps as f64);
            let found = rates(Shape::Cosine { floor }, base, warm_up, warm_up + steps);
            let mut rate = base;
            for (t, found) in found[warm_up..].iter().enumerate() {
                prop_assert!((found - rate).abs() < 1e-8 * base, "step {}: {} {}", t, found, rate);
                let t = t as f64;
                rate = (1.0 + (PI * (t + 1.0) / horizon).cos()) / (1.0 + (PI * t / horizon).cos())
                    * (rate - floor)
                    + floor;
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let new = |shape, base, warm_up, steps| {
            Schedule::new(shape, base, warm_up, steps).unwrap_err().to_string()
        };
        let steps =
            |milestones: &[usize], factor| Shape::Steps { milestones: milestones.to_vec(), factor };
        assert!(new(Shape::Constant, 0.1, 0, 0).contains("0 steps"));
        assert!(new(Shape::Linear, 0.1, 5, 5).contains("leaves none of 5"));
        assert!(new(Shape::Linear, f64::NAN, 0, 5).contains("NaN"));
        assert!(new(Shape::Linear, -0.1, 0, 5).contains("-0.1"));
        assert!(new(Shape::Cosine { floor: 0.2 }, 0.1, 0, 5).contains("from 0 to 0.1"));
        assert!(new(steps(&[3], f64::NAN), 0.1, 0, 5).contains("NaN"));
        for (milestones, warm_up) in
            [(&[0][..], 0), (&[5], 0), (&[3, 2], 0), (&[2, 2], 0), (&[1], 3)]
        {
            let message = new(steps(milestones, 0.1), 0.1, warm_up, 5);
            assert!(message.contains("rising steps after the warm-up"), "{milestones:?} {message}");
        }
        let schedule = Schedule::new(Shape::Constant, 0.1, 0, 5).unwrap();
        assert!(schedule.rate(4).is_ok());
        assert!(schedule.rate(5).unwrap_err().to_string().contains("the steps are 0 to 4"));
    }
}
