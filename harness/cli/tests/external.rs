//! External methods and files of other tools, through the real binary on the embedded default.
//!
//! The commands here are shell scripts and a Python script that uses its standard library; what a
//! good one leaves was made by our own exporter.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{assert_error, quantbench, run, runtime_is_here, stderr, stdout, write};
use quantbench_core::Tensor;
use quantbench_graph::onnx::{TensorProto, data_type};
use quantbench_graph::testing::{Builder, int, ints};
use serde_json::Value;

/// What every script begins with.
const SHELL: &str = "set -e\nhere=$(dirname \"$0\")\nreport() { echo '{\"schema\": 1, \"tool\": \"test tool 1\"}' > report.json; }\n";

/// A folder with configurations, a good Q/DQ file, a data folder, and a place for temporary files.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["configs/external", "configs/models", "data", "tmp"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        write(root.path(), "data/secret", "the test set");
        let place = Self { root };
        let made = run(place.command().args([
            "quantize",
            "--model",
            "resnet-shapes10",
            "--method",
            "squant",
            "--bits",
            "w8a8",
            "-o",
            "configs/external/good.onnx",
        ]));
        assert!(made.status.success(), "{}", stderr(&made));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = quantbench(self.root.path());
        command
            .args(["--configs", "configs"])
            .env("QUANTBENCH_DATA", self.path("data"))
            .env("TMPDIR", self.path("tmp"));
        command
    }

    /// A card whose command runs a script with `sh`.
    fn shell(&self, name: &str, script: &str, more: &str) {
        write(
            self.root.path(),
            &format!("configs/external/{name}.sh"),
            format!("{SHELL}{script}\n"),
        );
        self.card(name, &format!("[sh, \"{{here}}/{name}.sh\"]"), more);
    }

    fn card(&self, name: &str, command: &str, more: &str) {
        let needs = if more.contains("needs:") { "" } else { "needs: nothing\n" };
        let text = format!(
            "name: {name}\nversion: 1\ntool: test tool\nfamily: data-dependent\nsummary: s\nwhen: w\n\
             paper: none\ncite: none\nwidths: {{weights: [2, 8], activations: [2, 8]}}\n\
             granularity: g\n{needs}command: {command}\n{more}\n"
        );
        write(self.root.path(), &format!("configs/external/{name}.yaml"), text);
    }

    fn survey(&self, methods: &str, specs: &str) {
        let text = format!(
            "name: s\ndataset: shapes10\nmodels: [resnet-shapes10]\nmethods: {methods}\n\
             specs: {specs}\ncalibration: {{images: 3}}\n"
        );
        write(self.root.path(), "s.yaml", text);
    }

    fn run(&self) -> Output {
        run(self.command().args(["run", "s.yaml", "--images", "40", "--out", "out"]))
    }

    /// The rows by method.
    fn rows(&self) -> BTreeMap<String, Value> {
        let files = std::fs::read_dir(self.path("out/rows")).unwrap();
        let rows = files.map(|f| std::fs::read(f.unwrap().path()).unwrap());
        let rows = rows.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        rows.map(|row| (row["cell"]["method"].as_str().unwrap().to_string(), row)).collect()
    }

    /// Folders of commands among the temporary files.
    fn leftovers(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.path("tmp")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // The runtime library leaves a file of its own.
        names.filter(|name| name.starts_with("quantbench")).collect()
    }
}

