//! What a report says about rows of every kind, and what its files look like.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use quantbench_core::row::Status;
use quantbench_core::{Family, ParamValue, Row};
use quantbench_report::{Findings, OUTPUTS, ReportError, build, terminal_table};

mod fixtures;

use fixtures::read::{file, lookup, parse_csv};
use fixtures::{fp32, odd, row, rows, survey};

#[test]
fn every_output_has_a_name_and_safe_files() {
    let names: Vec<&str> = OUTPUTS.iter().map(|o| o.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "OUTPUTS is not alphabetical: {names:?}");
    for rows in [survey(), odd()] {
        let mut names: Vec<String> =
            build(&rows).unwrap().files().into_iter().map(|(name, _)| name).collect();
        for name in ["report.md", "report.csv", "rows.csv", "rows.parquet", "report.html"] {
            assert!(names.iter().any(|n| n == name), "{name} is missing");
        }
        for name in &names {
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            assert!(name.chars().all(safe) && !name.contains("..") && !name.starts_with('/'));
        }
        names.sort();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before, "two files have the same name");
    }
}

#[test]
fn order_of_the_rows_does_not_matter() {
    for mut rows in [survey(), odd()] {
        let forwards = build(&rows).unwrap();
        rows.reverse();
        assert_eq!(forwards, build(&rows).unwrap());
        rows.rotate_left(3);
        assert_eq!(forwards, build(&rows).unwrap());
    }
}

#[test]
fn no_rows_says_what_to_do() {
    let error = build(&[]).unwrap_err();
    assert!(matches!(error, ReportError::NoRows));
    insta::assert_snapshot!(error, @"there are no rows to report; expected at least one finished cell: run a survey first with `quantbench run CONFIG`, then report its run folder");
    assert_eq!(terminal_table(&[]), format!("{error}\n"));
}

#[test]
fn rows_of_another_schema_alone_are_no_report() {
    let mut old = row("m", "minmax", Family::DataDependent, "w8a8", 9000);
    old.0.schema = 7;
    let error = build(&rows(vec![old])).unwrap_err();
    insta::assert_snapshot!(error, @"none of the 1 rows has schema 1, the one that this report reads; run their survey again with `quantbench run CONFIG`, or report with the version of quantbench that wrote them");
}

#[test]
fn markdown() {
    insta::assert_snapshot!(file(&build(&odd()).unwrap(), "report.md"));
}

#[test]
fn group_csv() {
    insta::assert_snapshot!(file(&build(&odd()).unwrap(), "report.csv"));
}

#[test]
fn row_csv() {
    insta::assert_snapshot!(file(&build(&odd()).unwrap(), "rows.csv"));
}

#[test]
fn terminal() {
    insta::assert_snapshot!("terminal_odd", terminal_table(&odd()));
    insta::assert_snapshot!("terminal_survey", terminal_table(&survey()));
}

#[test]
fn terminal_lines_fit_whatever_the_names() {
    let long = "a-very-long-name-of-something-that-nobody-would-type-twice-".repeat(4);
    let mut all = odd();
    all.extend(rows(vec![
        row(&long, &long, Family::DataFree, "w2a2", 9999),
        row(&long, &long, Family::DataDependent, "w8a8", 10_000)
            .deployed(10_000, 22)
            .no_deployed(&long),
        row("new\nline", "minmax", Family::DataDependent, "w8a8", 10),
    ]));
    for line in terminal_table(&all).lines() {
        assert!(line.chars().count() <= 110, "{} wide: {line}", line.chars().count());
    }
}

#[test]
fn duplicates_count_once_and_failures_enter_no_mean() {
    let report = build(&odd()).unwrap();
    let csv = file(&report, "report.csv");
    let of = |column| lookup(&csv, &["resnet20", "minmax", "W4A4"], column);
    assert_eq!(
        (of("rows_done"), of("rows_failed"), of("draws")),
        ("2".into(), "1".into(), "0;1".into())
    );
    assert_eq!(of("acc_simulated_pct"), "80.050000");
    // 12.7062 x sd 0.0707 / sqrt(2), by hand.
    assert_eq!(of("acc_simulated_over_draws_t95_low_pct"), "79.414690");
    assert!(report.warnings().iter().any(|w| w.contains("counted once")));
    let raw = file(&report, "rows.csv");
    assert_eq!(lookup(&raw, &["duplicate"], "draw"), "1");
    assert_eq!(lookup(&raw, &["other schema"], "asked_widths"), "W3A3");
}

#[test]
fn a_result_that_contradicts_its_id_is_reported() {
    let one = row("m", "minmax", Family::DataDependent, "w8a8", 9000);
    let other = one.clone().with(|r| r.acc_simulated.correct = 1);
    let report = build(&rows(vec![one, other])).unwrap();
    assert!(report.warnings().iter().any(|w| w.contains("different results")));
}

