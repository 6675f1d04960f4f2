//! Which rows make a line, what it is called and what its fields say.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use quantbench_core::row::Gate;
use quantbench_core::{Family, FirstLast, ImageRule, ParamValue, Row, SitesRule, Spec};
use quantbench_report::table::{Field, Table};
use quantbench_report::{Findings, build, terminal_table};

mod fixtures;

use fixtures::read::{file, lookup};
use fixtures::{Made, fp32, row, rows};

fn minmax(label: &str, correct: u64) -> Made {
    row("m", "minmax", Family::DataDependent, label, correct)
}

fn squant(label: &str) -> Made {
    row("m", "squant", Family::DataFree, label, 9000)
}

fn with_spec(made: Made, change: impl FnOnce(&mut Spec)) -> Made {
    made.asked(|c| change(c.spec.as_mut().unwrap()))
}

fn labels(made: Vec<Made>) -> Vec<String> {
    let rows = rows(made);
    let findings = Findings::of(&rows).unwrap();
    findings.groups.groups.iter().map(|g| format!("{} {}", g.label, g.widths())).collect()
}

/// A field of the only section of a table, with its footnotes.
fn cell(table: &Table, line: usize, head: &str) -> (String, Vec<String>) {
    let column = table.columns.iter().position(|c| c.line().starts_with(head)).unwrap();
    let Field { text, marks } = &table.sections[0].lines[line].fields[column];
    (text.clone(), marks.iter().map(|&m| table.notes[m - 1].clone()).collect())
}

#[test]
fn rules_are_named_where_they_tell_groups_apart() {
    let academic = with_spec(minmax("w8a8", 9000), |s| s.sites = SitesRule::Academic);
    assert_eq!(
        labels(vec![minmax("w8a8", 9000), minmax("w4a4", 8000), academic]),
        [
            "minmax (sites=academic) W8A8",
            "minmax (sites=deployable) W8A8",
            "minmax (sites=academic) W4A4"
        ]
    );
    let same = with_spec(minmax("w4a4", 7000), |s| s.image = ImageRule::Same);
    let fp32 = with_spec(minmax("w4a4", 7000), |s| s.first_last = FirstLast::Fp32);
    let few = minmax("w4a4", 7000).asked(|c| c.calibration_images = 64);
    let names = labels(vec![minmax("w4a4", 8000), same, fp32, few]);
    for part in [
        "(image=8bit, first_last=8bit, calibration=64)",
        "(image=8bit, first_last=8bit, calibration=1024)",
        "(image=8bit, first_last=fp32, calibration=1024)",
        "(image=same, first_last=8bit, calibration=1024)",
    ] {
        assert_eq!(names.iter().filter(|n| n.contains(part)).count(), 1, "{part}: {names:?}");
    }
}

#[test]
fn rules_that_follow_from_the_widths_are_not_named() {
    let other_model = row("n", "minmax", Family::DataDependent, "w4a4", 8000);
    let other_model = with_spec(other_model, |s| s.sites = SitesRule::Deployable);
    assert_eq!(
        labels(vec![minmax("w8a8", 9000), minmax("w4a4", 8000), other_model]),
        ["minmax W8A8", "minmax W4A4", "minmax W4A4"]
    );
}

#[test]
fn a_failed_gate_withholds_its_own_subject_alone() {
    let on = |mut made: Made, data: &str, preprocessing: &str| {
        made.0.ids.test_data = data.repeat(16);
        made.0.ids.preprocessing = preprocessing.to_string();
        made.0.ids.eval = format!("{}{data}{preprocessing}", made.0.ids.eval);
        made
    };
    let failed = fp32("m", 5000).with(|r| r.gate = Gate::Failed);
    let rows = rows(vec![
        on(failed, "0bad", "v1"),
        on(minmax("w4a4", 7777), "0bad", "v1"),
        on(minmax("w4a4", 7666).partial(500), "0bad", "v1"),
        on(minmax("w4a4", 8111), "600d", "v1"),
        on(minmax("w4a4", 8222), "0bad", "v2"),
    ]);
    let csv = file(&build(&rows).unwrap(), "report.csv");
    for shown in ["81.110000", "82.220000"] {
        assert!(csv.contains(shown), "{shown} is withheld");
    }
    assert!(!csv.contains("77.770000"));
    assert_eq!(csv.matches("FP32 gate failed").count(), 3, "{csv}");
}

