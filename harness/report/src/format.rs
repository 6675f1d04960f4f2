//! Numbers and names as tables print them.

use std::fmt::Write as _;

use quantbench_core::row::Cell;
use quantbench_core::{Needs, Row, Widths};

/// What a table prints where there is no value.
pub const NONE: &str = "–";

/// Two decimals: accuracies in percent and differences in points.
pub fn two(value: f64) -> String {
    // Avoids "-0.00", which reads like a loss.
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".to_string() } else { text }
}

/// A number with about three significant digits, for sizes, ratios and times.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => grouped(value.round() as i64),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.0995 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// An integer with commas between groups of three digits.
pub fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A count with commas.
pub fn count(value: u64) -> String {
    grouped(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Widths as papers write them: `W4A4`, `W2tA8`.
pub fn widths(widths: Widths) -> String {
    let t = if widths.ternary { "t" } else { "" };
    format!("W{}{t}A{}", widths.weights, widths.activations)
}

/// The data that a method was granted: kind and number of images.
pub fn data(needs: Needs, images: usize) -> String {
    let n = grouped(i64::try_from(images).unwrap_or(i64::MAX));
    match needs {
        _ if images == 0 => "none".to_string(),
        Needs::Nothing => "none".to_string(),
        Needs::Unlabelled | Needs::UnlabelledIfAsked => format!("{n} unlabelled"),
        Needs::Labelled => format!("{n} labelled"),
        Needs::WithValidation => format!("{n} labelled + validation"),
    }
}

/// One cell in words, for failures and warnings.
pub fn cell(cell: &Cell) -> String {
    let mut text = format!("{} / {}", cell.model, cell.method);
    if let Some(spec) = &cell.spec {
        let _ = write!(text, " / {}", widths(spec.bits));
    }
    if let Some(draw) = cell.draw {
        let _ = write!(text, " / draw {draw}");
    }
    if let Some(seed) = cell.seed {
        let _ = write!(text, " / seed {seed}");
    }
    text
}

/// Why a row has no result.
pub fn reason(row: &Row) -> String {
    row.reason.clone().unwrap_or_else(|| "no reason was recorded".to_string())
}

/// A name that is safe as a file name on every platform.
pub fn slug(name: &str) -> String {
    let mut text = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() || (matches!(c, '_' | '.') && !text.is_empty()) {
            text.push(c);
        } else if !text.ends_with('-') && !text.is_empty() {
            text.push('-');
        }
    }
    let text = text.trim_end_matches(['-', '.']).to_string();
    if text.is_empty() { "unnamed".to_string() } else { text }
}

/// Compares names so that `resnet8` stands before `resnet20`.
pub fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    if a == b {
        return std::cmp::Ordering::Equal;
    }
    chunks(a).cmp(&chunks(b)).then_with(|| a.cmp(b))
}

/// Splits a name into numbers and other text; numbers sort before text.
fn chunks(name: &str) -> Vec<(u128, String)> {
    let mut parts: Vec<(bool, String)> = Vec::new();
    for c in name.chars() {
        match parts.last_mut() {
            Some((digits, text)) if *digits == c.is_ascii_digit() => text.push(c),
            _ => parts.push((c.is_ascii_digit(), c.to_string())),
        }
    }
    parts
        .into_iter()
        .map(|(digits, text)| match (digits, text.parse()) {
            (true, Ok(number)) => (number, String::new()),
            _ => (u128::MAX, text),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(two(-0.001), "0.00");
        assert_eq!(two(91.734), "91.73");
        assert_eq!(
            [0.0, 0.0123, 0.5, 9.994, 12.34, 99.96, 1234.5].map(short),
            ["0.00", "0.012", "0.50", "9.99", "12.3", "100", "1,235"].map(String::from)
        );
        assert_eq!([0, 999, 1000, -1_234_567].map(grouped), ["0", "999", "1,000", "-1,234,567"]);
    }

    #[test]
    fn labels() {
        assert_eq!(widths("w2ta8".parse().unwrap()), "W2tA8");
        assert_eq!(data(Needs::Unlabelled, 1024), "1,024 unlabelled");
        assert_eq!(data(Needs::UnlabelledIfAsked, 0), "none");
    }

    #[test]
    fn slugs_never_leave_their_folder() {
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("<b>ResNet 20</b>"), "b-resnet-20-b");
        assert_eq!(slug("résumé"), "r-sum");
        assert_eq!(slug("…"), "unnamed");
    }

    #[test]
    fn small_numbers_first() {
        let mut names = ["resnet20", "resnet8", "mobilenet", "resnet"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["mobilenet", "resnet", "resnet8", "resnet20"]);
    }
}