#[test]
fn a_row_that_succeeded_later_replaces_its_failure() {
    let done = row("m", "minmax", Family::DataDependent, "w8a8", 9000);
    let failed = done.clone().failed("killed");
    let report = build(&rows(vec![failed, done])).unwrap();
    let csv = file(&report, "report.csv");
    assert_eq!(lookup(&csv, &["minmax"], "rows_done"), "1");
    assert_eq!(lookup(&csv, &["minmax"], "rows_failed"), "0");
}

#[test]
fn another_runtime_is_not_another_draw() {
    let old = row("m", "minmax", Family::DataDependent, "w8a8", 9000);
    let mut new = old.clone().with(|r| r.acc_simulated.correct = 9010);
    new = new.seen(|o| o.finished = "2026-02-01T00:00:00Z".into());
    new.0.ids.eval = "another runtime".into();
    let report = build(&rows(vec![new, old])).unwrap();
    let csv = file(&report, "report.csv");
    assert_eq!(lookup(&csv, &["minmax"], "rows_done"), "1");
    assert_eq!(lookup(&csv, &["minmax"], "acc_simulated_pct"), "90.100000");
    assert!(report.warnings().iter().any(|w| w.contains("another environment")));
}

#[test]
fn a_cell_that_failed_before_it_had_ids_joins_its_group() {
    let minmax = |d| row("m", "minmax", Family::DataDependent, "w8a8", 9000).draw(d);
    let mut early = minmax(1).failed("cannot read the model");
    early.0.ids = quantbench_core::row::Ids::default();
    let report = build(&rows(vec![minmax(0), early])).unwrap();
    let csv = file(&report, "report.csv");
    assert_eq!(lookup(&csv, &["minmax"], "rows_failed"), "1");
}

#[test]
fn nothing_of_a_model_that_failed_its_gate_is_published() {
    let report = build(&odd()).unwrap();
    for name in ["report.md", "report.html", "report.csv"] {
        assert!(!file(&report, name).contains("77.77"), "{name} shows a withheld result");
        assert!(file(&report, name).contains("FP32 gate failed"), "{name} does not say why");
    }
    assert!(!terminal_table(&odd()).contains("77.77"));
    for (name, bytes) in report.files() {
        assert!(!(name.starts_with("figures/") && name.contains("resnet8")), "{name} is drawn");
        let shows = String::from_utf8_lossy(&bytes).contains("77.77");
        assert!(!(name.starts_with("latex/") && shows), "{name} shows a withheld result");
    }
    assert!(file(&report, "rows.csv").contains("77.77"), "the raw row is lost");
}

#[test]
fn partial_runs_stand_apart_and_say_so() {
    let rows = odd();
    let findings = Findings::of(&rows).unwrap();
    let partial = "resnet20 on cifar10 (partial: first 500 test images)";
    assert!(findings.figures.iter().any(|f| f.title == partial));
    let overall = &findings.tables.overall;
    let section = overall.sections.iter().find(|s| s.heading.starts_with(partial)).unwrap();
    let note = section.lines[0].fields[0].marks[0];
    assert!(overall.notes[note - 1].starts_with("Partial run"));
}

#[test]
fn intervals_over_draws_are_absent_for_a_named_reason() {
    let rows = rows(vec![
        row("m", "minmax", Family::DataDependent, "w8a8", 9000).draw(0),
        row("m", "squant", Family::DataFree, "w8a8", 9000),
    ]);
    let findings = Findings::of(&rows).unwrap();
    let overall = &findings.tables.overall;
    let column = overall.columns.iter().position(|c| c.unit.contains("over draws")).unwrap();
    let note = |line: usize| {
        let field = &overall.sections[0].lines[line].fields[column];
        assert!(field.text.ends_with('–'), "{}", field.text);
        overall.notes[field.marks[0] - 1].clone()
    };
    assert!(note(0).contains("a single draw"), "{}", note(0));
    assert!(note(1).contains("nothing to draw"), "{}", note(1));
}

#[test]
fn parameters_are_named_where_they_tell_groups_apart() {
    let twn = |bn| {
        row("m", "twn", Family::ExtremelyLowBit, "w2ta8", 8000)
            .param("bn_reestimate", ParamValue::Bool(bn))
    };
    let rows = rows(vec![twn(false), twn(true), row("m", "mse", Family::DataDependent, "w8a8", 9)]);
    let findings = Findings::of(&rows).unwrap();
    let labels: Vec<&str> = findings.groups.groups.iter().map(|g| g.label.as_str()).collect();
    assert_eq!(labels, ["mse", "twn (bn_reestimate=false)", "twn (bn_reestimate=true)"]);
}

