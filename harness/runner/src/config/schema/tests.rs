//! Schemas in step with the parsers: the same keys, the same words, the same verdicts.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use quantbench_datasets::DatasetManifest;
use quantbench_hardware::Profile;

use super::checker::complaint;
use super::*;

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

/// A file of each kind with every mapping of its parser.
fn full(kind: Kind) -> &'static str {
    match kind {
        Kind::Dataset => {
            "name: tiny\nsummary: A tiny one.\nloader: cifar10\nclasses: 3\ndims: [3, 2, 2]\n\
             files: {train: [a.bin], test: [b.bin]}\narchives:\n  - file: t.tar.gz\n    \
             url: https://example.org/t.tar.gz\n    md5: c32a1d4ab5d03f1284b67883e8d87530\n\
             images: {train: 2, test: 1}\nhashes:\n  \
             train: 26bc49e82cbd58a65aaba3c982b8f578b606efb3c9a97cb182c71c70b4e9c668\n  \
             test: 26bc49e82cbd58a65aaba3c982b8f578b606efb3c9a97cb182c71c70b4e9c668\n\
             source: here\nlicence: none stated\n"
        }
        Kind::Model => {
            "name: tiny\nsummary: A tiny one.\nfile: sub/tiny.onnx\n\
             sha256: 26bc49e82cbd58a65aaba3c982b8f578b606efb3c9a97cb182c71c70b4e9c668\n\
             dataset: shapes10\n\
             url: https://example.org/t.onnx\n\
             preprocess: {name: unit, version: 1, resize: 32, interpolation: bilinear, center_crop: 32, divide: 255, mean: [0.5], std: [0.25]}\n\
             fp32_top1: 90.5\ngate_tolerance: 0.1\nsource: here\nlicence: none stated\n"
        }
        Kind::Profile => {
            "name: tiny\nsummary: A tiny one.\nexecution: measured\nexecutes:\n  \
             weight_bits: [4, 8]\n  activation_bits: [8]\n  ternary: false\n  \
             per_channel_weights: true\n  sites: deployable\nsource: here\n"
        }
        Kind::Survey => {
            "name: tiny\nsummary: A tiny one.\ndataset: shapes10\nmodels: [resnet-shapes10]\n\
             methods:\n  - minmax\n  - {artefact: a.onnx, name: by-hand, specs: [w8a8, {bits: w4a4, sites: academic, image: same, first_last: same, exclude: [a], layer_bits: {b: w4a4}}], tool: t, note: n, models: [resnet-shapes10], family: data-free}\n  - name: twn\n    params: {bn_reestimate: true}\n    \
             specs: [w2ta8, {bits: w2ta2, sites: academic, image: same, first_last: same, exclude: [a], layer_bits: {b: w2ta8}}]\n    models: [resnet-shapes10]\n    seeds: [1]\n    \
             calibration: {images: [8, 32], draws: [0]}\nspecs:\n  - w8a8\n  \
             - {bits: w4a4, sites: academic, image: same, first_last: 8bit, exclude: [a], layer_bits: {b: w8a4}}\n\
             calibration: {images: 64, draws: [0, 1]}\nseeds: [0]\nprofiles: [x86-avx2]\n\
             deployed: auto\nevaluation: {batch: 64}\nhistograms: true\n\
             report: {tables: [{caption: t, families: [data-free], models: [resnet-shapes10], methods: [minmax], widths: \
             [w4a4], columns: [drop]}], figures: [cost]}\n"
        }
    }
}

/// Files that together have every mapping of a kind's parser.
fn examples(kind: Kind) -> Vec<String> {
    let mut all = vec![full(kind).to_string()];
    if kind == Kind::Profile {
        // One for each kind of cost model.
        for name in ["bitfusion", "edge-tpu", "eyeriss", "mcu-m4", "stripes", "systolic-ws-64"] {
            let path = Path::new(CONFIGS).join(format!("hardware/{name}.yaml"));
            all.push(std::fs::read_to_string(path).unwrap());
        }
    }
    all
}

