//! Records the commit that the binary is built from, for the provenance of every row.

use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}

fn main() {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    // Results and documents do not change what the binary does.
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "../../harness",
        "../../methods",
        "../../datasets",
        "../../configs",
        "../../Cargo.lock",
    ]);
    let dirty = if changed.is_some_and(|c| !c.is_empty()) { "+dirty" } else { "" };
    println!("cargo:rustc-env=QUANTBENCH_COMMIT={commit}{dirty}");
    for path in [
        "../../harness",
        "../../methods",
        "../../datasets",
        "../../configs",
        "../../.git/HEAD",
        "../../.git/refs/heads",
    ] {
        if std::path::Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}
