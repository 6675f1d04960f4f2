//! Data sets end to end: tiny generated files in temporary folders, and the real ones where
//! `QUANTBENCH_DATA` names them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod bad_input;
mod default_model;
mod folders;
mod kept_order;
mod loading;
mod pixels;
mod real_data;
mod shapes;
mod tiny;
