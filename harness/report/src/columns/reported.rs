//! Reported beside reproduced as lines.

use super::{Named, asked, high, int, low, num, opt, text};
use crate::findings::Findings;
use crate::verdict::matching::Outcome;

/// One line for each quantized group with numbers.
pub(crate) fn reported<'a>(findings: &'a Findings<'_>) -> Vec<Vec<Named<'a>>> {
    let line = |comparison: &crate::verdict::matching::Comparison<'_>| {
        let group = &findings.groups.groups[comparison.group];
        let (records, range, verdict, conflict, reason) = match &comparison.outcome {
            Outcome::Compared { records, range, verdict, conflict } => {
                (records.clone(), Some(*range), verdict.name(), Some(*conflict), None)
            }
            Outcome::NotComparable { nearest, reason } => {
                (nearest.iter().copied().collect(), None, "not comparable", None, Some(reason))
            }
        };
        let first = records.first();
        let drops: Vec<f64> = records.iter().filter_map(|r| r.drop_points()).collect();
        let edge = |of: fn(f64, f64) -> f64| drops.iter().copied().reduce(of);
        let sources: Vec<&str> = records.iter().map(|r| r.source.as_str()).collect();
        let mut line = asked(group.asked);
        line.extend([
            ("verdict", text(verdict)),
            ("not_comparable_reason", opt(reason)),
            ("sources_conflict", opt(conflict)),
            ("reported_records", int(Some(records.len()))),
            ("reported_fp32_pct", num(first.and_then(|r| r.fp32_top1))),
            ("reported_acc_pct", num(first.map(|r| r.top1))),
            ("reported_drop_low_points", num(edge(f64::min))),
            ("reported_drop_high_points", num(edge(f64::max))),
            ("reported_one_run_half_points", num(range.map(|r| r.sampling))),
            ("drop_points", num(Some(comparison.own.mean))),
            ("drop_over_draws_t95_low_points", low(comparison.own.interval)),
            ("drop_over_draws_t95_high_points", high(comparison.own.interval)),
            ("reported_sources", text(sources.join("; "))),
        ]);
        line
    };
    findings.comparisons.iter().map(line).collect()
}
