//! The Parquet files hold what the CSV files hold, as documented.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use polars::prelude::{AnyValue, DataType};
use quantbench_report::build;
use quantbench_report::schema::{ColumnDoc, Kind, group_columns, markdown, row_columns};

mod fixtures;

use fixtures::read::{file, parquet, parse_csv};
use fixtures::{odd, survey};

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::String,
        Kind::Int => DataType::Int64,
        Kind::Real => DataType::Float64,
    }
}

/// A value as the CSV files write it.
fn text(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_string(),
        AnyValue::Int64(n) => n.to_string(),
        AnyValue::Float64(x) => format!("{x:.6}"),
        other => panic!("a {other:?} is not of the schema"),
    }
}

#[test]
fn parquet_and_csv_hold_the_same_in_the_documented_columns() {
    for rows in [odd(), survey()] {
        let report = build(&rows).unwrap();
        for (name, columns) in [("report", group_columns()), ("rows", row_columns())] {
            let frame = parquet(&report, &format!("{name}.parquet"));
            let lines = parse_csv(&file(&report, &format!("{name}.csv")));
            let names: Vec<&str> = columns.iter().map(|c: &ColumnDoc| c.name).collect();
            assert_eq!(frame.get_column_names_str(), names);
            assert_eq!(lines[0], names);
            assert_eq!(frame.height(), lines.len() - 1);
            for (c, column) in columns.iter().enumerate() {
                let values = frame.column(column.name).unwrap();
                assert_eq!(*values.dtype(), data_type(column.kind), "{}", column.name);
                for (l, line) in lines[1..].iter().enumerate() {
                    assert_eq!(text(&values.get(l).unwrap()), line[c], "{name} {}", column.name);
                }
            }
        }
    }
}

#[test]
fn the_guide_documents_every_column() {
    let guide = include_str!("../README.md");
    let documented = guide.split_once("## Columns\n\n").unwrap().1;
    let (_, tables) = documented.split_once("\n\n").unwrap();
    assert_eq!(
        tables.trim_end(),
        markdown().trim_end(),
        "paste this below the first paragraph of \"Columns\":\n{}",
        markdown()
    );
}
