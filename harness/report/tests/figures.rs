//! Which figures there are, and what they show.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use quantbench_core::{Family, Row};
use quantbench_report::figures::{Figure, KINDS};
use quantbench_report::{Findings, Stored, build_with, terminal_table};

mod fixtures;

use fixtures::read::{file, lookup};
use fixtures::{costs, curve, evidence, fp32, histograms, odd, row, rows, survey};

fn figures(rows: &[Row], kind: &str) -> Vec<Figure> {
    let (histograms, costs) = (histograms(rows), costs(rows));
    let stored = Stored { rows, histograms: &histograms, costs: &costs, ..Stored::default() };
    let findings = Findings::with(&stored).unwrap();
    findings.figures.into_iter().filter(|f| f.kind == kind).collect()
}

#[test]
fn every_kind_has_a_name_and_some_survey_shows_it() {
    let mut names: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KINDS.len());
    let over: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .flat_map(|m| {
            let one = |name, correct| row(m, name, Family::DataFree, "w4a4", correct);
            [fp32(m, 9173), one("x", 9000), one("y", 8000)]
        })
        .collect();
    let over = rows(over);
    let beside = rows(vec![
        fp32("resnet20-cifar10", 9173),
        row("resnet20-cifar10", "apot", Family::DataDependent, "w4a4", 9100),
    ]);
    for kind in KINDS {
        let shown = [survey(), curve(), beside.clone(), over.clone()]
            .iter()
            .any(|rows| !figures(rows, kind.name).is_empty());
        assert!(shown, "no survey shows {}", kind.name);
    }
}

#[test]
fn a_figure_appears_only_where_the_rows_have_its_data() {
    // One draw, one width, no evidence, no histograms and one method: nothing but a size.
    let one = rows(vec![
        fp32("m", 9173),
        row("m", "minmax", Family::DataDependent, "w4a4", 9000).seen(|o| o.method = None),
    ]);
    let findings = Findings::of(&one).unwrap();
    let kinds: Vec<&str> = findings.figures.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, ["accuracy-size"]);
}

#[test]
fn a_figure_shows_one_subject() {
    let rows = survey();
    let all = histograms(&rows);
    let findings =
        Findings::with(&Stored { rows: &rows, histograms: &all, ..Stored::default() }).unwrap();
    let subjects: Vec<String> =
        (0..findings.groups.subjects.len()).map(|s| findings.groups.subject_name(s)).collect();
    for figure in &findings.figures {
        assert!(subjects.contains(&figure.title), "{}", figure.title);
        let others = subjects.iter().filter(|s| **s != figure.title);
        for other in others {
            let model = other.split(' ').next().unwrap();
            // "resnet20" is no part of "resnet8", nor the other way round.
            assert!(!figure.svg.contains(model), "{} names {model}", figure.file);
        }
    }
}

#[test]
fn markers_say_what_they_stand_for() {
    let rows = curve();
    for (kind, start) in [
        ("accuracy-size", "mse, W4A4: "),
        ("accuracy-bits", "mse: "),
        ("cost", "mse: "),
        ("calibration", "mse: "),
        ("draws", "mse: "),
    ] {
        for figure in figures(&rows, kind) {
            let tips: Vec<&str> =
                figure.svg.split("<title>").skip(1).filter_map(|t| t.split('<').next()).collect();
            assert!(tips.len() >= figure.markers, "{}: {tips:?}", figure.file);
            assert!(tips.iter().any(|t| t.starts_with(start)), "{}: {tips:?}", figure.file);
            assert!(tips.iter().all(|t| t.contains(" %")), "{}: {tips:?}", figure.file);
        }
    }
}

#[test]
fn every_figure_is_a_png_too() {
    for rows in [odd(), curve()] {
        let files = build_with(&Stored {
            rows: &rows,
            histograms: &histograms(&rows),
            ..Stored::default()
        })
        .unwrap()
        .files();
        let is_svg = |n: &&String| n.rsplit_once('.').is_some_and(|(_, end)| end == "svg");
        let svgs: Vec<&String> = files.iter().map(|(name, _)| name).filter(is_svg).collect();
        assert!(!svgs.is_empty());
        for svg in svgs {
            let (_, bytes) = files.iter().find(|(n, _)| *n == svg.replace(".svg", ".png")).unwrap();
            assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{svg}");
            assert!(bytes.len() < 400_000, "{svg}: {} bytes", bytes.len());
        }
    }
}

