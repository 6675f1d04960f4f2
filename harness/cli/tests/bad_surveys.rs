//! Bad surveys and arguments: file, line, key, what was expected, near match.
#![allow(clippy::unwrap_used)]

mod common;

use common::{SURVEY, assert_error, quantbench, run, write};

/// Plans a survey in which one text is replaced by another.
fn plan(from: &str, to: &str) -> std::process::Output {
    assert!(SURVEY.contains(from), "the replacement must change something");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY.replacen(from, to, 1));
    run(quantbench(folder.path()).args(["plan", "s.yaml"]))
}

#[test]
fn unknown_names_and_keys() {
    let lines = [
        ("methods:", "metods:", vec!["s.yaml", "4", "metods", "methods"]),
        ("[minmax, squant]", "[minmx]", vec!["s.yaml", "4", "minmx", "did you mean \"minmax\""]),
        ("[resnet-shapes10]", "[resnet-shape]", vec!["s.yaml", "3", "resnet-shapes10"]),
        ("dataset: shapes10", "dataset: shapes", vec!["s.yaml", "2", "shapes10"]),
        ("specs:", "profiles: [x86-avx3]\nspecs:", vec!["s.yaml", "5", "x86-avx2"]),
        ("images: 32", "image: 32", vec!["s.yaml", "6", "images"]),
    ];
    for (from, to, texts) in lines {
        assert_error(&plan(from, to), 2, &texts);
    }
}

#[test]
fn wrong_types_ranges_and_duplicates() {
    let lines = [
        ("images: 32", "images: many", vec!["s.yaml", "images"]),
        ("images: 32", "images: 0", vec!["s.yaml", "images"]),
        ("images: 32", "images: -1", vec!["s.yaml", "images"]),
        ("[w8a8, w4a4]", "[w9a8]", vec!["s.yaml:5", "9 bits are not supported"]),
        ("[w8a8, w4a4]", "[w8a8, w8a8]", vec!["s.yaml:5", "the same as specs[0]"]),
        (
            "[minmax, squant]",
            "[minmax, minmax]",
            vec!["s.yaml:4", "the same parameters as methods[0]"],
        ),
        ("draws: [0, 1]", "draws: [0, 0]", vec!["s.yaml", "draws"]),
        (
            "[resnet-shapes10]",
            "[resnet-shapes10, resnet-shapes10]",
            vec!["s.yaml:3", "the same as models[0]"],
        ),
        (
            "[minmax, squant]",
            "[{name: minmax, params: {weights: odd}}]",
            vec!["weights", "symmetric"],
        ),
        (
            "[minmax, squant]",
            "[{name: minmax, params: {wieghts: affine}}]",
            vec!["did you mean \"weights\""],
        ),
        ("[minmax, squant]", "[{name: twn, specs: [w8a8]}]", vec!["twn", "w2t"]),
        ("images: 32", "images: 1000000", vec!["1000000"]),
    ];
    for (from, to, texts) in lines {
        assert_error(&plan(from, to), 2, &texts);
    }
}

#[test]
fn files_that_are_no_survey() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |name: &str| run(quantbench(folder.path()).args(["plan", name]));
    assert_error(&plan("none.yaml"), 2, &["none.yaml"]);
    assert_error(&plan("."), 2, &["."]);
    write(folder.path(), "empty.yaml", "");
    assert_error(&plan("empty.yaml"), 2, &["empty.yaml"]);
    write(folder.path(), "broken.yaml", "name: [");
    assert_error(&plan("broken.yaml"), 2, &["broken.yaml"]);
}

#[test]
fn arguments_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        vec!["explain", "minmx"],
        vec!["quantize", "--model", "x", "--method", "minmx", "--bits", "w8a8", "-o", "q.onnx"],
        vec!["quantize", "--model", "x", "--method", "twn", "--bits", "w8a8", "-o", "q.onnx"],
        vec!["report", "nowhere"],
        vec!["status", "nowhere"],
    ] {
        assert_error(&run(quantbench(folder.path()).args(&args)), 2, &[]);
    }
    for args in [
        vec!["quantize", "--bits", "w99"],
        vec!["run", "s.yaml", "--shard", "4/4"],
        vec!["frobnicate"],
    ] {
        let output = run(quantbench(folder.path()).args(&args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
