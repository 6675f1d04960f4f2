//! Accuracies that papers and repositories print, as data.
//!
//! Takes nothing and gives [`Reported`]: records with their source, the checkpoints that this
//! program knows in the words of the literature, and the budgets of the papers. What may serve as
//! a target is decided here, once: a record that may not says why ([`Record::no_target`]).
//!
//! *Invariant*: facts only; nothing here compares, and no number is ours.

mod check;
mod record;

use std::sync::OnceLock;

use serde::Deserialize;
use thiserror::Error;

pub use record::{Budget, Checkpoint, Data, Record, Rule, SourceKind, Training, Width};

/// The files that are compiled in, family by family.
const FILES: [(&str, &str); 5] = [
    ("baseline.yaml", include_str!("../data/baseline.yaml")),
    ("data-dependent.yaml", include_str!("../data/data-dependent.yaml")),
    ("data-free.yaml", include_str!("../data/data-free.yaml")),
    ("extremely-low-bit.yaml", include_str!("../data/extremely-low-bit.yaml")),
    ("mixed-precision.yaml", include_str!("../data/mixed-precision.yaml")),
];
const CHECKPOINTS: (&str, &str) = ("checkpoints.yaml", include_str!("../data/checkpoints.yaml"));
const BUDGETS: (&str, &str) = ("budgets.yaml", include_str!("../data/budgets.yaml"));

/// A file that cannot be read or holds what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportedError {
    /// Not YAML, an unknown key, a wrong type, a missing key.
    #[error("{file}: {detail}")]
    Parse {
        /// File.
        file: String,
        /// Where and what.
        detail: String,
    },
    /// A record that contradicts itself or another one.
    #[error("{file}: record {index} ({printed}): {problem}")]
    Record {
        /// File.
        file: String,
        /// Its place in the file, from 1.
        index: usize,
        /// The method as printed.
        printed: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}

/// Everything that is reported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reported {
    /// Records, file by file.
    pub records: Vec<Record>,
    /// Our models in the words of the literature.
    pub checkpoints: Vec<Checkpoint>,
    /// What the papers spend.
    pub budgets: Vec<Budget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoints {
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    budgets: Vec<Budget>,
}

impl Reported {
    /// What is compiled in.
    ///
    /// # Errors
    /// Never with the shipped files: a test reads them all.
    pub fn builtin() -> Result<&'static Self, ReportedError> {
        static ALL: OnceLock<Result<Reported, ReportedError>> = OnceLock::new();
        ALL.get_or_init(|| {
            let mut all = Self {
                checkpoints: read::<Checkpoints>(CHECKPOINTS)?.checkpoints,
                budgets: read::<Budgets>(BUDGETS)?.budgets,
                ..Self::default()
            };
            for file in FILES {
                all.records.extend(records(file)?);
            }
            Ok(all)
        })
        .as_ref()
        .map_err(Clone::clone)
    }

    /// The checkpoint of a model file, by its hash, else by the model's name.
    pub fn checkpoint(&self, name: &str, sha256: &str) -> Option<&Checkpoint> {
        let by_hash = self.checkpoints.iter().find(|c| c.sha256.as_deref() == Some(sha256));
        by_hash.or_else(|| self.checkpoints.iter().find(|c| c.name == name))
    }

    /// What the paper of a method spends.
    pub fn budget(&self, method: &str) -> Option<&Budget> {
        self.budgets.iter().find(|b| b.method == method)
    }
}

/// The records of one file, each checked.
///
/// # Errors
/// [`ReportedError`].
pub fn records((file, text): (&str, &str)) -> Result<Vec<Record>, ReportedError> {
    let records = read::<Records>((file, text))?.records;
    check::all(file, &records)?;
    Ok(records)
}

fn read<T: for<'de> Deserialize<'de>>((file, text): (&str, &str)) -> Result<T, ReportedError> {
    serde_yaml::from_str(text)
        .map_err(|error| ReportedError::Parse { file: file.to_string(), detail: error.to_string() })
}
