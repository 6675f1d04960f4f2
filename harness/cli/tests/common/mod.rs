//! Driving the real binary in a temporary folder.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part; helpers may unwrap.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The workspace, where `.runtime/` and `configs/` are.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The binary, started in a folder of its own, without data, with the workspace's runtime.
pub fn quantbench(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quantbench"));
    command.current_dir(folder).env_remove("QUANTBENCH_DATA");
    if std::env::var_os("ORT_DYLIB_PATH").is_none()
        && let Ok(path) = quantbench_engine::Runtime::locate()
    {
        command.env("ORT_DYLIB_PATH", path);
    }
    command
}

/// Whether the runtime is here; prints why a test is skipped if not. `QUANTBENCH_REQUIRE_RUNTIME`
/// turns the skip into a failure.
pub fn runtime_is_here() -> bool {
    match quantbench_engine::Runtime::locate() {
        Ok(_) => true,
        Err(error) => {
            assert!(std::env::var_os("QUANTBENCH_REQUIRE_RUNTIME").is_none(), "{error}");
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asserts an exit code and that standard error is one line of error that holds all the texts.
pub fn assert_error(output: &Output, code: i32, texts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    let errors: Vec<&str> = message.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "expected one error line: {message}");
    assert!(!message.contains("panicked"), "{message}");
    for text in texts {
        assert!(message.contains(text), "expected {text:?} in: {message}");
    }
}

/// A small survey on the embedded default.
pub const SURVEY: &str = "\
name: small
dataset: shapes10
models: [resnet-shapes10]
methods: [minmax, squant]
specs: [w8a8, w4a4]
calibration: {images: 32, draws: [0, 1]}
";

/// Writes a file and gives its path.
pub fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The `result` parts of a run folder by cell id.
pub fn results(dir: &Path) -> std::collections::BTreeMap<String, String> {
    let rows = std::fs::read_dir(dir.join("rows")).unwrap();
    rows.map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let row: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(row["status"], "done", "{}: {}", path.display(), row["reason"]);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, row["result"].to_string())
        })
        .collect()
}
