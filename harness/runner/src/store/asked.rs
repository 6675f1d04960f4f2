//! What a survey asks for, kept in its run folder, so that what is missing can be told from what
//! was never asked.

use std::collections::HashSet;
use std::fs;

use quantbench_core::row::{Cell, Status};
use quantbench_core::{Paper, Row};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

/// Name of the file with what the survey wants in its report.
const PAPER: &str = "paper.json";

/// One cell of a survey, on all test images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// For people.
    pub label: String,
    /// What is asked.
    pub cell: Cell,
}

impl Store {
    /// Keeps what the survey asks for; the last run of a folder has the last word.
    pub fn put_asked(&self, cells: &[Asked]) -> Result<(), StoreError> {
        let path = self.asked_path();
        let json = serde_json::to_vec(cells)
            .map_err(|error| StoreError::Write { path: path.clone(), source: error.into() })?;
        if fs::read(&path).is_ok_and(|before| before == json) {
            return Ok(());
        }
        self.write(&path, &json)
    }

    /// What the survey asks for; none for a folder that says nothing readable about it.
    pub fn asked(&self) -> Option<Vec<Asked>> {
        serde_json::from_slice(&fs::read(self.asked_path()).ok()?).ok()
    }

    /// Keeps the tables and figures that the survey wants in its report; an empty wish removes an
    /// earlier one.
    pub fn put_paper(&self, paper: &Paper) -> Result<(), StoreError> {
        let path = self.dir().join(PAPER);
        if *paper == Paper::default() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(StoreError::Write { path, source: error })
                }
                _ => Ok(()),
            };
        }
        let json = serde_json::to_vec_pretty(paper)
            .map_err(|error| StoreError::Write { path: path.clone(), source: error.into() })?;
        self.write(&path, &json)
    }

    /// The tables and figures that the survey wants in its report; none if it says nothing.
    pub fn paper(&self) -> Result<Option<Paper>, StoreError> {
        let path = self.dir().join(PAPER);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|source| StoreError::Read { path: path.clone(), source })?,
        };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|error| StoreError::Read { path, source: error.into() })
    }

    fn asked_path(&self) -> std::path::PathBuf {
        self.dir().join("cells.json")
    }
}

/// Labels of the cells that have no done row among these; a row of a partial evaluation is not
/// one of them.
pub fn missing<'a>(asked: &'a [Asked], rows: &[Row]) -> Vec<&'a str> {
    let done: HashSet<String> = rows
        .iter()
        .filter(|row| row.status == Status::Done)
        .map(|row| format!("{:?}", row.cell))
        .collect();
    let without = asked.iter().filter(|a| !done.contains(&format!("{:?}", a.cell)));
    without.map(|a| a.label.as_str()).collect()
}
