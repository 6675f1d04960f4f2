//! Costs of groups on targets as lines.

use super::{Named, asked, high, int, low, num, opt, text};
use crate::findings::Findings;
use crate::stats::Interval;

/// One line for each group and target.
pub(crate) fn costs<'a>(findings: &'a Findings<'_>) -> Vec<Vec<Named<'a>>> {
    let mut lines = Vec::new();
    for target in &findings.targets {
        for entry in &target.entries {
            let group = &findings.groups.groups[entry.group];
            let (cost, summary) = (entry.cost.as_ref(), group.published());
            let spread = cost.and_then(|c| c.spread_s).map(|(low, high)| Interval { low, high });
            let mut line = asked(group.asked);
            line.extend([
                ("profile", text(target.profile)),
                ("cost_kind", text(target.kind.name())),
                ("cost_by", text(target.by)),
                ("cannot_run", opt(entry.reason.filter(|_| cost.is_none()))),
                ("acc_simulated_pct", num(summary.map(|s| s.acc_simulated_pct.mean))),
                ("drop_points", num(summary.map(|s| s.drop_points))),
                ("time_s", num(cost.map(|c| c.seconds))),
                ("time_median95_low_s", low(spread)),
                ("time_median95_high_s", high(spread)),
                ("energy_j", num(cost.and_then(|c| c.joules))),
                ("speed_up_ratio", num(cost.map(|c| c.speed_up))),
                ("speed_up_over", opt(cost.map(|c| c.reference.clone()))),
                ("speed_up_ceiling_ratio", num(cost.and_then(|c| c.ceiling))),
                ("layers_memory_bound", int(cost.and_then(|c| c.memory_bound).map(|m| m.0))),
                ("layers_with_bound", int(cost.and_then(|c| c.memory_bound).map(|m| m.1))),
                ("size_packed_bytes", num(summary.map(|s| s.packed_bytes))),
            ]);
            lines.push(line);
        }
    }
    lines
}
