//! Mixed-precision methods: they choose a width per layer under a budget.

pub mod sensitivity;
