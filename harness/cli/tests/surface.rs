//! Parts of a survey, the schema of its file, completions.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};

use common::{
    SURVEY, assert_error, quantbench, results, run, runtime_is_here, stderr, stdout, write,
};

#[test]
fn a_part_of_a_survey_is_marked_incomplete_until_the_rest_is_done() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    let verb = |words: &[&str]| run(quantbench(folder.path()).args(words));
    let only = ["--out", "out", "--only", "method=squant", "--only", "bits=w8a8"];
    let part = verb(&[&["run", "s.yaml"], &only[..]].concat());
    assert!(part.status.success(), "{}", stderr(&part));
    assert!(stderr(&part).contains("a part of the survey: only cells with"), "{}", stderr(&part));
    assert_eq!(results(&folder.path().join("out")).len(), 2, "FP32 and squant at w8a8");
    let gap = "5 of the 7 cells of the survey have no result on the whole test set yet";
    let status = verb(&["status", "out"]);
    assert!(status.status.success() && stdout(&status).contains(gap), "{}", stdout(&status));
    let report = verb(&["report", "out"]);
    assert!(stderr(&report).contains(gap), "{}", stderr(&report));
    let page = std::fs::read_to_string(folder.path().join("out/report/report.md")).unwrap();
    assert!(page.contains(gap), "the report itself says so");

    // No cell starts within no time; what is done decides the exit code.
    let none = verb(&["run", "s.yaml", "--out", "out", "--time-budget", "0s"]);
    assert!(none.status.success(), "{}", stderr(&none));
    let text = "the time budget is used up, 5 cells are left";
    assert!(stderr(&none).contains(text), "{}", stderr(&none));
    let plan = verb(&["plan", "s.yaml", "--out", "out", "--time-budget", "0s"]);
    assert!(stdout(&plan).contains("about 0 of them start within"), "{}", stdout(&plan));

    let partial = verb(&[&["run", "s.yaml", "--images", "64"], &only[..]].concat());
    assert!(stderr(&partial).contains("never to be published"), "{}", stderr(&partial));
    let status = stdout(&verb(&["status", "out"]));
    assert!(status.contains(gap), "{status}");
    assert!(status.contains("2 rows are of partial evaluations"), "{status}");
}

#[test]
fn patterns_that_match_nothing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    for (pattern, texts) in [
        ("method=msee", &["--only", "no cell of this survey has method \"msee\"", "minmax"][..]),
        ("metod=mse", &["unknown key \"metod\"; did you mean \"method\"?"]),
        ("w3a3", &["no cell's label contains \"w3a3\""]),
    ] {
        let output = run(quantbench(folder.path()).args(["plan", "s.yaml", "--only", pattern]));
        assert_error(&output, 2, texts);
    }
}

#[test]
fn each_schema_is_printed_as_committed() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["dataset", "model", "profile", "survey"] {
        let output = run(quantbench(folder.path()).args(["schema", kind]));
        assert!(output.status.success(), "{}", stderr(&output));
        let file = common::workspace().join(format!("configs/schema/{kind}.json"));
        assert!(std::fs::read(file).unwrap() == output.stdout, "{kind}");
    }
    let output = run(quantbench(folder.path()).args(["schema", "surveys"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("survey"), "{}", stderr(&output));
}

#[test]
fn completions_know_verbs_options_and_names_and_bash_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(quantbench(folder.path()).args(["completions", shell]));
        let script = stdout(&output);
        assert!(output.status.success(), "{}", stderr(&output));
        for word in ["quantize", "time-budget", "minmax", "resnet20-cifar10", "shapes10"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        assert!(!script.contains("worker"), "{shell} shows what is hidden");
        let file = write(folder.path(), shell, &script);
        let parse = Command::new(shell).arg("-n").arg(&file).stderr(Stdio::piped()).output();
        match parse {
            Ok(parse) => assert!(parse.status.success(), "{}", stderr(&parse)),
            Err(_) => eprintln!("skipped: {shell} is not installed, its script is not parsed"),
        }
    }
}
