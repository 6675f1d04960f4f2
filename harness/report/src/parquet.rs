//! `report.parquet` (one line for each group), `rows.parquet` (one for each row) and, where costs
//! are stored, `costs.parquet` (one for each group and target), and
//! `reported.parquet` (one for each quantized group): the columns of the CSV files with
//! their types and all digits.

use std::io;

use polars::prelude::{
    Column, DataFrame, NamedFrom, ParquetCompression, ParquetWriter, PolarsError, Series,
};
use rayon::prelude::*;

use crate::columns::{self, Named, Value};
use crate::findings::Findings;
use crate::schema::{ColumnDoc, Kind, cost_columns, group_columns, reported_columns, row_columns};
use crate::{Folder, ReportError};

/// Lines that are held at a time: their columns take a few kilobytes each.
const CHUNK: usize = 4096;

/// Makes the files.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    let (groups, rows) = (&findings.groups.groups, &findings.rows);
    file(folder, "report.parquet", groups, columns::group, &group_columns())?;
    file(folder, "rows.parquet", rows, columns::row, &row_columns())?;
    for (name, lines, columns) in [
        ("costs.parquet", columns::costs(findings), cost_columns()),
        ("reported.parquet", columns::reported(findings), reported_columns()),
    ] {
        if !lines.is_empty() {
            file(folder, name, &lines, Vec::clone, &columns)?;
        }
    }
    Ok(())
}

fn file<'a, T: Sync>(
    folder: &mut dyn Folder,
    name: &str,
    items: &'a [T],
    line: impl Fn(&'a T) -> Vec<Named<'a>> + Sync,
    columns: &[ColumnDoc],
) -> Result<(), ReportError> {
    crate::write(folder, name, &mut |out| {
        write(out, items, &line, columns).map_err(io::Error::other)
    })
}

fn write<'a, T: Sync>(
    out: &mut dyn io::Write,
    items: &'a [T],
    line: &(impl Fn(&'a T) -> Vec<Named<'a>> + Sync),
    columns: &[ColumnDoc],
) -> Result<(), PolarsError> {
    let frame = |lines: &[Vec<Named<'a>>]| {
        DataFrame::new(columns.par_iter().enumerate().map(|(i, c)| series(lines, i, c)).collect())
    };
    let empty = frame(&[])?;
    let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Snappy);
    let mut writer = writer.batched(empty.schema())?;
    for items in items.chunks(CHUNK) {
        let lines: Vec<Vec<Named<'a>>> = items.par_iter().map(line).collect();
        writer.write_batch(&frame(&lines)?)?;
    }
    writer.finish()?;
    Ok(())
}

/// One column of all lines; what is not of its type is null.
fn series(lines: &[Vec<Named<'_>>], index: usize, column: &ColumnDoc) -> Column {
    let values = lines.iter().map(|line| line.get(index).map_or(&Value::None, |(_, v)| v));
    let name = column.name.into();
    let series = match column.kind {
        Kind::Text => {
            let texts: Vec<Option<&str>> = values
                .map(|v| if let Value::Text(t) = v { Some(t.as_ref()) } else { None })
                .collect();
            Series::new(name, texts)
        }
        Kind::Int => {
            let counts: Vec<Option<i64>> =
                values.map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).collect();
            Series::new(name, counts)
        }
        Kind::Real => {
            let numbers: Vec<Option<f64>> =
                values.map(|v| if let Value::Real(x) = v { Some(*x) } else { None }).collect();
            Series::new(name, numbers)
        }
    };
    series.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stored;

    /// Whether the names are those of the schema, in order, and each value fits its type.
    fn fits(line: &[Named<'_>], columns: &[ColumnDoc]) -> Result<(), String> {
        let names: Vec<&str> = line.iter().map(|(name, _)| *name).collect();
        let documented: Vec<&str> = columns.iter().map(|c| c.name).collect();
        if names != documented {
            return Err(format!("{names:?} are not the documented columns {documented:?}"));
        }
        for ((name, value), column) in line.iter().zip(columns) {
            let right = match value {
                Value::None => true,
                Value::Text(_) => column.kind == Kind::Text,
                Value::Int(_) => column.kind == Kind::Int,
                Value::Real(_) => column.kind == Kind::Real,
            };
            if !right {
                return Err(format!("{name} is documented as {:?}, not {value:?}", column.kind));
            }
        }
        Ok(())
    }

    #[test]
    fn every_value_has_its_documented_type() {
        for rows in [crate::fixtures::survey(), crate::fixtures::odd()] {
            let costs = crate::fixtures::costs(&rows);
            let stored = Stored { rows: &rows, costs: &costs, ..Stored::default() };
            let findings = Findings::with(&stored).unwrap();
            for line in columns::costs(&findings) {
                fits(&line, &cost_columns()).unwrap();
            }
            for line in columns::reported(&findings) {
                fits(&line, &reported_columns()).unwrap();
            }
            for group in &findings.groups.groups {
                fits(&columns::group(group), &group_columns()).unwrap();
            }
            for row in &findings.rows {
                fits(&columns::row(row), &row_columns()).unwrap();
            }
        }
    }
}
