//! What is trained: named tensors in groups.

use quantbench_core::Tensor;

use super::error::OptimError;

/// Parameters that are trained alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Name, for messages.
    pub name: String,
    /// The group's learning rate as a multiple of the rate of a step; not negative. 0 keeps the
    /// parameters as they are.
    pub rate: f64,
    /// Weight decay, PyTorch's `weight_decay`; not negative. Whether it is added to the gradient
    /// or taken from the values is the rule's.
    pub weight_decay: f64,
}

/// A tensor that is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub(super) name: String,
    pub(super) value: Tensor,
    pub(super) group: usize,
}

impl Parameter {
    /// Its name, which no other parameter has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Index of its group.
    pub fn group(&self) -> usize {
        self.group
    }
}

/// All parameters of a training, in a fixed order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    groups: Vec<Group>,
    all: Vec<Parameter>,
}

impl Parameters {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a group and gives its index.
    ///
    /// # Errors
    /// Its rate or weight decay is negative or not finite.
    pub fn add_group(&mut self, group: Group) -> Result<usize, OptimError> {
        let name = &group.name;
        not_negative(group.rate, || format!("the rate of group {name:?}"))?;
        not_negative(group.weight_decay, || format!("the weight decay of group {name:?}"))?;
        self.groups.push(group);
        Ok(self.groups.len() - 1)
    }

    /// Adds a parameter to the group at an index and gives the parameter's index.
    ///
    /// # Errors
    /// The name is taken, the group does not exist, or a value is not finite.
    pub fn add(&mut self, group: usize, name: &str, value: Tensor) -> Result<usize, OptimError> {
        let groups = self.groups.len();
        if group >= groups {
            return Err(OptimError::Group { name: name.to_string(), group, groups });
        }
        if self.find(name).is_some() {
            return Err(OptimError::Twice { name: name.to_string() });
        }
        if let Some(at) = value.data.iter().position(|v| !v.is_finite()) {
            let value = value.data[at];
            return Err(OptimError::Initial { name: name.to_string(), at, value });
        }
        self.all.push(Parameter { name: name.to_string(), value, group });
        Ok(self.all.len() - 1)
    }

    /// The groups in the order of their indices.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The parameters in the order of their indices.
    pub fn all(&self) -> &[Parameter] {
        &self.all
    }

    /// Index of the parameter of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|p| p.name == name)
    }

    pub(super) fn all_mut(&mut self) -> &mut [Parameter] {
        &mut self.all
    }

    pub(super) fn split_mut(&mut self) -> (&[Group], &mut [Parameter]) {
        (&self.groups, &mut self.all)
    }
}

/// A setting of zero or more.
pub(super) fn not_negative(value: f64, what: impl Fn() -> String) -> Result<(), OptimError> {
    setting(value >= 0.0, value, what, "a finite number that is not negative")
}

/// A share of what was, which has to be below one to be forgotten some time.
pub(super) fn share(value: f64, what: &str) -> Result<(), OptimError> {
    let within = (0.0..1.0).contains(&value);
    setting(within, value, || what.to_string(), "a number from 0 to below 1")
}

fn setting(
    within: bool,
    value: f64,
    what: impl Fn() -> String,
    expected: &'static str,
) -> Result<(), OptimError> {
    if within && value.is_finite() {
        return Ok(());
    }
    Err(OptimError::Setting { what: what(), value, expected })
}
