//! `report.csv` (one line for each group), `rows.csv` (one for each row) and, where costs are
//! stored, `costs.csv` (one for each group and target), and `reported.csv` (one for each quantized
//! group).

use crate::columns::{self, Named, Value};
use crate::findings::Findings;
use crate::{File, ReportError};

/// Makes the files.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every entry of OUTPUTS")]
pub(crate) fn files(findings: &Findings<'_>) -> Result<Vec<File>, ReportError> {
    let groups = findings.groups.groups.iter().map(columns::group);
    let rows = findings.rows.iter().map(columns::row);
    let mut files = vec![
        ("report.csv".to_string(), render(groups).into_bytes()),
        ("rows.csv".to_string(), render(rows).into_bytes()),
    ];
    let some =
        [("costs.csv", columns::costs(findings)), ("reported.csv", columns::reported(findings))];
    for (file, lines) in some.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        files.push((file.to_string(), render(lines.into_iter()).into_bytes()));
    }
    Ok(files)
}

/// Lines by RFC 4180, with `\n` ends; the first line's names are the header of all.
fn render(lines: impl Iterator<Item = Vec<Named>>) -> String {
    let mut text = String::new();
    for (i, line) in lines.enumerate() {
        if i == 0 {
            let names: Vec<&str> = line.iter().map(|(name, _)| *name).collect();
            text += &(names.join(",") + "\n");
        }
        for (column, (_, value)) in line.iter().enumerate() {
            if column > 0 {
                text.push(',');
            }
            text += &field(value);
        }
        text.push('\n');
    }
    text
}

/// A value, the empty field where there is none.
fn field(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        Value::Text(text) => quote(text),
        Value::Int(n) => n.to_string(),
        // Six decimals, which is below one image in a million.
        Value::Real(x) => format!("{x:.6}"),
    }
}

fn quote(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quote("plain"), "plain");
        assert_eq!(quote("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }
}
