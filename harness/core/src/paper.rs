//! The tables and figures of a paper, in its words: what a survey asks its report for.

use serde::{Deserialize, Serialize};

use crate::card::Family;

/// A column of a paper's table behind method and widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaperColumn {
    /// Data that the method was granted.
    Data,
    /// Simulated accuracy with its interval over draws.
    Accuracy,
    /// Drop against FP32 with its paired interval over test images.
    Drop,
    /// Accuracy through integer kernels.
    Deployed,
    /// Mean weight width.
    Bits,
    /// Packed size.
    Size,
    /// Bit operations.
    BitOperations,
    /// CPU time of the method.
    Cpu,
}

impl PaperColumn {
    /// All of them with their names in files.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("data", Self::Data),
        ("accuracy", Self::Accuracy),
        ("drop", Self::Drop),
        ("deployed", Self::Deployed),
        ("bits", Self::Bits),
        ("size", Self::Size),
        ("bit-operations", Self::BitOperations),
        ("cpu", Self::Cpu),
    ];

    /// What a table shows that names no columns.
    pub const USUAL: [Self; 5] =
        [Self::Data, Self::Accuracy, Self::Drop, Self::Deployed, Self::Size];
}

/// One table; an empty list asks for all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperTable {
    /// Its caption, such as "Table 2: data-free methods, CIFAR-10, ResNet-20, W4A4 and W3A3".
    pub caption: String,
    /// Families.
    pub families: Vec<Family>,
    /// Models.
    pub models: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Widths, in any case.
    pub widths: Vec<String>,
    /// Columns.
    pub columns: Vec<PaperColumn>,
}

/// What a survey wants in its paper; an empty list asks for what a report shows by itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Tables.
    pub tables: Vec<PaperTable>,
    /// Kinds of figures, as the report names them.
    pub figures: Vec<String>,
}
