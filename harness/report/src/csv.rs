//! `report.csv` (one line for each group), `rows.csv` (one for each row) and, where costs are
//! stored, `costs.csv` (one for each group and target), and `reported.csv` (one for each quantized
//! group).

use crate::columns::{self, Named, Value};
use crate::findings::Findings;
use crate::{File, ReportError};

/// Makes the files.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every entry of OUTPUTS")]
pub(crate) fn files(findings: &Findings<'_>) -> Result<Vec<File>, ReportError> {
    let groups: Vec<_> = findings.groups.groups.iter().map(columns::group).collect();
    let rows: Vec<_> = findings.rows.iter().map(columns::row).collect();
    let mut files = vec![
        ("report.csv".to_string(), render(&groups).into_bytes()),
        ("rows.csv".to_string(), render(&rows).into_bytes()),
    ];
    let some =
        [("costs.csv", columns::costs(findings)), ("reported.csv", columns::reported(findings))];
    for (file, lines) in some.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        files.push((file.to_string(), render(&lines).into_bytes()));
    }
    Ok(files)
}

/// Lines by RFC 4180, with `\n` ends; the first line's names are the header of all.
fn render(lines: &[Vec<Named>]) -> String {
    let mut text = String::new();
    if let Some(first) = lines.first() {
        let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        text += &(names.join(",") + "\n");
    }
    for line in lines {
        let fields: Vec<String> = line.iter().map(|(_, value)| field(value)).collect();
        text += &(fields.join(",") + "\n");
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
