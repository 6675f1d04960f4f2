//! `report.json`: what a command says about its work.

use quantbench_core::row::MethodCost;
use serde::Deserialize;

use crate::external::folder::SCHEMA;

/// Longest note that is taken over, and how many.
const NOTES: (usize, usize) = (20, 500);

/// What a command says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    schema: u32,
    /// Tool and the version that did the work.
    pub(super) tool: String,
    /// What a reader of the result would otherwise not notice.
    #[serde(default)]
    pub(super) notes: Vec<String>,
    /// Images that it made itself.
    #[serde(default)]
    pub(super) synthetic_images: u64,
    /// Cost of the work proper, without start and imports.
    #[serde(default)]
    cost: Option<Cost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    #[serde(default)]
    peak_mib: f64,
}

impl Report {
    /// Reads and checks the text of `report.json`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let report: Self = serde_json::from_slice(text)
            .map_err(|error| format!("report.json: {error}; expected schema, tool and, if any, notes, synthetic_images and cost"))?;
        if report.schema != SCHEMA {
            return Err(format!(
                "report.json: schema {} does not fit; expected {SCHEMA}",
                report.schema
            ));
        }
        let (most, longest) = NOTES;
        if report.tool.trim().is_empty() || report.tool.len() > longest {
            return Err("report.json: tool does not fit; expected name and version".to_string());
        }
        if report.notes.len() > most || report.notes.iter().any(|n| n.len() > longest) {
            return Err(format!(
                "report.json: notes do not fit; expected at most {most} of at most {longest} bytes"
            ));
        }
        let sound = |x: f64| x.is_finite() && x >= 0.0;
        if report.cost.is_some_and(|c| ![c.wall_s, c.cpu_s, c.peak_mib].into_iter().all(sound)) {
            return Err("report.json: cost does not fit; expected numbers from 0".to_string());
        }
        Ok(report)
    }

    /// Cost of the work proper, if it was stated.
    pub(super) fn cost(&self) -> Option<MethodCost> {
        let Cost { wall_s, cpu_s, peak_mib } = self.cost?;
        Some(MethodCost { wall_s, cpu_s, peak_mib })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_checked() {
        let good =
            br#"{"schema": 1, "tool": "t 1", "notes": ["n"], "cost": {"wall_s": 1, "cpu_s": 2}}"#;
        let report = Report::parse(good).unwrap();
        assert_eq!(report.cost().map(|c| c.cpu_s), Some(2.0));
        for (text, expected) in [
            ("{}", "report.json: missing field `schema`"),
            ("no", "report.json: expected"),
            (r#"{"schema": 2, "tool": "t"}"#, "report.json: schema 2 does not fit; expected 1"),
            (r#"{"schema": 1, "tool": " "}"#, "report.json: tool does not fit"),
            (r#"{"schema": 1, "tool": "t", "note": []}"#, "report.json: unknown field `note`"),
            (
                r#"{"schema": 1, "tool": "t", "cost": {"wall_s": -1, "cpu_s": 0}}"#,
                "report.json: cost does not fit",
            ),
        ] {
            let message = Report::parse(text.as_bytes()).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
