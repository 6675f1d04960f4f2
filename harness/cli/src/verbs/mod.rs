//! One verb, one file.

pub mod compare;
pub mod completions;
pub mod cost;
pub mod doctor;
pub mod eval;
pub mod explain;
pub mod fetch;
pub mod index;
pub mod inspect;
pub mod list;
pub mod plan;
pub mod probe;
pub mod quantize;
pub mod recommend;
pub mod report;
pub mod run;
pub mod schema;
pub mod status;
pub mod worker;