/// A model with one quantized conv; `nan` computes 0 / 0 behind it.
fn net(classes: usize, nan: bool) -> Vec<u8> {
    let mut b = Builder::new(1);
    let bytes = |name: &str, dims: &[i64], kind, raw| TensorProto {
        dims: dims.to_vec(),
        data_type: Some(kind),
        name: Some(name.into()),
        raw_data: Some(raw),
        ..TensorProto::default()
    };
    b.weight("s", &Tensor::new(vec![], vec![0.05]));
    b.initializer(bytes("z", &[], data_type::UINT8, vec![128]));
    b.initializer(bytes("w", &[classes as i64, 3, 1, 1], data_type::INT8, vec![3; classes * 3]));
    b.node("QuantizeLinear", &["input", "s", "z"], "q", vec![]);
    b.node("DequantizeLinear", &["q", "s", "z"], "x", vec![]);
    b.node("DequantizeLinear", &["w", "s"], "v", vec![]);
    b.node("Conv", &["x", "v"], "y", vec![ints("kernel_shape", &[1, 1])]);
    b.node("GlobalAveragePool", &["y"], "pooled", vec![]);
    b.node("Flatten", &["pooled"], "flat", vec![int("axis", 1)]);
    if nan {
        b.node("Sub", &["flat", "flat"], "zero", vec![]);
        b.node("Div", &["zero", "zero"], "logits", vec![]);
    } else {
        b.node("Identity", &["flat"], "logits", vec![]);
    }
    b.finish(&[3, 32, 32], "logits")
}

fn is_running(words: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.strip_suffix(b"\0").unwrap_or(&line) == words.replace(' ', "\0").as_bytes()
    })
}

#[test]
fn whatever_a_command_does_wrong_is_the_reason_of_a_failed_row() {
    if !runtime_is_here() {
        return;
    }
    let place = Place::new();
    write(place.root.path(), "configs/external/nan.onnx", net(10, true));
    write(place.root.path(), "configs/external/seven.onnx", net(7, false));
    let data = place.path("data/secret").display().to_string();
    let outside = place.path("outside").display().to_string();
    let rows = place.path("out/rows").display().to_string();
    let copy = |file: &str| format!("cp \"$here/{file}.onnx\" artefact.onnx; report");
    let files = |file: &str| format!("files: [{file}.onnx]");
    place.card("no-program", "[no-such-program-here]", "setup: ask somebody");
    place.shell("bad-end", "echo first; echo 'boom: no such option' >&2; exit 3", "");
    place.shell("signal", "kill -SEGV $$", "");
    place.shell("hangs", "sleep 8471 & sleep 8472", "timeout_s: 1");
    place.shell("nothing", "true", "");
    place.shell("no-file", "report", "");
    place.shell(
        "odd-report",
        "cp \"$here/good.onnx\" artefact.onnx; echo '{}' > report.json",
        &files("good"),
    );
    place.shell("text", "echo hello > artefact.onnx; report", "");
    place.shell("linked", &format!("ln -s {data} artefact.onnx; report"), "");
    place.shell("float", "cp model.onnx artefact.onnx; report", "");
    place.shell("shapes", &copy("seven"), &files("seven"));
    place.shell("nan", &copy("nan"), &files("nan"));
    place.shell("reads-data", &format!("cat {data}; {}", copy("good")), &files("good"));
    place.shell("reads-rows", &format!("ls {rows}; {}", copy("good")), &files("good"));
    place.shell("writes-outside", &format!("echo x > {outside}; {}", copy("good")), &files("good"));
    place.shell("asks-for-data", "true", &format!("reads: [\"{}\"]", place.path("data").display()));
    place.shell("wide", &copy("good"), &files("good"));
    place.shell("good", &copy("good"), &files("good"));
    let methods = "[no-program, bad-end, signal, hangs, nothing, no-file, odd-report, text, linked, \
                   float, shapes, nan, reads-data, reads-rows, writes-outside, asks-for-data, good, \
                   {name: wide, specs: [w4a4]}]";
    place.survey(methods, "[w8a8]");
    let start = Instant::now();
    let output = place.run();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(start.elapsed() < Duration::from_mins(2), "a hanging command was waited for");
    let rows = place.rows();
    assert_eq!(rows["good"]["status"], "done", "{}", rows["good"]["reason"]);
    let confined = rows["good"]["observed"]["confinement"] == "landlock";
    if !confined {
        eprintln!(
            "skipped in part: this kernel has no Landlock, so nothing can be kept from a command"
        );
    }
    let expected = [
        (
            "no-program",
            "method no-program: there is no program no-such-program-here in PATH; set it up with: ask somebody",
        ),
        ("bad-end", "the command ended with code 3; its last words: first | boom: no such option"),
        ("signal", "the command was killed by signal 11 (SIGSEGV)"),
        ("hangs", "the command was ended after its limit of 1 s"),
        ("nothing", "wrong file: report.json: the command left no such file in its folder"),
        ("no-file", "wrong file: artefact.onnx: the command left no such file in its folder"),
        ("odd-report", "wrong file: report.json: missing field `schema`"),
        ("text", "wrong file: artefact.onnx: this is not an ONNX model"),
        ("linked", "wrong file: artefact.onnx: it is no regular file"),
        ("float", "wrong file: artefact.onnx: there is no QuantizeLinear or DequantizeLinear node"),
        ("shapes", "wrong file: its output has dimensions [7] for one image; the model's has [10]"),
        ("nan", "is not a number"),
        ("asks-for-data", "the card of asks-for-data asks to read"),
        ("wide", "the weight has 8 bits; w4a4 asks for at most 4 there"),
    ];
    let kept_out = ["reads-data", "reads-rows", "writes-outside"].map(|m| (m, "ermission denied"));
    for (method, text) in expected.into_iter().chain(kept_out.into_iter().filter(|_| confined)) {
        let row = &rows[method];
        assert_eq!(row["status"], "failed", "{method}");
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.contains(text), "{method}: {reason}\nshould contain {text}");
    }
    assert!(!confined || !place.path("outside").exists());
    assert!(!is_running("sleep 8471") && !is_running("sleep 8472"), "the group outlived its limit");
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// Checks what it was given with nothing but the standard library.
const CHECKS: &str = r#"
import ast, json, os, pathlib, shutil, struct, sys
here = pathlib.Path(__file__).parent
job = json.load(open("job.json"))
assert job["spec"]["weights"] == 8 and job["spec"]["bits"] == "w8a8", job
assert job["params"] == {"clip": 0.25}, job
assert job["input"]["dims"] == [3, 32, 32], job
files = sorted(os.listdir("."))
if job["calibration"]:
    raw = open(job["calibration"]["file"], "rb").read()
    assert raw[:8] == b"\x93NUMPY\x01\x00"
    head = ast.literal_eval(raw[10 : 10 + struct.unpack("<H", raw[8:10])[0]].decode())
    assert head == {"descr": "<f4", "fortran_order": False, "shape": (3, 3, 32, 32)}, head
    values = struct.unpack("<9216f", raw[-4 * 9216 :])
    assert -3 < min(values) < 0 < max(values) < 3
