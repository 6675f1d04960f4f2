//! LaTeX: what tables say, what surveys ask for, and that TeX takes all of it.
#![allow(clippy::unwrap_used)]

mod fixtures;

use std::process::{Command, Stdio};

use fixtures::{costs, fp32, histograms, odd, row, rows, survey};
use quantbench_core::card::{Card, WidthRange};
use quantbench_core::{Family, Paper, PaperColumn, PaperTable, Row};
use quantbench_report::{Stored, build_with};

static CARD: Card = Card {
    name: "squant",
    version: 1,
    family: Family::DataFree,
    summary: "",
    when: "",
    paper: "C. Guo et al., SQuant: on the fly, ICLR 2022, arXiv:2202.07471",
    cite: "guo2022squant",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "",
    stochastic: false,
    params: &[],
    departures: &["rounds half to even"],
};

fn files(rows: &[Row], paper: Option<&Paper>) -> Vec<(String, Vec<u8>)> {
    let (histograms, costs) = (histograms(rows), costs(rows));
    let stored = Stored {
        rows,
        histograms: &histograms,
        costs: &costs,
        cards: &[&CARD],
        paper,
        ..Stored::default()
    };
    build_with(&stored).unwrap().files()
}

fn text(files: &[(String, Vec<u8>)], name: &str) -> String {
    let names: Vec<&str> = files.iter().map(|(n, _)| n.as_str()).collect();
    let found = files.iter().find(|(n, _)| n == name);
    String::from_utf8(found.unwrap_or_else(|| panic!("no {name}: {names:?}")).1.clone()).unwrap()
}

fn three() -> Vec<Row> {
    rows(vec![
        fp32("m", 9173),
        row("m", "squant", Family::DataFree, "w4a4", 9000),
        row("m", "dfq", Family::DataFree, "w4a4", 9100),
        row("m", "worst", Family::DataFree, "w4a4", 8000),
        row("m", "squant", Family::DataFree, "w3a3", 7000),
    ])
}

#[test]
fn the_best_is_bold_the_second_underlined_and_methods_are_cited() {
    let files = files(&three(), None);
    let table = text(&files, "latex/table-data-free-methods-on-m.tex");
    assert!(table.contains("dfq & W4A4 & none & \\textbf{91.00}"), "{table}");
    assert!(
        table.contains("squant~\\cite{guo2022squant} &  & none & \\underline{90.00}"),
        "{table}"
    );
    assert!(table.contains("worst &  & none & 80.00 "), "{table}");
    // Alone at its width: neither.
    assert!(table.contains("W3A3 & none & 70.00 "), "{table}");
    let bib = text(&files, "latex/methods.bib");
    assert!(bib.starts_with("% dfq: made outside"), "{bib}");
    assert!(bib.contains("@misc{guo2022squant,") && bib.contains("author = {C. Guo and others}"));
}

#[test]
fn a_survey_names_its_tables_and_figures() {
    let table = |widths: &str, columns: Vec<PaperColumn>| PaperTable {
        caption: "Table 2: data-free, 100 % real".to_string(),
        widths: vec![widths.to_string()],
        columns,
        ..PaperTable::default()
    };
    let some = [PaperColumn::Bits];
    let paper = Paper {
        tables: vec![table("w3a3", some.to_vec())],
        figures: vec!["accuracy-size".to_string()],
    };
    let made = files(&three(), Some(&paper));
    let text = text(&made, "latex/table-2-data-free-100-real.tex");
    assert!(text.contains("\\caption{data-free, 100 \\% real}"), "{text}");
    assert!(text.contains("Method & Bits & Weight bits \\\\"), "{text}");
    assert!(text.contains("W3A3") && !text.contains("dfq"), "{text}");
    let pictures = made.iter().filter(|(n, _)| n.starts_with("latex/accuracy-size")).count();
    let target = |n: &str| n.starts_with("latex/target");
    let all = made.iter().filter(|(n, _)| n.starts_with("latex/") && !target(n)).count();
    assert_eq!((pictures, all), (1, 4), "one figure, one table, the document, the references");
    let document = self::text(&made, "latex/report.tex");
    assert!(!document.contains("target"), "{document}");
    for (paper, why) in [
        (
            Paper { tables: vec![table("w7a7", Vec::new())], ..Paper::default() },
            "the report's tables: no result for \"Table 2: data-free, 100 % real\"",
        ),
        (
            Paper { figures: vec!["accuracy-sise".to_string()], ..Paper::default() },
            "the report's figures: \"accuracy-sise\" is no kind of figure; did you mean",
        ),
    ] {
        let rows = three();
        let stored = Stored { rows: &rows, paper: Some(&paper), ..Stored::default() };
        let error = build_with(&stored).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn targets_are_tables_too() {
    let made = files(&survey(), None);
    let names = |start: &str| made.iter().filter(|(n, _)| n.starts_with(start)).count();
    assert!(names("latex/target-") > 0, "{:?}", made.iter().map(|f| &f.0).collect::<Vec<_>>());
    for name in ["latex/targets.tex", "latex/target-1.tex"] {
        let table = text(&made, name);
        assert!(table.contains("\\begin{longtable}") && table.contains("\\toprule"), "{table}");
        let lines = table.lines().filter(|l| l.ends_with("\\\\") && l.contains(" & "));
        let columns: std::collections::BTreeSet<usize> =
            lines.map(|l| l.replace("\\&", "").matches('&').count()).collect();
        assert_eq!(columns.len(), 1, "every line has a field for each column: {table}");
        assert!(
            text(&made, "latex/report.tex")
                .contains(&format!("\\input{{{}}}", &name[6..name.len() - 4]))
        );
    }
}

#[test]
fn tex_takes_every_table_and_figure() {
    let quiet =
        |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if quiet(Command::new("pdflatex").arg("--version")).is_err() {
        eprintln!("skipped: there is no pdflatex here");
        return;
    }
    for rows in [survey(), odd()] {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files(&rows, None) {
            if let Some(name) = name.strip_prefix("latex/") {
                std::fs::write(folder.path().join(name), bytes).unwrap();
            }
        }
        let mut tex = Command::new("pdflatex");
        tex.args(["-interaction=nonstopmode", "-halt-on-error", "report"]);
        let done = quiet(tex.current_dir(folder.path())).unwrap();
        let log = std::fs::read(folder.path().join("report.log")).unwrap();
        let log = String::from_utf8_lossy(&log);
        let errors: Vec<&str> = log.lines().filter(|l| l.starts_with('!')).collect();
        assert!(done.success(), "{errors:?}");
        assert!(std::fs::read(folder.path().join("report.pdf")).unwrap().starts_with(b"%PDF"));
    }
}

#[test]
fn a_method_has_a_page_with_its_card_results_and_departures() {
    let made = files(&three(), None);
    let page = text(&made, "methods/squant.md");
    for part in [
        "# squant\n",
        "- paper: C. Guo et al.",
        "| m | W4A4 | clip=1 | 1 | 90.00 | 1.73 |",
        "not comparable: it is not known which architecture",
        "- rounds half to even",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    let page = text(&made, "methods/dfq.md");
    assert!(page.contains("its card is not known") && page.contains("| m | W4A4 |"), "{page}");
}
