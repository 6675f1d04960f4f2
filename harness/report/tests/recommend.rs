//! Choices within limits: what is left, what is beaten, and what the next step costs.
#![allow(clippy::unwrap_used)]

mod fixtures;

use fixtures::{cost, fp32, row, rows};
use quantbench_core::row::MethodCost;
use quantbench_core::{CostRow, Family, Needs, Row};
use quantbench_report::recommend::{Answer, Data, Limits, Quantity, recommend};
use quantbench_report::{Findings, Stored};

fn some() -> Vec<Row> {
    let dependent = Family::DataDependent;
    let at = |method: &str, widths: &str, correct: u64, cpu_s: f64, packed: u64| {
        row("m", method, dependent, widths, correct)
            .with(|r| r.sizes.packed_bytes = packed * 1024)
            .seen(|o| o.method = Some(MethodCost { cpu_s, ..MethodCost::default() }))
    };
    rows(vec![
        fp32("m", 9173),
        at("fast", "w4a4", 8900, 1.0, 100),
        at("beaten", "w4a4", 8800, 1.0, 110),
        at("slow", "w4a4", 9100, 100.0, 100),
        at("small", "w2a2", 7000, 1.0, 50),
        at("labels", "w4a4", 9150, 1.0, 100).asked(|c| c.needs = Needs::Labelled),
    ])
}

fn ask(rows: &[Row], costs: &[CostRow], limits: &Limits) -> Answer {
    let stored = Stored { rows, costs, ..Stored::default() };
    let findings = Findings::without_figures(&stored).unwrap();
    recommend(&findings, limits).remove(0)
}

fn methods(answer: &Answer) -> Vec<&str> {
    answer.choices.iter().map(|c| c.method.as_str()).collect()
}

#[test]
fn only_what_no_other_beats_is_named() {
    let answer = ask(&some(), &[], &Limits::default());
    assert_eq!((methods(&answer), answer.seen), (vec!["labels", "small"], 5));
    assert!(answer.steps.is_empty() && answer.excluded.is_empty());
    assert!(answer.choices.iter().all(|c| c.rows.len() == 1 && !c.rows[0].is_empty()));
}

#[test]
fn each_limit_says_what_it_keeps_out_and_what_the_next_step_costs() {
    let limits = Limits { data: Some(Data::Unlabelled), cpu_s: Some(10.0), ..Limits::default() };
    let answer = ask(&some(), &[], &limits);
    assert_eq!(methods(&answer), ["fast", "small"]);
    assert_eq!(answer.excluded, [(Quantity::Data, 1), (Quantity::CpuS, 1)]);
    assert_eq!(answer.outside, 2);
    let steps: Vec<(Quantity, &str, &str)> =
        answer.steps.iter().map(|s| (s.relax, s.choice.method.as_str(), s.to.as_str())).collect();
    assert_eq!(
        steps,
        [
            (Quantity::Data, "labels", "1,024 labelled images"),
            (Quantity::CpuS, "slow", "100 CPU s")
        ]
    );
    assert!((answer.steps[0].gain_points.unwrap() - 2.5).abs() < 1e-9);
}

#[test]
fn where_nothing_fits_the_steps_say_how_far_it_is() {
    let answer = ask(&some(), &[], &Limits { size_kib: Some(10.0), ..Limits::default() });
    assert!(answer.choices.is_empty());
    assert_eq!(answer.excluded, [(Quantity::SizeKib, 5)]);
    assert_eq!((answer.steps[0].gain_points, answer.steps[0].to.as_str()), (None, "100 KiB"));
}

#[test]
fn a_target_counts_time_and_energy_and_what_it_cannot_run_is_out() {
    let rows = some();
    let of = |method: &str| rows.iter().find(|r| r.cell.method == method).unwrap();
    let mut never = cost(of("labels"), "chip", 1.0, None);
    (never.result, never.reason) = (None, Some("no mapping".to_string()));
    let costs = [
        cost(of("fast"), "chip", 1e-3, Some(1e-3)),
        cost(of("beaten"), "chip", 1e-4, Some(1e-3)),
        cost(of("slow"), "chip", 5e-3, Some(1e-3)),
        never,
    ];
    let chip = || Limits { profile: Some("chip".to_string()), ..Limits::default() };
    let answer = ask(&rows, &costs, &chip());
    // "beaten" is the fastest here, so it is not beaten any more.
    assert_eq!(methods(&answer), ["slow", "fast", "beaten"]);
    assert_eq!(answer.excluded, [(Quantity::Profile, 2)]);
    let answer = ask(&rows, &costs, &Limits { time_ms: Some(2.0), ..chip() });
    assert_eq!(methods(&answer), ["fast", "beaten"]);
    let step = &answer.steps[0];
    assert_eq!((step.choice.method.as_str(), step.relax), ("labels", Quantity::Profile));
}
