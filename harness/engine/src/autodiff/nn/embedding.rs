//! A vector for each label.

use super::{Init, OnTape};
use crate::autodiff::ops;
use crate::autodiff::optim::OptimError;
use crate::autodiff::tape::{Tape, Var};

/// A table of vectors, one for each label, that is trained.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: usize,
}

impl Embedding {
    /// With a parameter `<name>.weight` of normal numbers.
    ///
    /// # Errors
    /// The name is taken.
    pub fn new(
        init: &mut Init<'_>,
        name: &str,
        labels: usize,
        numbers: usize,
    ) -> Result<Self, OptimError> {
        let table = init.normal(&format!("{name}.weight"), &[labels, numbers])?;
        Ok(Self { table })
    }

    /// The vectors of some labels, as maps of one pixel; none if there is no such label.
    pub fn run(&self, tape: &mut Tape, on: &OnTape, labels: &[u16]) -> Option<Var> {
        ops::embed(tape, on.get(self.table)?, labels)
    }
}
