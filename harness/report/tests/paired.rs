//! Predictions of the same test images, compared image by image.
#![allow(clippy::unwrap_used)]

mod fixtures;

use std::collections::BTreeMap;

use fixtures::{fp32, row, rows};
use quantbench_core::{Family, Row};
use quantbench_report::paired::Paired;
use quantbench_report::{Evaluations, Findings, Stored};

/// Ten thousand images whose label is 1.
const IMAGES: usize = 10_000;

/// Predictions by evaluation, and whether labels are stored.
struct Kept(BTreeMap<String, Vec<u16>>, bool);

impl Evaluations for Kept {
    fn classes(&self, eval: &str) -> Option<Vec<u16>> {
        self.0.get(eval).cloned()
    }

    fn labels(&self, _: &str) -> Option<Vec<u16>> {
        self.1.then(|| vec![1; IMAGES])
    }
}

/// Predictions that are wrong on the images of a range.
fn wrong(range: std::ops::Range<usize>) -> Vec<u16> {
    (0..IMAGES).map(|i| u16::from(!range.contains(&i))).collect()
}

fn some() -> (Vec<Row>, Kept) {
    let free = Family::DataFree;
    let rows = rows(vec![
        fp32("m", 9000),
        row("m", "best", free, "w4a4", 8900),
        row("m", "like", free, "w4a4", 8890),
        row("m", "less", free, "w4a4", 8700),
        row("m", "alone", free, "w2a2", 5000),
    ]);
    let ranges = [0..1000, 0..1100, 0..1110, 0..1300, 0..5000];
    let kept = rows.iter().zip(ranges).map(|(r, range)| (r.ids.eval.clone(), wrong(range)));
    let kept = Kept(kept.collect(), true);
    (rows, kept)
}

fn paired(rows: &[Row], kept: &Kept, method: &str) -> Paired {
    let stored = Stored { rows, evaluations: Some(kept), ..Stored::default() };
    let findings = Findings::with(&stored).unwrap();
    let group = findings.groups.groups.iter().find(|g| g.asked.cell.method == method).unwrap();
    group.paired.clone()
}

#[test]
fn the_drop_has_the_interval_of_the_images_that_changed() {
    let (rows, kept) = some();
    let drop = paired(&rows, &kept, "best").drop_points.unwrap();
    // A hundred images lost and none gained: far narrower than two intervals of single networks.
    assert!(drop.low > 0.78 && drop.high < 1.23, "{drop:?}");
}

#[test]
fn methods_are_compared_with_the_best_of_their_widths_alone() {
    let (rows, kept) = some();
    let best = paired(&rows, &kept, "best");
    assert!(best.is_best && best.against_best.is_none());
    let like = paired(&rows, &kept, "like").against_best.unwrap();
    let less = paired(&rows, &kept, "less").against_best.unwrap();
    assert_eq!((like.counts.first, like.counts.second), (10, 0));
    // Mid-p of 0 in 10 is 1/1024; the larger of two p-values is not multiplied.
    assert!((like.p - 1.0 / 1024.0).abs() < 1e-12, "{}", like.p);
    assert!(less.p < 1e-30, "{}", less.p);
    let alone = paired(&rows, &kept, "alone");
    assert!(alone.against_best.is_none() && !alone.is_best && alone.drop_points.is_some());
}

#[test]
fn what_is_not_stored_is_said() {
    let (rows, mut kept) = some();
    let cases = [
        (rows[1].ids.eval.clone(), "its predictions are not stored"),
        (rows[0].ids.eval.clone(), "the predictions of the FP32 network are not stored"),
    ];
    for (eval, why) in cases {
        kept.0.remove(&eval);
        let found = paired(&rows, &kept, "best");
        assert_eq!((found.missing, found.drop_points), (Some(why), None));
    }
    kept.1 = false;
    let why = "the labels of the test images are not stored";
    assert_eq!(paired(&rows, &kept, "like").missing, Some(why));
    let stored = Stored { rows: &rows, ..Stored::default() };
    let findings = Findings::with(&stored).unwrap();
    let notes = &findings.tables.families[0].1.notes;
    assert!(notes.iter().any(|n| n.starts_with("No paired interval: ")), "{notes:?}");
}
