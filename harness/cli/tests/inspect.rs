//! `inspect`, and rules for single layers, on the embedded default.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{assert_error, quantbench, run, runtime_is_here, stderr, stdout, write};
use serde_json::Value;

const ASKED: [&str; 6] =
    ["--model", "resnet-shapes10", "--method", "minmax", "--calibration-images", "64"];

/// A survey with the specs of a snippet, as `plan` labels its quantized cells.
fn planned(folder: &Path, specs: &str) -> Vec<String> {
    let text = format!(
        "name: pasted\ndataset: shapes10\nmodels: [resnet-shapes10]\nmethods: [minmax]\n{specs}"
    );
    let survey = write(folder, "pasted.yaml", text);
    let output = run(quantbench(folder).arg("plan").arg(&survey).arg("--json"));
    assert!(output.status.success(), "{}", stderr(&output));
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let cells = plan["plan"]["cells"].as_array().unwrap();
    let labels = cells.iter().map(|c| c["label"].as_str().unwrap().to_string());
    labels.filter(|l| !l.contains("fp32")).collect()
}

#[test]
fn the_suggested_spec_wins_the_drop_back_and_can_be_pasted() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let asked = |last: &[&str]| {
        let mut command = quantbench(folder.path());
        command.arg("inspect").args(ASKED).args(["--bits", "w3a3", "--images", "400"]).args(last);
        let output = run(&mut command);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let found: Value = serde_json::from_str(&asked(&["--json"])).unwrap();
    let layers = found["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &found["images"]), (10, &400.into()));
    let drops: Vec<f64> = layers.iter().map(|l| l["drop_alone"].as_f64().unwrap()).collect();
    assert!(drops.windows(2).all(|w| w[0] >= w[1]) && drops[0] > 0.0, "{drops:?}");
    for layer in layers {
        let (weight, signal) = (layer["weight_sqnr_db"].as_f64().unwrap(), &layer["signal"]);
        let (wide, narrow) = (layer["weight_bits"] == 8, layer["weight_bits"] == 3);
        assert!((wide && weight > 30.0) || (narrow && weight > 2.0 && weight < 25.0), "{layer}");
        let share = signal["saturated"].as_f64().unwrap();
        assert!(signal["output_sqnr_db"].as_f64().unwrap() < 60.0 && (0.0..0.1).contains(&share));
    }
    let lost = |accuracy: &Value| {
        let correct = |a: &Value| a["correct"].as_f64().unwrap();
        correct(&found["fp32"]) - correct(accuracy)
    };
    let drop = lost(&found["quantized"]);
    assert!(drop > 20.0, "w3a3 must lose something: {found}");
    let remedies = found["remedies"].as_array().unwrap();
    let keys: Vec<&str> = remedies.iter().map(|r| r["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["exclude", "layer_bits"]);
    for remedy in remedies {
        assert!(lost(&remedy["accuracy"]) < 0.5 * drop, "{remedy}");
        let named = remedy["layers"].as_array().unwrap();
        assert!(!named.is_empty() && named.len() < 10 && named[0] == layers[0]["layer"]);
    }
    // What people see ends in the same specs, and they are specs of a survey.
    let text = asked(&[]);
    let last = remedies[1]["yaml"].as_str().unwrap();
    assert!(text.trim_end().ends_with(last.trim_end()), "{text}");
    for remedy in remedies {
        let yaml = remedy["yaml"].as_str().unwrap();
        assert!(text.contains(yaml));
        let labels = planned(folder.path(), yaml);
        let key = remedy["key"].as_str().unwrap();
        assert!(labels.len() == 1 && labels[0].contains(&format!("w3a3[{key}=")), "{labels:?}");
    }
}

#[test]
fn where_nothing_is_lost_nothing_is_suggested() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = quantbench(folder.path());
    // One image, which eight bits do not turn.
    command.arg("inspect").args(ASKED).args(["--bits", "w8a8", "--images", "1"]);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("nothing is lost") && !text.contains("specs:"), "{text}");
}

#[test]
fn rules_for_single_layers_reach_the_file() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let quantize = |last: &[&str]| {
        let mut command = quantbench(folder.path());
        command.arg("quantize").args(ASKED).args(["--bits", "w4a4", "-o", "q.onnx"]).args(last);
        run(&mut command)
    };
    let bits = |output: &std::process::Output| {
        assert!(output.status.success(), "{}", stderr(output));
        let text = stdout(output);
        let line = text.lines().find(|l| l.starts_with("weights")).unwrap().to_string();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    let plain = bits(&quantize(&[]));
    assert!(plain < 4.5);
    let names = layers(folder.path());
    let middle = names[names.len() / 2].as_str();
    assert!(bits(&quantize(&["--exclude", middle])) > plain);
    let own = format!("{middle}=w2a8");
    assert!(bits(&quantize(&["--layer-bits", &own])) < plain);
    let evaluated =
        run(quantbench(folder.path()).args(["eval", "--model", "q.onnx", "--images", "64"]));
    assert!(evaluated.status.success(), "{}", stderr(&evaluated));
}

/// Names of the layers of the embedded default, in no order.
fn layers(folder: &Path) -> Vec<String> {
    let mut command = quantbench(folder);
    command.arg("inspect").args(ASKED).args(["--bits", "w8a8", "--images", "1", "--json"]);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let all = found["layers"].as_array().unwrap();
    all.iter().map(|l| l["layer"].as_str().unwrap().to_string()).collect()
}

#[test]
fn a_survey_with_an_excluded_layer_says_so_in_its_row() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = layers(folder.path()).into_iter().max().unwrap();
    let text = format!(
        "name: own\ndataset: shapes10\nmodels: [resnet-shapes10]\nmethods: [minmax]\n\
         calibration: {{images: 16}}\nspecs:\n  - w4a4\n  - {{bits: w4a4, exclude: [\"{name}\"]}}\n"
    );
    let survey = write(folder.path(), "own.yaml", text);
    let output = run(quantbench(folder.path())
        .arg("run")
        .arg(&survey)
        .args(["--out", "out", "--images", "64"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let mut excluded = 0;
    for entry in std::fs::read_dir(folder.path().join("out/rows")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let row: Value = serde_json::from_str(&text).unwrap();
        if row["cell"]["spec"]["exclude"].is_array() {
            excluded += 1;
            let all = row["result"]["allocation"].as_array().unwrap();
            let own = all.iter().find(|l| l["layer"] == name.as_str()).unwrap();
            assert_eq!((&own["weights"], &own["activations"]), (&32.into(), &32.into()));
        }
    }
    assert_eq!(excluded, 1);
    let output = run(quantbench(folder.path()).args(["report", "out"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("exclude={name}")), "{}", stdout(&output));
}

#[test]
fn bad_input_is_named_before_anything_runs() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let asked = |last: &[&str]| {
        let mut command = quantbench(folder.path());
        run(command.arg("inspect").args(ASKED).args(["--bits", "w4a4"]).args(last))
    };
    for (last, texts) in [
        (&["--exclude", "nothing-like-it"][..], &["exclude: there is no layer", "known: "][..]),
        (&["--exclude", "*"], &["leaves no layer to quantize"]),
        (&["--layer-bits", "*=w2ta8"], &["layer_bits \"*\": minmax gives no ternary weights"]),
        (&["--layer-bits", "*=w32a32"], &["w32a32 quantizes nothing"]),
        (&["--images", "1000000"], &["1000064", "images"]),
        (&["--param", "weighs=affine"], &["no parameter \"weighs\"", "weights"]),
    ] {
        assert_error(&asked(last), 2, texts);
    }
    for (last, text) in [
        (&["--images", "0"][..], "at least 1"),
        (&["--recover", "1.5"], "above 0 and up to 1"),
        (&["--layer-bits", "w8a8"], "expected LAYER=WIDTHS"),
        (&["--layer-bits", "a=w9a8"], "9 bits are not supported"),
    ] {
        let output = asked(last);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
}

#[test]
fn an_infeasible_mean_width_names_the_smallest_feasible_one() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run(quantbench(folder.path()).args([
        "quantize",
        "--model",
        "resnet-shapes10",
        "--method",
        "sensitivity",
        "--bits",
        "w4a4",
        "--param",
        "mean_bits=1.9",
        "--calibration-images",
        "16",
        "-o",
        "q.onnx",
    ]));
    let want = "budget of 1.9 mean bits is infeasible; the smallest feasible one is 2 mean bits";
    assert_error(&output, 2, &[want]);
    assert!(!folder.path().join("q.onnx").exists());
}