if job["method"] == "labelled":
    assert files == ["calibration.npy", "job.json", "labels.npy", "model.onnx", "tmp"], files
    assert os.path.getsize("labels.npy") == 128 + 3 * 8
elif job["method"] == "unlabelled":
    assert files == ["calibration.npy", "job.json", "model.onnx", "tmp"], files
else:
    assert files == ["job.json", "model.onnx", "tmp"], files
assert os.environ["HOME"] == os.getcwd() and os.environ["OMP_NUM_THREADS"] == "1"
assert not [name for name in os.environ if name.startswith("QUANTBENCH")]
assert sys.stdin.read() == ""
shutil.copy(here / "good.onnx", "artefact.onnx")
json.dump({"schema": 1, "tool": "python tool 2", "notes": ["all is well"],
           "cost": {"wall_s": 0.5, "cpu_s": 0.25}}, open("report.json", "w"))
"#;

#[test]
fn a_command_gets_what_its_card_grants_and_becomes_a_row_that_resumes() {
    if !runtime_is_here() {
        return;
    }
    let place = Place::new();
    let script = write(place.root.path(), "configs/external/checks.py", CHECKS);
    for needs in ["nothing", "unlabelled", "labelled"] {
        let more = format!(
            "needs: {needs}\nfiles: [good.onnx]\nparams:\n  clip: {{default: 0.5, from: 0, to: 1, help: h}}"
        );
        place.card(needs, "[python3, \"{here}/checks.py\"]", &more);
    }
    place.survey(
        "[{name: nothing, params: {clip: 0.25}}, {name: unlabelled, params: {clip: 0.25}}, \
         {name: labelled, params: {clip: 0.25}}, squant, \
         {artefact: configs/external/good.onnx, name: from-elsewhere, tool: some tool 3, note: by hand}]",
        "[w8a8]",
    );
    let text = std::fs::read_to_string(place.path("s.yaml")).unwrap();
    let text = text.replace("note: by hand", "specs: [w8a8], note: by hand");
    write(place.root.path(), "s.yaml", text);
    let args = ["run", "s.yaml", "--images", "40", "--out", "out", "--threads", "1"];
    let output = run(place.command().args(args));
    let rows = place.rows();
    let reasons: Vec<String> = rows.values().map(|r| r["reason"].to_string()).collect();
    assert_eq!(output.status.code(), Some(0), "{reasons:?} {}", stderr(&output));
    let own = &rows["squant"]["result"];
    for method in ["nothing", "unlabelled", "labelled", "from-elsewhere"] {
        let result = &rows[method]["result"];
        for part in [
            "acc_simulated",
            "acc_deployed",
            "predictions",
            "bit_operations",
            "mean_weight_bits",
            "allocation",
        ] {
            assert_eq!(result[part], own[part], "{method}: {part}");
        }
        assert_eq!(
            result["sizes"]["theoretical_bits"], own["sizes"]["theoretical_bits"],
            "{method}"
        );
    }
    let read = |m: &str| {
        (rows[m]["result"]["images_read"].as_u64(), rows[m]["result"]["labels_read"].as_u64())
    };
    assert_eq!(read("nothing"), (Some(0), Some(0)));
    assert_eq!(read("unlabelled"), (Some(3), Some(0)));
    assert_eq!(read("labelled"), (Some(3), Some(3)));
    assert_eq!(rows["labelled"]["result"]["notes"][0], "made by python tool 2");
    assert_eq!(rows["labelled"]["result"]["notes"][1], "all is well");
    assert_eq!(rows["labelled"]["observed"]["method_reported"]["cpu_s"], 0.25);
    assert!(rows["labelled"]["observed"]["method"]["cpu_s"].as_f64().unwrap() > 0.0);
    assert!(rows["labelled"]["observed"]["method"]["peak_mib"].as_f64().unwrap() > 1.0);
    assert_eq!(rows["from-elsewhere"]["observed"]["method"], Value::Null);
    assert_eq!(rows["from-elsewhere"]["result"]["notes"][1], "by hand");
    assert_eq!(place.leftovers(), Vec::<String>::new());

    let files = |folder: &str| std::fs::read_dir(place.path(folder)).unwrap().count();
    let (before, kept) = (files("out/rows"), files("out/artefacts"));
    assert!(run(place.command().args(args)).status.success());
    assert_eq!((files("out/rows"), files("out/artefacts")), (before, kept));
    let report = run(place.command().args(["report", "out"]));
    assert!(report.status.success(), "{}", stderr(&report));
    let text = std::fs::read_to_string(place.path("out/report/report.md")).unwrap();
    for expected in
        ["made by python tool 2", "a file made by some tool 3", "test tool", "made elsewhere"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }

    // An edited script makes another artefact.
    write(place.root.path(), "configs/external/checks.py", format!("{CHECKS}\n# edited\n"));
    assert!(script.exists());
    assert!(run(place.command().args(args)).status.success());
    assert_eq!(files("out/rows"), before + 3);
}

