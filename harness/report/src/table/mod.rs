//! Tables as data: what they say, before any output format says how.
//!
//! [`tables`] makes every table of a report; the outputs (`markdown`, `html`, `terminal`) only
//! lay them out, so that they cannot disagree.

mod build;
mod cells;
mod remarks;
mod reported;
mod targets;

pub(crate) use build::intervals;
pub use build::{Tables, tables, terminal};

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Short title in sentence case.
    pub title: String,
    /// What all its lines have in common: the rules that they were made under.
    pub caption: String,
    /// Columns, the method first.
    pub columns: Vec<Column>,
    /// Lines, one section for each subject.
    pub sections: Vec<Section>,
    /// Numbered footnotes; the first is number 1.
    pub notes: Vec<String>,
    /// What the methods had to say about their results: method, widths, note.
    pub remarks: Vec<String>,
}

/// What stands above a table's remarks.
pub(crate) const REMARKS: &str = "Notes of the methods:";

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub head: &'static str,
    /// Unit, or what the numbers are; empty for words.
    pub unit: &'static str,
    /// Whether the column holds numbers, which are set right.
    pub number: bool,
}

impl Column {
    /// A column of words.
    pub const fn words(head: &'static str) -> Self {
        Self { head, unit: "", number: false }
    }

    /// A column of numbers.
    pub const fn number(head: &'static str, unit: &'static str) -> Self {
        Self { head, unit, number: true }
    }

    /// Heading and unit in one line.
    pub fn line(&self) -> String {
        match (self.head, self.unit) {
            (head, "") => head.to_string(),
            (head, unit) => format!("{head} [{unit}]"),
        }
    }
}

/// The lines of one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Model, for tables that have it as a column.
    pub model: String,
    /// Model, data set, number of test images and FP32 accuracy.
    pub heading: String,
    /// Lines.
    pub lines: Vec<Line>,
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// One field for each column.
    pub fields: Vec<Field>,
    /// Whether this is the unquantized model, shown for reference.
    pub reference: bool,
    /// Whether its widths are others than those of the line before.
    pub new_widths: bool,
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Text.
    pub text: String,
    /// Numbers of its footnotes.
    pub marks: Vec<usize>,
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self { text: text.into(), marks: Vec::new() }
    }
}

/// Footnotes of one table, each text once, numbered in the order of first use.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    pub(crate) fn mark(&mut self, text: &str) -> usize {
        if let Some(i) = self.0.iter().position(|t| t == text) {
            return i + 1;
        }
        self.0.push(text.to_string());
        self.0.len()
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.0
    }
}
