//! runner
pub mod config;
