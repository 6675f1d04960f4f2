//! `report.csv` (one line for each group), `rows.csv` (one for each row) and, where costs are
//! stored, `costs.csv` (one for each group and target), and `reported.csv` (one for each quantized
//! group).

use std::fmt::Write as _;

use rayon::prelude::*;

use crate::columns::{self, Named, Value};
use crate::findings::Findings;
use crate::{Folder, ReportError, write};

/// Makes the files.
pub(crate) fn files(findings: &Findings<'_>, folder: &mut dyn Folder) -> Result<(), ReportError> {
    let (groups, rows) = (&findings.groups.groups, &findings.rows);
    file(folder, "report.csv", groups, columns::group)?;
    file(folder, "rows.csv", rows, columns::row)?;
    for (name, lines) in
        [("costs.csv", columns::costs(findings)), ("reported.csv", columns::reported(findings))]
    {
        if !lines.is_empty() {
            file(folder, name, &lines, Vec::clone)?;
        }
    }
    Ok(())
}

/// Lines that are put in words at once.
const CHUNK: usize = 4096;

/// Lines by RFC 4180, with `\n` ends; the first line's names are the header of all.
fn file<'a, T: Sync>(
    folder: &mut dyn Folder,
    name: &str,
    items: &'a [T],
    line: impl Fn(&'a T) -> Vec<Named<'a>> + Sync,
) -> Result<(), ReportError> {
    write(folder, name, &mut |out| {
        let names = items.first().map(&line).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        writeln!(out, "{}", names.join(","))?;
        for items in items.chunks(CHUNK) {
            let texts: Vec<String> = items.par_iter().map(|item| words(&line(item))).collect();
            texts.iter().try_for_each(|text| out.write_all(text.as_bytes()))?;
        }
        Ok(())
    })
}

/// A line with its end.
fn words(line: &[Named<'_>]) -> String {
    let mut text = String::new();
    for (column, (_, value)) in line.iter().enumerate() {
        if column > 0 {
            text.push(',');
        }
        field(&mut text, value);
    }
    text.push('\n');
    text
}

/// A value, the empty field where there is none.
fn field(text: &mut String, value: &Value<'_>) {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::None => Ok(()),
        Value::Text(words) if words.contains([',', '"', '\n', '\r']) => {
            write!(text, "\"{}\"", words.replace('"', "\"\""))
        }
        Value::Text(words) => text.write_str(words),
        Value::Int(n) => write!(text, "{n}"),
        // Six decimals, which is below one image in a million.
        Value::Real(x) => write!(text, "{x:.6}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let text = |text: &'static str| ("", Value::Text(text.into()));
        assert_eq!(
            words(&[text("plain"), ("", Value::None), ("", Value::Real(0.5))]),
            "plain,,0.500000\n"
        );
        assert_eq!(words(&[text("a,\"b\"\n"), ("", Value::Int(-3))]), "\"a,\"\"b\"\"\n\",-3\n");
    }
}