/// What the parser of a kind says about a text; none if it takes it.
fn parsed(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Dataset => DatasetManifest::parse(text, "f").err().map(|e| e.to_string()),
        Kind::Model => ModelCard::parse(text, "f", None).err().map(|e| e.to_string()),
        Kind::Profile => Profile::parse(text, "f").err().map(|e| e.to_string()),
        Kind::Survey => Survey::parse(text, "f").err().map(|e| e.to_string()),
    }
}

fn value(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// The names that a complaint about an unknown one lists.
fn listed(message: &str) -> BTreeSet<String> {
    if let Some((_, rest)) = message.split_once("expected ").filter(|_| message.contains('`')) {
        return rest.split('`').skip(1).step_by(2).map(str::to_string).collect();
    }
    let (_, list) = message.split_once("known: ").unwrap_or_else(|| panic!("{message}"));
    list.trim_end_matches(')').split(", ").map(str::to_string).collect()
}

/// Every place of `value` with the schema that describes it there.
fn places<'s>(schema: &'s Value, value: &Value, at: &str, out: &mut Vec<(String, &'s Value)>) {
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        for one in any.iter().filter(|one| complaint(one, value).is_none()) {
            places(one, value, at, out);
        }
    }
    out.push((at.to_string(), schema));
    for (key, inner) in value.as_object().into_iter().flatten() {
        if let Some(schema) = schema.get("properties").and_then(|p| p.get(key)) {
            places(schema, inner, &format!("{at}/{key}"), out);
        }
    }
    for (i, inner) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(schema) = schema.get("items") {
            places(schema, inner, &format!("{at}/{i}"), out);
        }
    }
}

/// Mappings with fixed keys anywhere in a schema, but for the parameters of methods, which are
/// made from their cards.
fn mappings(schema: &Value) -> usize {
    let own = usize::from(schema.get("properties").is_some());
    let inner = |value: &Value| match value {
        Value::Object(o) => o.iter().filter(|(k, _)| *k != "allOf").map(|(_, v)| mappings(v)).sum(),
        Value::Array(a) => a.iter().map(mappings).sum(),
        _ => 0,
    };
    own + inner(schema)
}

#[test]
fn the_parsers_know_the_keys_of_the_schemas_and_no_others() {
    for kind in Kind::ALL {
        let schema = schema(kind);
        let mut seen = BTreeSet::new();
        for text in examples(kind) {
            assert_eq!(parsed(kind, &text), None, "{kind:?}");
            check_keys(kind, &schema, &value(&text), &mut seen);
        }
        assert!(seen.len() >= mappings(&schema), "{kind:?}: the examples show {seen:?} only");
    }
}

/// Adds and takes away keys everywhere in an example; notes the mappings that it has.
fn check_keys(
    kind: Kind,
    schema: &Value,
    example: &Value,
    seen: &mut BTreeSet<(String, *const Value)>,
) {
    assert_eq!(complaint(schema, example), None, "{kind:?}");
    let mut found = Vec::new();
    places(schema, example, "", &mut found);
    for (at, schema) in found {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            continue;
        };
        let mut changed = example.clone();
        let mapping = changed.pointer_mut(&at).unwrap().as_object_mut().unwrap();
        mapping.insert("zzz".to_string(), json!(1));
        let text = serde_yaml::to_string(&changed).unwrap();
        let message = parsed(kind, &text).unwrap_or_else(|| panic!("{kind:?}{at} takes zzz"));
        let known: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(listed(&message), known, "{kind:?}{at}: {message}");
        for key in schema["required"].as_array().unwrap() {
            let mut changed = example.clone();
            let mapping = changed.pointer_mut(&at).unwrap().as_object_mut().unwrap();
            mapping.remove(key.as_str().unwrap());
            let text = serde_yaml::to_string(&changed).unwrap();
            assert!(parsed(kind, &text).is_some(), "{kind:?}{at} does without {key}");
        }
        seen.insert((at, std::ptr::from_ref(schema)));
    }
}

