//! Costs beside accuracies: which rows they belong to, fronts, and what a target changes.
#![allow(clippy::unwrap_used)]

mod fixtures;

use fixtures::{cost, fp32, row, rows};
use quantbench_core::{CostRow, Family, Row};
use quantbench_report::table::Table;
use quantbench_report::{Findings, Stored};

/// FP32, two W4A4 methods of which one is better and slower here, one W2A2 that cannot run there.
fn some() -> (Vec<Row>, Vec<CostRow>) {
    let free = Family::DataFree;
    let rows = rows(vec![
        fp32("resnet20", 9173),
        row("resnet20", "good", free, "w4a4", 9100),
        row("resnet20", "fair", free, "w4a4", 8900),
        row("resnet20", "bad", free, "w2a2", 1000),
    ]);
    let of = |method: &str| rows.iter().find(|r| r.cell.method == method).unwrap();
    let mut never = cost(of("bad"), "b", 1.0, None);
    never.result = None;
    never.reason = Some("no 2-bit weights (a); it has 4 bits".to_string());
    let costs = vec![
        cost(of("good"), "a", 2e-3, Some(3e-3)),
        cost(of("fair"), "a", 1e-3, Some(4e-3)),
        cost(of("bad"), "a", 5e-4, Some(1e-3)),
        cost(of("good"), "b", 1e-6, None),
        cost(of("fair"), "b", 2e-6, None),
        never,
        CostRow { artefact: "of another run".to_string(), ..cost(of("good"), "c", 1.0, None) },
    ];
    (rows, costs)
}

fn field<'t>(table: &'t Table, line: usize, column: &str) -> &'t str {
    let at = table.columns.iter().position(|c| c.head == column).unwrap();
    &table.sections[0].lines[line].fields[at].text
}

#[test]
fn costs_stand_beside_the_accuracies_of_their_artefacts_alone() {
    let (rows, costs) = some();
    let stored = Stored { rows: &rows, costs: &costs, ..Stored::default() };
    let findings = Findings::with(&stored).unwrap();
    let [a, b] = findings.tables.targets.as_slice() else {
        panic!("{:?}", findings.tables.targets)
    };
    let line = |table: &Table, method: &str| {
        let lines = &table.sections[0].lines;
        lines.iter().position(|l| l.fields[0].text == method).unwrap()
    };
    let (good, fair, bad) = (line(a, "good"), line(a, "fair"), line(a, "bad"));
    assert_eq!(field(a, good, "time"), "2.00");
    assert_eq!(field(a, good, "energy"), "3.00");
    assert_eq!(field(a, good, "layers that wait for memory"), "1/2");
    // Beaten in energy by one that is better, not in time.
    assert_eq!(field(a, good, "on the front of"), "time, energy, size");
    assert_eq!(field(a, fair, "on the front of"), "time");
    assert_eq!(field(a, bad, "on the front of"), "time, energy, size");
    // The other way round on the other target, which states no energy and lacks a width.
    assert_eq!(field(b, line(b, "fair"), "on the front of"), "–");
    assert_eq!(field(b, line(b, "good"), "time"), "0.00100");
    assert_eq!(field(b, line(b, "bad"), "over"), "cannot run");
    assert_eq!(b.notes, ["Cannot run here: no 2-bit weights (a); it has 4 bits."]);
}

#[test]
fn the_choice_of_target_shows_what_one_would_take_there() {
    let (rows, costs) = some();
    let stored = Stored { rows: &rows, costs: &costs, ..Stored::default() };
    let findings = Findings::with(&stored).unwrap();
    let table = findings.tables.choices.as_ref().unwrap();
    for (i, runs) in ["3 of 3", "2 of 3"].into_iter().enumerate() {
        assert_eq!(field(table, i, "artefacts that run"), runs);
        assert_eq!(field(table, i, "fastest within a point of FP32"), "good W4A4");
    }
    assert_eq!(field(table, 1, "its energy"), "–");
    // Same bit operations on b: there is no order to compare with.
    assert_eq!(field(table, 1, "order by time against order by bit operations"), "–");
    let kinds: Vec<&str> = findings.figures.iter().map(|f| f.kind).collect();
    assert_eq!(kinds.iter().filter(|k| **k == "roofline").count(), 2);
    assert_eq!(kinds.iter().filter(|k| **k == "target-time").count(), 1);
    assert!(Findings::of(&rows).unwrap().tables.choices.is_none());
}
