//! Data-free methods: they are granted the model alone.

pub mod squant;
