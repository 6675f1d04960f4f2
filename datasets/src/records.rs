//! Records of equal size: where their bytes lie, and how chosen ones are read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::{DataError, Part, shapes};

/// Rows of equal size, behind a header, in one file or several.
pub(crate) struct Column {
    /// Files in order, each with its number of rows.
    pub files: Vec<(PathBuf, usize)>,
    /// Bytes in front of the first row of every file.
    pub header: usize,
    /// Bytes of a row.
    pub row: usize,
}

/// What records are put together from.
pub(crate) enum Source {
    /// One row of each column.
    Files(Vec<Column>),
    /// Computed on demand.
    Shapes(Part),
}

/// All records of a split in file order; none of them is in memory.
pub(crate) struct Records {
    pub source: Source,
    /// Number of records.
    pub count: usize,
    /// Label bytes in front of each record's pixels; the last one counts.
    pub label_bytes: usize,
    /// Bytes of a record.
    pub size: usize,
    /// Files that they come from, for messages.
    pub origin: String,
}

impl Records {
    /// Paths of all files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let columns = match &self.source {
            Source::Files(columns) => columns.as_slice(),
            Source::Shapes(_) => &[],
        };
        columns.iter().flat_map(|column| column.files.iter().map(|(path, _)| path))
    }

    /// The records at `wanted`, one after the other.
    pub(crate) fn read(&self, wanted: &[u32]) -> Result<Vec<u8>, DataError> {
        let mut out = vec![0; wanted.len() * self.size];
        match &self.source {
            Source::Shapes(part) => {
                let records = out.par_chunks_exact_mut(self.size).zip(wanted);
                records.for_each(|(record, at)| shapes::record(*part, *at as usize, record));
            }
            Source::Files(columns) => {
                let mut from = 0;
                for column in columns {
                    let rows = out.par_chunks_exact_mut(self.size).zip(wanted);
                    let files = column.open()?;
                    rows.try_for_each(|(record, at)| {
                        column.read(&files, *at as usize, &mut record[from..from + column.row])
                    })?;
                    from += column.row;
                }
            }
        }
        Ok(out)
    }
}

impl Column {
    fn open(&self) -> Result<Vec<File>, DataError> {
        let open =
            |(path, _): &(PathBuf, usize)| File::open(path).map_err(DataError::io("read", path));
        self.files.iter().map(open).collect()
    }

    fn read(&self, open: &[File], mut at: usize, into: &mut [u8]) -> Result<(), DataError> {
        for ((path, rows), file) in self.files.iter().zip(open) {
            if at < *rows {
                let offset = (self.header + at * self.row) as u64;
                return file.read_exact_at(into, offset).map_err(DataError::io("read", path));
            }
            at -= rows;
        }
        Ok(())
    }
}