#[test]
fn a_command_ends_with_the_run_that_started_it() {
    if !runtime_is_here() {
        return;
    }
    let place = Place::new();
    place.shell("forever", "sleep 8473 & sleep 8473", "");
    place.survey("[forever]", "[w8a8]");
    for signal in ["-INT", "-KILL"] {
        let mut child = place
            .command()
            .args(["run", "s.yaml", "--images", "40", "--out", "out"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let wait_until = |what: &str, test: &dyn Fn() -> bool| {
            let start = Instant::now();
            while !test() {
                assert!(start.elapsed() < Duration::from_mins(1), "{signal}: {what}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        wait_until("the command did not start", &|| is_running("sleep 8473"));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        child.wait().unwrap();
        wait_until("the command outlived its run", &|| !is_running("sleep 8473"));
        wait_until("its folder was left", &|| place.leftovers().is_empty());
    }
}

#[test]
fn mistakes_in_cards_and_surveys_are_named() {
    let place_free = tempfile::tempdir().unwrap();
    let root = place_free.path();
    for folder in ["configs/external", "configs/models"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let card = "name: mine\nversion: 1\ntool: t\nfamily: data-free\nsummary: s\nwhen: w\npaper: p\ncite: c\n\
                widths: {weights: [8, 8], activations: [8, 8]}\ngranularity: g\nneeds: nothing\n\
                command: [sh, \"{here}/mine.sh\"]\n";
    write(root, "configs/external/mine.sh", "true");
    let plan = |card: &str, methods: &str| {
        write(root, "configs/external/mine.yaml", card);
        let text = format!(
            "name: s\ndataset: shapes10\nmodels: [resnet-shapes10]\nspecs: [w8a8]\nmethods: {methods}\n"
        );
        write(root, "s.yaml", text);
        run(quantbench(root).args(["--configs", "configs", "plan", "s.yaml"]))
    };
    let file = "{artefact: x.onnx, name: tool-x, specs: [w8a8], tool: t}";
    for (methods, texts) in [
        ("[mien]", vec!["s.yaml:5", "there is no method \"mien\"; did you mean \"mine\"?"]),
        ("[{name: mine, params: {x: 1}}]", vec!["s.yaml:5", "method mine has no parameter \"x\""]),
        (
            "[{name: mine, specs: [w4a4]}]",
            vec!["s.yaml:5", "mine quantizes weights to 8 to 8 bits, not 4"],
        ),
        ("[mine, mine]", vec!["s.yaml:5", "is the same method"]),
        (
            &file.replace("tool:", "tol:"),
            vec!["s.yaml:5", "unknown key \"tol\"; did you mean \"tool\"?"],
        ),
        (&file.replace(", tool: t", ""), vec!["s.yaml:5", "key \"tool\" is missing"]),
        (
            &file.replace("tool-x", "minmax"),
            vec!["s.yaml:5", "\"minmax\" is a method; name the file otherwise"],
        ),
        (
            &file.replace("tool: t", "tool: t, models: [resnet20]"),
            vec!["s.yaml:5", "\"resnet20\" is not among the models of the survey"],
        ),
    ] {
        let methods =
            if methods.starts_with('[') { methods.to_string() } else { format!("[{methods}]") };
        assert_error(&plan(card, &methods), 2, &texts);
    }
    let output = plan(&card.replace("needs: nothing", "needs: noting"), "[mine]");
    assert_error(&output, 2, &["mine.yaml:11", "did you mean \"nothing\"?"]);
    let output = plan(&card.replace("mine.sh", "other.sh"), "[mine]");
    assert_error(&output, 2, &["s.yaml:5", "method mine: cannot read", "other.sh"]);
    // A file that is not here is missing, not wrong.
    let output = plan(card, &format!("[{file}]"));
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("artefact tool-x: x.onnx is neither beside the survey nor"), "{text}");

    let listed = stdout(&run(quantbench(root).args(["--configs", "configs", "list", "methods"])));
    let line = listed.lines().find(|l| l.starts_with("mine")).unwrap();
    assert!(line.contains("external"), "{line}");
    let doctor = stdout(&run(quantbench(root).args(["--configs", "configs", "doctor"])));
    assert!(doctor.contains("external method mine: t"), "{doctor}");
    let explained = run(quantbench(root).args(["--configs", "configs", "explain", "mine"]));
    assert!(stdout(&explained).contains("state    ready"), "{}", stdout(&explained));
    let single = [
        "quantize",
        "--model",
        "resnet-shapes10",
        "--method",
        "mine",
        "--bits",
        "w8a8",
        "-o",
        "q.onnx",
    ];
    let output = run(quantbench(root).args(["--configs", "configs"]).args(single));
    assert_error(&output, 2, &["method mine is external"]);
    assert!(!Path::new(root).join("q.onnx").exists());
}