#[test]
fn sizes_of_calibration_stand_apart_from_the_main_tables() {
    let rows = curve();
    let findings = Findings::of(&rows).unwrap();
    let lines = |t: &quantbench_report::table::Table| t.sections[0].lines.len();
    // FP32, two methods at three widths; the curve has two methods at four sizes.
    assert_eq!(lines(&findings.tables.overall), 7);
    let calibration = findings.tables.calibration.as_ref().unwrap();
    let sizes: Vec<&str> =
        calibration.sections[0].lines.iter().map(|l| l.fields[2].text.as_str()).collect();
    assert_eq!(sizes, ["8", "64", "1,024", "2,048", "8", "64", "1,024", "2,048"]);
    let [figure] = &figures(&rows, "calibration")[..] else { panic!("not one figure") };
    assert_eq!(figure.markers, 8);
    let [size] = &figures(&rows, "accuracy-size")[..] else { panic!("not one figure") };
    assert_eq!(size.markers, 6);
    assert!(!size.svg.contains("calibration="), "the legend names a size");
    let terminal = terminal_table(&rows);
    assert!(terminal.contains("6 lines with other numbers are in the report"), "{terminal}");
    let csv =
        file(&build_with(&Stored { rows: &rows, ..Stored::default() }).unwrap(), "report.csv");
    assert_eq!(lookup(&csv, &["minmax", "W4A4", "64"], "rows_done"), "3");
}

#[test]
fn worst_and_best_draw_bound_the_mean() {
    let rows = curve();
    let findings = Findings::of(&rows).unwrap();
    let table = findings.tables.calibration.as_ref().unwrap();
    // minmax at 8 images: 8000, 8050 and 8200 of 10,000.
    assert_eq!(table.sections[0].lines[0].fields[5].text, "80.00–82.00");
    assert!(table.sections[0].lines[0].fields[4].text.starts_with("80.83"));
}

#[test]
fn the_heat_map_stands_once_for_budgets_that_share_it() {
    let mixed = |label: &str, change: f64| {
        let one = row("m", "sensitivity", Family::MixedPrecision, label, 9000).bits(6, 4);
        one.with(|r| {
            r.evidence = evidence(1_500_000, 3);
            for s in &mut r.evidence.sensitivities {
                s.losses.iter_mut().for_each(|l| *l *= change);
            }
        })
    };
    let maps = |made| {
        let [figure] = &figures(&rows(made), "allocation")[..] else { panic!("not one figure") };
        figure.svg.lines().filter(|l| l.trim() == "sensitivity").count()
    };
    assert_eq!(maps(vec![mixed("w4a4", 1.0), mixed("w3a3", 1.0)]), 1);
    assert_eq!(maps(vec![mixed("w4a4", 1.0), mixed("w3a3", 2.0)]), 2);
}

#[test]
fn evidence_that_makes_no_sense_draws_no_front() {
    for spoil in [
        (|f| f.chosen = 99) as fn(&mut quantbench_core::evidence::Front),
        |f| f.points.clear(),
        |f| f.points.iter_mut().for_each(|p| p.1 = f64::NAN),
        |f| f.points.iter_mut().for_each(|p| p.1 = 0.0),
    ] {
        let one = row("m", "sensitivity", Family::MixedPrecision, "w4a4", 9000);
        let one = one.with(|r| {
            r.evidence = evidence(1_500_000, 3);
            spoil(r.evidence.front.as_mut().unwrap());
            r.evidence.sensitivities[0].losses.truncate(1);
            r.evidence.sensitivities[1].losses[0] = f64::INFINITY;
        });
        let rows = rows(vec![one]);
        let findings = Findings::of(&rows).unwrap();
        assert!(findings.figures.iter().all(|f| !f.svg.contains("NaN")));
        findings.figures.iter().for_each(|f| assert!(!f.png().unwrap().is_empty()));
    }
}

#[test]
fn histograms_without_a_row_are_ignored() {
    let rows = curve();
    let mut stray = histograms(&rows);
    for one in &mut stray {
        one.artefact = "of another run".into();
    }
    let findings =
        Findings::with(&Stored { rows: &rows, histograms: &stray, ..Stored::default() }).unwrap();
    assert!(findings.figures.iter().all(|f| f.kind != "histograms"));
}

#[test]
fn methods_are_ranked_from_six_models_on_and_else_it_is_said_why_not() {
    let models = |n: usize| {
        let mut made = Vec::new();
        for (i, name) in ["a", "b", "c", "d", "e", "f"].into_iter().take(n).enumerate() {
            let step = 10 * i as u64;
            made.push(fp32(name, 9173));
            for (method, correct) in [("good", 9100), ("fair", 9000), ("bad", 8000)] {
                made.push(row(name, method, Family::DataFree, "w4a4", correct - step));
            }
        }
        rows(made)
    };
    let (six, five) = (models(6), models(5));
    let drawn = figures(&six, "ranks");
    assert_eq!(drawn.len(), 1);
    assert!(drawn[0].svg.contains("good 1.00") && drawn[0].caption.contains("over 6 models"));
    assert!(figures(&five, "ranks").is_empty());
    let report = quantbench_report::build(&five).unwrap();
    let why = "are not compared: the methods share 5 models; from 6 on";
    assert!(file(&report, "report.md").contains(why));
    assert!(
        !file(&quantbench_report::build(&six).unwrap(), "report.md").contains("are not compared")
    );
}
