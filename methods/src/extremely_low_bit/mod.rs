//! Extremely low-bit methods: one bit or ternary.

pub mod twn;
