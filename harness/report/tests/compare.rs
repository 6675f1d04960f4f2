//! Two runs: what changed, what is alone, and what is noise.
#![allow(clippy::unwrap_used)]

mod fixtures;

use std::collections::BTreeMap;

use fixtures::{fp32, row, rows};
use quantbench_core::{Family, Row};
use quantbench_report::Evaluations;
use quantbench_report::compare::{Comparison, Judged, Pair, Run, compare};

/// Predictions that are right on the first so many of ten thousand images whose label is 1.
struct Kept(BTreeMap<String, usize>);

impl Evaluations for Kept {
    fn classes(&self, eval: &str) -> Option<Vec<u16>> {
        let right = *self.0.get(eval)?;
        Some((0..10_000).map(|i| u16::from(i < right)).collect())
    }

    fn labels(&self, _: &str) -> Option<Vec<u16>> {
        Some(vec![1; 10_000])
    }
}

fn run(correct: u64) -> Vec<Row> {
    rows(vec![
        fp32("m", 9000),
        row("m", "kept", Family::DataFree, "w4a4", 8900),
        row("m", "moved", Family::DataFree, "w4a4", correct)
            .with(|r| r.predictions = format!("of {correct}")),
    ])
}

fn kept(rows: &[Row]) -> Kept {
    let right = |r: &Row| r.result.as_ref().unwrap().acc_simulated.correct as usize;
    Kept(rows.iter().map(|r| (r.ids.eval.clone(), right(r))).collect())
}

fn both(a: &[Row], b: &[Row], stored: bool) -> Comparison {
    let (x, y) = (kept(a), kept(b));
    let first = Run { rows: a, evaluations: stored.then_some(&x as &dyn Evaluations) };
    let second = Run { rows: b, evaluations: stored.then_some(&y as &dyn Evaluations) };
    compare(first, second).unwrap()
}

fn moved(comparison: &Comparison) -> &Pair {
    comparison.pairs.iter().find(|p| p.cell.contains("moved")).unwrap()
}

#[test]
fn a_run_is_like_itself() {
    let rows = run(8000);
    let found = both(&rows, &rows, true);
    assert_eq!(found.pairs.len(), 3);
    assert!(!found.differs() && !found.changed());
    assert!(found.pairs.iter().all(|p| p.judged == Judged::Same && p.differs_in.is_none()));
}

#[test]
fn images_tell_what_intervals_cannot() {
    // Thirty images lost and none gained: within the intervals of both, beyond paired noise.
    let (a, b) = (run(8000), run(7970));
    let found = both(&a, &b, true);
    let pair = moved(&found);
    assert_eq!((pair.judged, pair.discordant), (Judged::Paired, Some((30, 0))));
    assert!(pair.beyond_noise && pair.p.unwrap() < 1e-6 && found.changed() && found.differs());
    assert!((pair.change_points + 0.3).abs() < 1e-9);
    assert_eq!(pair.differs_in.as_deref(), Some("acc_simulated"));
    let blind = both(&a, &b, false);
    assert_eq!(moved(&blind).judged, Judged::Intervals);
    assert!(!blind.changed() && blind.differs());
    assert!(both(&a, &run(7000), false).changed());
}

#[test]
fn what_is_in_one_run_alone_is_named() {
    let (a, mut b) = (run(8000), run(8000));
    b.retain(|row| row.cell.method != "moved");
    let found = both(&a, &b, true);
    assert_eq!((found.pairs.len(), found.only_first.len(), found.only_second.len()), (2, 1, 0));
    assert!(found.only_first[0].contains("moved") && found.differs() && !found.changed());
    assert!(
        compare(Run { rows: &a, evaluations: None }, Run { rows: &[], evaluations: None }).is_err()
    );
}