#[test]
fn the_parsers_know_the_words_of_the_schemas_and_no_others() {
    let mut words = 0;
    for kind in Kind::ALL {
        let schema = schema(kind);
        let mut seen = BTreeSet::new();
        for text in examples(kind) {
            let example = value(&text);
            let mut found = Vec::new();
            places(&schema, &example, "", &mut found);
            for (at, schema) in found {
                let Some(known) = schema.get("enum").and_then(Value::as_array) else { continue };
                // Names of methods are open, because a folder may bring external ones; a single
                // word says which of several mappings this is.
                let open = at == "/methods/0" || at == "/methods/2/name" || known.len() == 1;
                if open || !seen.insert((at.clone(), std::ptr::from_ref(schema))) {
                    continue;
                }
                let mut changed = example.clone();
                *changed.pointer_mut(&at).unwrap() = json!("zzz");
                let message = parsed(kind, &serde_yaml::to_string(&changed).unwrap()).unwrap();
                let known: BTreeSet<String> =
                    known.iter().map(|word| word.as_str().unwrap().to_string()).collect();
                assert_eq!(listed(&message), known, "{kind:?}{at}: {message}");
                words += 1;
            }
        }
    }
    assert_eq!(
        words, 21,
        "three times sites, image, first_last; family; deployed; families and columns of a table; \
         loader; interpolation; profile; of cost models dataflow, depthwise, partial sums, design"
    );
}

/// Texts with the verdict that schema and parser are to agree on.
fn judged() -> Vec<(Kind, String, bool)> {
    let mut out = Vec::new();
    let folders = [
        (Kind::Dataset, "datasets"),
        (Kind::Model, "models"),
        (Kind::Profile, "hardware"),
        (Kind::Survey, "surveys"),
    ];
    for (kind, folder) in folders {
        for entry in std::fs::read_dir(Path::new(CONFIGS).join(folder)).unwrap() {
            out.push((kind, std::fs::read_to_string(entry.unwrap().path()).unwrap(), true));
        }
        out.push((kind, full(kind).to_string(), true));
    }
    out.push((Kind::Survey, crate::config::catalog::QUICKSTART.to_string(), true));
    let changes = [
        (Kind::Survey, "dataset:", "dataet:"),
        (Kind::Survey, "draws: [0, 1]", "draw: 0"),
        (Kind::Survey, "images: 64", "images: 0"),
        (Kind::Survey, "images: 64", "images: many"),
        (Kind::Survey, "images: 64", "images: []"),
        (Kind::Survey, "[8, 32]", "[8, 8]"),
        (Kind::Survey, "[8, 32]", "[8, 0]"),
        (Kind::Survey, "[0, 1]", "[0, 0]"),
        (Kind::Survey, "[0, 1]", "[-1]"),
        (Kind::Survey, "- w8a8", "- w9a8"),
        (Kind::Survey, "- w8a8", "- w3ta8"),
        (Kind::Survey, "- w8a8", "- 8"),
        (Kind::Survey, "- w8a8", "- w32a32"),
        (Kind::Survey, "bits: w4a4, ", ""),
        (Kind::Survey, "image: same", "image: sam"),
        (Kind::Survey, "image: same", "imag: same"),
        (Kind::Survey, "name: tiny", "name: Tiny One"),
        (Kind::Survey, "models: [resnet-shapes10]", "models: [a, b, a]"),
        (Kind::Survey, "models: [resnet-shapes10]", "models: []"),
        (Kind::Survey, "models: [resnet-shapes10]", "models: resnet-shapes10"),
        (Kind::Survey, "bn_reestimate: true", "bn_reestimate: [1]"),
        (Kind::Survey, "deployed: auto", "deployed: always"),
        (Kind::Survey, "batch: 64", "batch: 0"),
        (Kind::Model, "fp32_top1: 90.5", "fp32_top: 90.5"),
        (Kind::Model, "90.5", "905"),
        (Kind::Model, "26bc", "26b"),
        (Kind::Model, "sub/tiny.onnx", "../tiny.onnx"),
        (Kind::Model, "sub/tiny.onnx", "sub/../../tiny.onnx"),
        (Kind::Model, "sub/tiny.onnx", "/tiny.onnx"),
        (Kind::Model, "std: [0.25]", "std: [0]"),
        (Kind::Dataset, "classes: 3", "classes: 1"),
        (Kind::Dataset, "[3, 2, 2]", "[3, 0, 2]"),
        (Kind::Dataset, "[3, 2, 2]", "[3, 2]"),
        (Kind::Dataset, "a.bin", "../a.bin"),
        (Kind::Dataset, "file: t.tar.gz", "file: t.zip"),
        (Kind::Dataset, "md5: c32a", "md5: C32A"),
        (Kind::Dataset, "licence: none stated\n", ""),
        (Kind::Profile, "[4, 8]", "[17]"),
        (Kind::Profile, "[4, 8]", "[]"),
        (Kind::Profile, "measured", "guessed"),
    ];
    for (kind, from, to) in changes {
        assert!(full(kind).contains(from), "{from}");
        out.push((kind, full(kind).replacen(from, to, 1), false));
    }
    let changes = [
        ("rows: 64", "rows: 0"),
        ("rows: 64", "rows: -64"),
        ("rows: 64", "rows: 6.5"),
        ("rows: 64", "rows: many"),
        ("rows: 64", "row: 64"),
        ("mhz: 480", "mhz: 0"),
        ("gb_per_s: 25.6", "gb_per_s: -1"),
        ("pj_per_bit: 20.3", "pj_per_bit: -0.1"),
        ("model: systolic", "model: sistolic"),
        ("model: systolic", "model: mcu"),
        ("  model: systolic\n", ""),
        ("weight-stationary\n  depth", "input-stationary\n  depth"),
        ("source: 8-bit unit", "source: ' ' # 8-bit unit"),
    ];
    let systolic = std::fs::read_to_string(Path::new(CONFIGS).join("hardware/systolic-ws-64.yaml"));
    let systolic = systolic.unwrap();
    for (from, to) in changes {
        assert!(systolic.contains(from), "{from}");
        out.push((Kind::Profile, systolic.replacen(from, to, 1), false));
    }
    out
}