#[test]
fn a_deployed_accuracy_is_no_second_result_of_its_id() {
    let deployed = minmax("w8a8", 9000).deployed(8990, 20);
    let mut plain = minmax("w8a8", 9000).seen(|o| o.finished = "2026-02-01T00:00:00Z".into());
    plain.0.ids.eval.clone_from(&deployed.0.ids.eval);
    for rows in [rows(vec![plain.clone(), deployed.clone()]), rows(vec![deployed, plain])] {
        let report = build(&rows).unwrap();
        let csv = file(&report, "report.csv");
        assert_eq!(lookup(&csv, &["minmax"], "rows_done"), "1");
        assert_eq!(lookup(&csv, &["minmax"], "acc_deployed_pct"), "89.900000");
        let warnings = report.warnings();
        assert!(!warnings.iter().any(|w| w.contains("different results")), "{warnings:?}");
    }
}

#[test]
fn an_image_left_in_fp32_is_not_shown_as_quantized() {
    let rows = rows(vec![
        minmax("w4a4", 8000),
        squant("w4a4").image_left(),
        with_spec(squant("w2a2"), |s| s.image = ImageRule::Fp32),
    ]);
    let findings = Findings::of(&rows).unwrap();
    let [(_, calibrated, _), (_, free, _)] = findings.tables.families.as_slice() else {
        panic!("{:?}", findings.tables.families);
    };
    assert_eq!(cell(calibrated, 0, "image"), ("8bit".into(), vec![]));
    let (text, notes) = cell(free, 0, "image");
    assert_eq!(text, "fp32");
    assert_eq!(notes, ["The method leaves the image in FP32 (8bit was asked)."]);
    assert_eq!(cell(free, 1, "image").0, "fp32");
    assert!(cell(free, 1, "image").1.is_empty(), "FP32 was asked here");
    let (_, protocol) = cell(&findings.tables.overall, 1, "sites");
    assert!(protocol[0].contains("image fp32 (8bit was asked)"), "{protocol:?}");
    let protocols = &findings.provenance.protocols;
    assert!(protocols.iter().any(|p| p.starts_with("W4A4 (squant): academic sites, image fp32")));
    assert!(protocols.iter().any(|p| p.starts_with("W4A4: academic sites, image 8bit")));
    let csv = file(&build(&rows).unwrap(), "report.csv");
    assert_eq!(lookup(&csv, &["squant", "W4A4"], "image"), "8bit");
    assert_eq!(lookup(&csv, &["squant", "W4A4"], "image_in_result"), "fp32");
    assert_eq!(lookup(&csv, &["minmax"], "image_in_result"), "8bit");
}

