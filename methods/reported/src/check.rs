//! What a record must fulfil beyond its types.

use crate::record::{Record, Width};
use crate::{ReportedError, SourceKind, Training};

/// Checks each record, and that no two are the same.
pub(crate) fn all(file: &str, records: &[Record]) -> Result<(), ReportedError> {
    for (i, record) in records.iter().enumerate() {
        let problem = problem(record).or_else(|| {
            let same = records[..i].iter().position(|other| other == record)?;
            Some(format!("it is record {} once more; remove one", same + 1))
        });
        if let Some(problem) = problem {
            return Err(ReportedError::Record {
                file: file.to_string(),
                index: i + 1,
                printed: record.printed.clone(),
                problem,
            });
        }
    }
    Ok(())
}

fn problem(record: &Record) -> Option<String> {
    let percent = |key: &str, value: f64| {
        (!(0.0..=100.0).contains(&value))
            .then(|| format!("{key}: {value} does not fit; expected percent from 0 to 100"))
    };
    let width = |key: &str, width: &Width| match width {
        Width::Bits(bits) if !(1..=32).contains(bits) => {
            Some(format!("{key}: {bits} does not fit; expected 1 to 32 bits"))
        }
        Width::Words(words) if !record.mixed => {
            Some(format!("{key}: {words:?} does not fit; expected a number, or `mixed: true`"))
        }
        _ => None,
    };
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = (record.method.is_empty() || !record.method.chars().all(kebab))
        .then(|| format!("method: {:?} is not kebab-case", record.method));
    let data = || match (record.training, record.data) {
        (Training::None, Some(_)) => {
            Some("data: does not fit an unquantized network; remove it".to_string())
        }
        (Training::Calibrated | Training::Trained, None) => {
            Some("data: missing; expected nothing, unlabelled or labelled".to_string())
        }
        _ => None,
    };
    let target = || {
        let no = match record {
            Record { no_target: Some(_), .. } => return None,
            Record { fp32_top1: None, .. } => "there is no fp32_top1 beside it",
            Record { source_kind: SourceKind::Memory, .. } => "it was recalled",
            Record { source, .. } if source.trim().is_empty() => "it has no source",
            _ => return None,
        };
        Some(format!("{no}: such a number is no target; add no_target with the reason"))
    };
    name.or_else(|| percent("top1", record.top1))
        .or_else(|| record.fp32_top1.and_then(|v| percent("fp32_top1", v)))
        .or_else(|| width("weights", &record.weights))
        .or_else(|| width("activations", &record.activations))
        .or_else(|| {
            (record.ternary && record.weights.bits() != Some(2))
                .then(|| "ternary: fits weights: 2 alone".to_string())
        })
        .or_else(data)
        .or_else(target)
}

#[cfg(test)]
mod tests {
    use crate::{Reported, records};

    const GOOD: &str = "records:\n- {method: a, printed: A, model: m, dataset: d, weights: 4, \
        activations: 4, first_last: 8bit, training: calibrated, data: unlabelled, fp32_top1: 91.0, top1: 90.0, \
        source: here, source_kind: primary}\n";

    #[test]
    fn what_is_shipped_can_be_read_and_says_what_is_a_target() {
        let all = Reported::builtin().unwrap();
        assert!(all.records.len() > 950);
        let targets = all.records.iter().filter(|r| r.no_target.is_none());
        assert!(targets.clone().count() > 700);
        assert!(targets.clone().all(|r| r.drop_points().is_some()));
        assert!(all.checkpoints.iter().any(|c| c.name == "resnet20-cifar10"));
    }

    #[test]
    fn a_record_that_cannot_be_is_refused_with_file_and_place() {
        assert_eq!(records(("x.yaml", GOOD)).unwrap().len(), 1);
        for (from, to, text) in [
            ("top1: 90.0", "top1: 190.0", "record 1 (A): top1: 190 does not fit; expected percent"),
            ("weights: 4", "weights: 0", "weights: 0 does not fit; expected 1 to 32 bits"),
            ("weights: 4", "weights: 4, ternary: true", "ternary: fits weights: 2 alone"),
            ("weights: 4", "weights: 4MP", "expected a number, or `mixed: true`"),
            ("fp32_top1: 91.0, ", "", "no fp32_top1 beside it: such a number is no target"),
            ("method: a", "method: A b", "is not kebab-case"),
            ("data: unlabelled, ", "", "data: missing; expected nothing, unlabelled or labelled"),
            ("training: calibrated", "training: none", "data: does not fit an unquantized network"),
            ("source: here", "sauce: here", "unknown field `sauce`"),
            ("kind: primary", "kind: memory", "it was recalled: such a number is no target"),
        ] {
            let error = records(("x.yaml", &GOOD.replace(from, to))).unwrap_err().to_string();
            assert!(error.starts_with("x.yaml: ") && error.contains(text), "{error}");
        }
        let twice = format!("{GOOD}{}", GOOD.trim_start_matches("records:\n"));
        let error = records(("x.yaml", &twice)).unwrap_err().to_string();
        assert!(error.contains("record 2 (A): it is record 1 once more"), "{error}");
    }
}
