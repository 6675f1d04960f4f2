//! What can be wrong with parameters, gradients and saved states.

use std::fmt;

use thiserror::Error;

/// The two tensors of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tensors {
    /// Its value.
    Parameter,
    /// The gradient of the loss with respect to it.
    Gradient,
}

impl fmt::Display for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tensors::Parameter => "parameter",
            Tensors::Gradient => "the gradient of parameter",
        })
    }
}

/// Parameters that cannot be trained, or not any further.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum OptimError {
    /// Nothing to train.
    #[error("there are no parameters to train; expected at least one")]
    NoParameters,
    /// A setting outside of its range.
    #[error("{what} is {value}; expected {expected}")]
    Setting {
        /// Which setting, with its group where it belongs to one.
        what: String,
        /// What it is.
        value: f64,
        /// The range in words.
        expected: &'static str,
    },
    /// A group that does not exist.
    #[error("parameter {name:?} is to be in group {group} of {groups}; add the group first")]
    Group {
        /// The parameter.
        name: String,
        /// Index of the group.
        group: usize,
        /// Number of groups.
        groups: usize,
    },
    /// Two parameters of one name.
    #[error("there are two parameters {name:?}; expected names that differ")]
    Twice {
        /// The name.
        name: String,
    },
    /// A value with which training cannot begin.
    #[error(
        "parameter {name:?} is {value} at element {at} before training; look for infinite or NaN \
         weights in the model"
    )]
    Initial {
        /// The parameter.
        name: String,
        /// Position in its row-major values.
        at: usize,
        /// What is there.
        value: f32,
    },
    /// Not as many gradients as parameters.
    #[error("there are {gradients} gradients for {parameters} parameters; expected one for each")]
    Count {
        /// Number of gradients.
        gradients: usize,
        /// Number of parameters.
        parameters: usize,
    },
    /// A gradient of other dimensions.
    #[error(
        "the gradient of parameter {name:?} has dimensions {gradient:?}; expected those of the \
         parameter, {parameter:?}"
    )]
    Dims {
        /// The parameter.
        name: String,
        /// Dimensions of the gradient.
        gradient: Vec<usize>,
        /// Dimensions of the parameter.
        parameter: Vec<usize>,
    },
    /// A learning rate that is none.
    #[error(
        "the learning rate is {rate} in step {step} (counted from 0); expected a finite number \
         that is not negative"
    )]
    Rate {
        /// The rate.
        rate: f64,
        /// The step.
        step: u64,
    },
    /// Training has diverged.
    #[error(
        "training diverged: {what} {name:?} is {value} at element {at} in step {step} (counted \
         from 0); use a smaller learning rate or a longer warm-up"
    )]
    NotFinite {
        /// Which tensor.
        what: Tensors,
        /// The parameter.
        name: String,
        /// Position in its row-major values.
        at: usize,
        /// What is there.
        value: f32,
        /// The step.
        step: u64,
    },
    /// A saved state that cannot be used.
    #[error(
        "cannot load the state of the optimizer: {reason}; train from the start without it, or \
         take the state that belongs to this training"
    )]
    State {
        /// What is wrong with it.
        reason: String,
    },
}