#[test]
fn notes_of_the_methods_stand_once_under_their_family() {
    let noted = |made: Made, note: &str| made.with(|r| r.notes.push(note.to_string()));
    let other = |label| row("n", "squant", Family::DataFree, label, 9000);
    let rows: Vec<Row> = rows(vec![
        noted(minmax("w4a4", 8000).draw(0), "a | <guard> acted"),
        noted(minmax("w4a4", 8000).draw(1), "a | <guard> acted"),
        noted(squant("w8a8"), "no range"),
        noted(squant("w4a4"), "no range"),
        noted(other("w8a8"), "no range"),
        noted(noted(other("w4a4"), "no range"), "3 layers"),
        noted(row("o", "minmax", Family::DataDependent, "w4a4", 1), "never shown")
            .with(|r| r.gate = Gate::Failed),
    ]);
    let findings = Findings::of(&rows).unwrap();
    let remarks: Vec<_> = findings.tables.families.iter().map(|f| &f.1.remarks).collect();
    assert_eq!(*remarks[0], ["minmax, W4A4: a | <guard> acted"]);
    assert_eq!(*remarks[1], ["squant, W8A8, W4A4: no range", "squant, W4A4 (n): 3 layers"]);
    assert!(findings.tables.overall.remarks.is_empty());
    let report = build(&rows).unwrap();
    assert!(file(&report, "report.md").contains("- minmax, W4A4: a \\| &lt;guard&gt; acted\n"));
    let page = file(&report, "report.html");
    assert!(page.contains("Notes of the methods:"));
    assert!(page.contains("<li>minmax, W4A4: a | &lt;guard&gt; acted</li>"));
    assert!(!terminal_table(&rows).contains("no range"));
}

#[test]
fn the_deployed_accuracy_has_its_interval_over_draws() {
    let draw = |d, correct: u64| minmax("w8a8", 9000).draw(d).deployed(correct, 20);
    let three = rows(vec![draw(0, 8900), draw(1, 9000), draw(2, 9100)]);
    let findings = Findings::of(&three).unwrap();
    // Mean 90, sd 1, half width 4.302653 / sqrt(3).
    let overall = &findings.tables.overall;
    assert_eq!(cell(overall, 0, "acc_deployed"), ("90.00 ± 2.48".into(), vec![]));
    let csv = file(&build(&three).unwrap(), "report.csv");
    let of = |column| lookup(&csv, &["minmax"], column);
    assert_eq!(of("acc_deployed_sd_over_draws_points"), "1.000000");
    assert_eq!(of("acc_deployed_t95_low_pct"), "87.515862");
    assert_eq!(of("acc_deployed_t95_high_pct"), "92.484138");

    let of = |made| {
        let rows = rows(made);
        cell(&Findings::of(&rows).unwrap().tables.overall, 0, "acc_deployed")
    };
    let (text, notes) = of(vec![draw(0, 8900)]);
    assert_eq!(text, "89.00 –");
    assert!(notes[0].contains("a single draw was run"), "{notes:?}");
    let (text, notes) = of(vec![draw(0, 8900), minmax("w8a8", 9000).draw(1)]);
    assert_eq!(text, "89.00 –");
    assert_eq!(notes, ["Deployed accuracy of some of the draws only."]);
}

#[test]
fn draws_and_seeds_are_listed_once_and_in_order() {
    let run = |d, s| minmax("w8a8", 9000).draw(d).asked(|c| c.seed = Some(s));
    let rows = rows(vec![run(0, 7), run(0, 3), run(1, 3), run(1, 7), run(10, 3), run(2, 5)]);
    let csv = file(&build(&rows).unwrap(), "report.csv");
    assert_eq!(lookup(&csv, &["minmax"], "draws"), "0;1;2;10");
    assert_eq!(lookup(&csv, &["minmax"], "seeds"), "3;5;7");
}

#[test]
fn long_labels_may_break_between_name_and_value() {
    let twn = |bn| minmax("w4a4", 8000).param("bn_reestimate", ParamValue::Bool(bn));
    let page = file(&build(&rows(vec![twn(false), twn(true)])).unwrap(), "report.html");
    assert!(page.contains("minmax (bn_reestimate=<wbr>false)</th>"));
}

#[test]
fn accuracies_just_beyond_the_magnified_part_can_be_drawn() {
    let rows = rows(vec![fp32("m", 9173), minmax("w4a4", 7700), minmax("w2a2", 7600)]);
    let findings = Findings::of(&rows).unwrap();
    assert_eq!(findings.figures[0].markers, 2);
    assert!(!findings.figures[0].caption.contains("broken"));
}