#[test]
fn mixed_precision_groups_by_the_asked_budget_and_shows_what_was_reached() {
    let report = build(&survey()).unwrap();
    let csv = file(&report, "report.csv");
    let of = |column| lookup(&csv, &["resnet20", "sensitivity", "W2A2"], column);
    assert_eq!((of("weights_min_bits"), of("weights_max_bits")), ("2".into(), "8".into()));
    let mean: f64 = of("weights_mean_bits").parse().unwrap();
    assert!(mean > 2.0 && mean < 3.0, "{mean}");
}

#[test]
fn csv_lines_are_complete_and_columns_end_in_their_unit() {
    for rows in [odd(), survey()] {
        let report = build(&rows).unwrap();
        for name in ["report.csv", "rows.csv"] {
            let lines = parse_csv(&file(&report, name));
            assert!(lines.iter().all(|l| l.len() == lines[0].len()), "{name} is ragged");
            let mut names = lines[0].clone();
            for column in &names {
                let ends = |units: &[&str]| units.iter().any(|u| column.ends_with(u));
                let fits = match column.split('_').next() {
                    Some("acc") => ends(&["_pct", "_points"]),
                    Some("size") => ends(&["_bytes", "_bits"]),
                    Some("method") => ends(&["method", "_version", "_s", "_mib"]),
                    Some("compression") => ends(&["_ratio"]),
                    _ => true,
                };
                assert!(fits, "{name}: {column} does not end in its unit");
            }
            names.sort();
            names.dedup();
            assert_eq!(names.len(), lines[0].len(), "{name} has two columns of one name");
        }
        assert_eq!(parse_csv(&file(&report, "rows.csv")).len(), rows.len() + 1);
    }
}

/// Filled shapes of a figure that are no paper: markers of groups and of the legend.
fn marks(svg: &str) -> usize {
    let filled = |line: &&str| {
        (line.contains("<circle") || line.contains("<polygon"))
            && !line.contains("fill=\"none\"")
            && !line.contains("fill=\"#FFFFFF\"")
    };
    svg.lines().filter(filled).count()
}

#[test]
fn a_figure_has_a_marker_for_each_group() {
    for rows in [survey(), odd()] {
        let findings = Findings::of(&rows).unwrap();
        let sizes = || findings.figures.iter().filter(|f| f.kind == "accuracy-size");
        assert!(sizes().next().is_some());
        for figure in sizes() {
            let shown: Vec<_> = findings
                .groups
                .groups
                .iter()
                .filter(|g| findings.groups.subject_name(g.subject) == figure.title)
                .filter(|g| !g.is_fp32() && g.published().is_some())
                .collect();
            let mut legend: Vec<&str> = shown.iter().map(|g| g.label.as_str()).collect();
            legend.sort_unstable();
            legend.dedup();
            assert_eq!(figure.markers, shown.len(), "{}", figure.title);
            assert_eq!(marks(&figure.svg), shown.len() + legend.len(), "{}", figure.title);
            assert!(shown.iter().all(|g| figure.svg.contains(&g.widths())));
        }
    }
}

#[test]
fn the_legend_has_room_for_many_methods() {
    let rows = rows(
        (0..15)
            .map(|i| {
                let name = format!("method-{i}");
                row("m", &name, Family::DataDependent, "w4a4", 8000 + 50 * i)
            })
            .collect(),
    );
    let findings = Findings::of(&rows).unwrap();
    let svg = &findings.figures[0].svg;
    for i in 0..15 {
        assert!(svg.contains(&format!("method-{i}\n")), "method-{i} is not in the legend");
    }
}

#[test]
fn the_page_fetches_nothing_and_shows_names_as_text() {
    for rows in [survey(), odd()] {
        let page = file(&build(&rows).unwrap(), "report.html");
        for word in
            ["http://", "https://", "src=", "<link", "<script ", "@import", "url(", "fetch("]
        {
            assert!(!page.contains(word), "the page holds {word}");
        }
        assert!(!page.contains("<b>"), "a model's name became markup");
    }
    let page = file(&build(&odd()).unwrap(), "report.html");
    assert!(page.contains("&lt;b&gt;net|x&lt;&#x2f;b&gt; on cifar10"));
    assert!(page.contains("out of memory | 3 &gt; 2"));
}

#[test]
fn a_report_of_failures_alone_shows_them() {
    let failed = row("m", "minmax", Family::DataDependent, "w8a8", 0).failed("disk is full");
    assert_eq!(failed.0.status, Status::Failed);
    let report = build(&rows(vec![failed])).unwrap();
    assert!(file(&report, "report.md").contains("disk is full"));
    assert!(file(&report, "report.html").contains("disk is full"));
    assert!(report.files().iter().all(|(name, _)| !name.starts_with("figures/")));
}

#[test]
fn fp32_alone_is_a_report_without_a_figure() {
    let alone: Vec<Row> = rows(vec![fp32("m", 9000)]);
    let report = build(&alone).unwrap();
    assert!(file(&report, "report.md").contains("90.00"));
    assert!(report.files().iter().all(|(name, _)| !name.starts_with("figures/")));
}