#[test]
fn schema_and_parser_give_the_same_verdict() {
    for (kind, text, good) in judged() {
        let (by_parser, by_schema) = (parsed(kind, &text), complaint(&schema(kind), &value(&text)));
        assert_eq!(by_parser.is_none(), good, "{kind:?}: {by_parser:?}\n{text}");
        assert_eq!(by_schema.is_none(), good, "{kind:?}: {by_schema:?}\n{text}");
    }
    // Parameters are looked at when names are resolved; the schema knows them beforehand.
    for (from, to) in [("bn_reestimate: true", "bn_restimate: true"), ("true", "3")] {
        let text = full(Kind::Survey).replacen(from, to, 1);
        assert!(complaint(&schema(Kind::Survey), &value(&text)).is_some(), "{text}");
    }
    // An external method brings parameters that no schema knows.
    let text = full(Kind::Survey).replace("name: twn", "name: mine");
    assert_eq!(complaint(&schema(Kind::Survey), &value(&text)), None);
}

#[test]
fn the_schemas_under_configs_are_fresh() {
    for kind in Kind::ALL {
        let path = Path::new(CONFIGS).join(format!("schema/{}.json", kind.name()));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let name = kind.name();
        assert!(
            committed == schema_text(kind),
            "configs/schema/{name}.json is stale: quantbench schema {name} > \
             configs/schema/{name}.json"
        );
    }
}

/// The same verdicts from an implementation that is not ours.
#[test]
fn the_jsonschema_package_agrees() {
    const PROGRAM: &str = "import json, sys, jsonschema
for schema, value, good in json.load(sys.stdin):
    jsonschema.Draft7Validator.check_schema(schema)
    if jsonschema.Draft7Validator(schema).is_valid(value) != good:
        sys.exit(f'expected {good}: {json.dumps(value)}')
";
    let python = std::env::var("QUANTBENCH_PYTHON").unwrap_or_default();
    let has = |python: &str| {
        let mut command = Command::new(python);
        command.args(["-c", "import jsonschema"]).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    };
    if python.is_empty() || !has(&python) {
        eprintln!("skipped: QUANTBENCH_PYTHON names no Python with the package jsonschema");
        return;
    }
    let cases: Vec<Value> = judged()
        .iter()
        .map(|(kind, text, good)| json!([schema(*kind), value(text), good]))
        .collect();
    let mut child = Command::new(python)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(&cases).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
