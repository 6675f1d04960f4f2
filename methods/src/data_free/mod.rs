//! Data-free methods: they are granted the model alone.

pub mod dfq;
pub mod squant;
