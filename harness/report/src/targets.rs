//! What artefacts cost on targets, beside the groups whose artefacts they are.
//!
//! Costs are joined to rows by the artefact's id; times that were measured, emulated and modelled
//! are targets of their own and never enter one mean.

use std::collections::BTreeMap;

use quantbench_core::cost_row::{CostResult, Limit};
use quantbench_core::{CostKind, CostRow};

use crate::format;
use crate::group::Groups;

/// One target, with every group that has artefacts costed on it.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Name of the profile.
    pub profile: &'a str,
    /// How its costs were obtained.
    pub kind: CostKind,
    /// What obtained them.
    pub by: &'a str,
    /// Groups in the order of the tables.
    pub entries: Vec<Entry<'a>>,
}

impl Target<'_> {
    /// Name with kind and what obtained the numbers.
    pub fn title(&self) -> String {
        format!("{}: cost_{}, {}", self.profile, self.kind.name(), self.by)
    }
}

/// The cost of one group's artefacts on one target.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Index in [`Groups::groups`].
    pub group: usize,
    /// The numbers, means over draws; none where the target runs none of them.
    pub cost: Option<MeanCost>,
    /// Why there are none.
    pub reason: Option<&'a str>,
    /// The cost row that stands for the group's layers.
    pub example: Option<&'a CostResult>,
}

/// Means over the artefacts of a group, per image.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanCost {
    /// Seconds.
    pub seconds: f64,
    /// Widest 95 % interval of a measured median, in seconds.
    pub spread_s: Option<(f64, f64)>,
    /// Joules, where the target states them.
    pub joules: Option<f64>,
    /// Speed-up over `reference`.
    pub speed_up: f64,
    /// The speed-up that peak and bandwidth allow.
    pub ceiling: Option<f64>,
    /// What the speed-up compares with.
    pub reference: String,
    /// Layers of the first artefact that wait for memory, of those of which it is known.
    pub memory_bound: Option<(usize, usize)>,
}

/// Joins cost rows with groups; rows of artefacts that no group shows are left out.
pub fn targets<'a>(groups: &Groups<'_>, costs: &'a [CostRow]) -> Vec<Target<'a>> {
    let mut by_artefact: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, group) in groups.groups.iter().enumerate() {
        if group.published().is_some() && !group.aside {
            for row in &group.done {
                by_artefact.entry(row.ids.artefact.as_str()).or_default().push(i);
            }
        }
    }
    let mut found: BTreeMap<(CostKind, &str, &str), BTreeMap<usize, Vec<&'a CostRow>>> =
        BTreeMap::new();
    for cost in costs {
        let target = (cost.kind, cost.profile.as_str(), cost.by.as_str());
        for group in by_artefact.get(cost.artefact.as_str()).into_iter().flatten() {
            found.entry(target).or_default().entry(*group).or_default().push(cost);
        }
    }
    let mut targets: Vec<Target<'a>> = found
        .into_iter()
        .map(|((kind, profile, by), groups)| Target {
            profile,
            kind,
            by,
            entries: groups.into_iter().map(|(group, rows)| entry(group, rows)).collect(),
        })
        .collect();
    targets
        .sort_by(|a, b| (a.kind.cmp(&b.kind)).then_with(|| format::natural(a.profile, b.profile)));
    targets
}

fn entry(group: usize, mut rows: Vec<&CostRow>) -> Entry<'_> {
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let results: Vec<&CostResult> = rows.iter().filter_map(|row| row.result.as_ref()).collect();
    Entry {
        group,
        cost: mean_cost(&results),
        reason: rows.iter().find_map(|row| row.reason.as_deref()),
        example: results.first().copied(),
    }
}

fn mean_cost(results: &[&CostResult]) -> Option<MeanCost> {
    let first = results.first()?;
    let mean = |of: &dyn Fn(&CostResult) -> f64| {
        results.iter().map(|r| of(r)).sum::<f64>() / results.len() as f64
    };
    let all = |of: &dyn Fn(&CostResult) -> Option<f64>| {
        results.iter().all(|r| of(r).is_some()).then(|| mean(&|r| of(r).unwrap_or_default()))
    };
    let spread = results.iter().filter_map(|r| r.spread).map(|s| (s.low_s, s.high_s));
    let known: Vec<Limit> = first.layers.iter().filter_map(|layer| layer.limit).collect();
    let memory = known.iter().filter(|limit| **limit == Limit::Memory).count();
    Some(MeanCost {
        seconds: mean(&|r| r.seconds),
        spread_s: spread.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
        joules: all(&|r| r.joules),
        speed_up: mean(&|r| r.speed_up),
        ceiling: all(&|r| r.ceiling),
        reference: first.reference.clone(),
        memory_bound: (!known.is_empty()).then_some((memory, known.len())),
    })
}
