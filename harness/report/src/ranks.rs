//! Methods over models: mean ranks at the same widths and rules, and why there are none.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::{Group, Groups};
use crate::stats::{NoRanks, Ranks, friedman};

/// The methods that ran at one question on the same models.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Widths and placement of quantizers.
    pub question: String,
    /// Methods in the order of the ranks.
    pub methods: Vec<String>,
    /// Models that all of them ran on.
    pub models: usize,
    /// Their ranks, or why they are not compared.
    pub ranks: Result<Ranks, NoRanks>,
}

/// One ranking for each question that several methods answered.
///
/// A method counts where it has a result on every model on which any method of the question has
/// one; those with gaps are left out, so that all are ranked on the same models.
pub fn rankings(groups: &Groups<'_>) -> Vec<Ranking> {
    let mut questions: BTreeMap<String, Vec<&Group<'_>>> = BTreeMap::new();
    for group in groups.groups.iter().filter(|g| !g.is_fp32() && !g.aside) {
        if let (Some(spec), Some(_)) = (group.spec(), group.published()) {
            let question = format!("{}, {} sites", group.widths(), spec.sites);
            questions.entry(question).or_default().push(group);
        }
    }
    let several = questions.into_iter().map(|(question, all)| ranking(question, &all));
    several.filter(|r| r.methods.len() > 1).collect()
}

fn ranking(question: String, all: &[&Group<'_>]) -> Ranking {
    let subjects: BTreeSet<usize> = all.iter().map(|g| g.subject).collect();
    let mut by_method: BTreeMap<&str, BTreeMap<usize, f64>> = BTreeMap::new();
    for group in all {
        if let Some(summary) = group.published() {
            let accuracy = summary.acc_simulated_pct.mean;
            by_method.entry(&group.series).or_default().insert(group.subject, accuracy);
        }
    }
    by_method.retain(|_, accuracies| accuracies.len() == subjects.len());
    let accuracies: Vec<Vec<f64>> =
        subjects.iter().map(|subject| by_method.values().map(|of| of[subject]).collect()).collect();
    Ranking {
        question,
        methods: by_method.keys().map(ToString::to_string).collect(),
        models: subjects.len(),
        ranks: friedman(&accuracies),
    }
}

/// Why no ranking of a report is compared; none if one is, or nothing could be.
pub fn why_not(rankings: &[Ranking]) -> Option<String> {
    let reason = |r: &Ranking| r.ranks.as_ref().err().map(ToString::to_string);
    let widest = rankings.iter().max_by_key(|r| r.models)?;
    let none = rankings.iter().all(|r| r.ranks.is_err());
    let why = reason(widest).filter(|_| none)?;
    Some(format!("Ranks of methods over models (Friedman, Nemenyi) are not compared: {why}."))
}
