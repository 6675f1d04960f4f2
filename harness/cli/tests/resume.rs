//! Runs that are killed, shared, or cannot write: nothing is lost, nothing is done twice.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{SURVEY, quantbench, results, run, runtime_is_here, stderr, stdout, write};
use quantbench_core::rng::Rng;

fn start(folder: &Path, out: &str, more: &[&str]) -> Child {
    quantbench(folder)
        .args(["run", "s.yaml", "--images", "256", "--threads", "1", "--out", out])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let message = stderr(&output);
    assert!(output.status.success(), "{message}");
    message
}

/// Waits until a cell is in flight, or nothing is left to do.
fn wait_for_a_claim(dir: &Path) {
    let claimed = || {
        let claims = std::fs::read_dir(dir.join("claims")).into_iter().flatten().flatten();
        claims.map(|c| c.path()).any(|p| p.extension().is_some_and(|e| e == "claim"))
    };
    for _ in 0..2000 {
        if claimed() || std::fs::read_dir(dir.join("rows")).is_ok_and(|r| r.count() >= 7) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// No claim and no half-written file is left.
fn assert_clean(dir: &Path) {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let claimed = path.parent().unwrap().ends_with("claims") && !name.contains("lock");
            assert!(!claimed && !name.ends_with(".qbpart"), "left behind: {}", path.display());
        }
    }
}

#[test]
fn killed_at_twenty_random_moments_the_results_are_the_same_bit_for_bit() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    finish(start(folder.path(), "whole", &[]));
    let whole = results(&folder.path().join("whole"));
    assert_eq!(whole.len(), 7, "one FP32 cell, 2 x 2 of minmax, 2 of squant");
    let mut rng = Rng::from_parts(&["kill moments"]);
    let mut killed = 0;
    for round in 0..20 {
        // Fresh folders keep cells in flight; three rounds share one, so that resumes stack up.
        let out = format!("killed{}", round / 3);
        let mut child = start(folder.path(), &out, &[]);
        wait_for_a_claim(&folder.path().join(&out));
        std::thread::sleep(Duration::from_millis(rng.below(800)));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            killed += 1;
        }
        child.wait().unwrap();
    }
    assert!(killed >= 10, "only {killed} of 20 kills hit a running process");
    for group in 0..7 {
        let out = format!("killed{group}");
        finish(start(folder.path(), &out, &[]));
        assert_eq!(results(&folder.path().join(&out)), whole, "{out}");
        assert_clean(&folder.path().join(&out));
    }
}

#[test]
fn two_processes_share_one_folder_without_doing_a_cell_twice() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    let (one, two) = (start(folder.path(), "out", &[]), start(folder.path(), "out", &[]));
    let messages = [finish(one), finish(two)];
    assert_eq!(results(&folder.path().join("out")).len(), 7);
    let done_now = |message: &String| -> usize {
        let line = message.lines().find(|l| l.contains("done now")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|w| *w == "done").unwrap();
        let now = words.windows(3).position(|w| w[1] == "done" && w[2].starts_with("now"));
        words[now.unwrap_or(at)].parse().unwrap()
    };
    let total: usize = messages.iter().map(done_now).sum();
    assert_eq!(total, 7, "{messages:?}");
    assert_clean(&folder.path().join("out"));
}

#[test]
fn running_again_does_nothing_and_reports_work() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    finish(start(folder.path(), "out", &["--jobs", "2"]));
    let again = finish(start(folder.path(), "out", &[]));
    assert!(again.contains("7 were done before, 0 done now"), "{again}");
    let report = run(quantbench(folder.path()).args(["report", "out"]));
    assert!(report.status.success(), "{}", stderr(&report));
    assert!(stdout(&report).contains("squant"), "{}", stdout(&report));
    for file in ["report.md", "report.csv", "rows.csv", "report.html"] {
        assert!(folder.path().join("out/report").join(file).is_file(), "{file}");
    }
    let html = std::fs::read_to_string(folder.path().join("out/report/report.html")).unwrap();
    assert!(html.contains("<svg"), "the figure is part of the page");
    let status = run(quantbench(folder.path()).args(["status", "out"]));
    assert!(stdout(&status).contains("7 rows done, 0 failed"), "{}", stdout(&status));
    // A damaged row is named, left out of the report, and done again by the next run.
    let row = std::fs::read_dir(folder.path().join("out/rows")).unwrap().next().unwrap().unwrap();
    std::fs::write(row.path(), "{").unwrap();
    let report = run(quantbench(folder.path()).args(["report", "out"]));
    let name = row.file_name().to_string_lossy().into_owned();
    assert!(stderr(&report).contains(&name), "{}", stderr(&report));
    let again = finish(start(folder.path(), "out", &[]));
    assert!(again.contains("1 done now"), "{again}");
}

#[test]
fn an_output_below_a_regular_file_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    write(folder.path(), "file", "");
    let output = run(quantbench(folder.path()).args(["run", "s.yaml", "--out", "file/run"]));
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("file/run") && !message.contains("panicked"), "{message}");
    let quantize =
        ["quantize", "--model", "resnet-shapes10", "--method", "squant", "--bits", "w8a8"];
    for target in ["file/q.onnx", "."] {
        let output = run(quantbench(folder.path()).args(quantize).args(["-o", target]));
        common::assert_error(&output, 2, &["--output", target]);
    }
}

#[cfg(unix)]
#[test]
fn a_standard_error_that_cannot_be_written_stops_nothing() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let status = quantbench(folder.path())
        .args(["run", "s.yaml", "--images", "64", "--out", "out", "--only", "squant"])
        .stdout(Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(results(&folder.path().join("out")).len(), 3);
}

#[cfg(unix)]
#[test]
fn a_limit_on_file_sizes_is_an_error_and_leaves_nothing_half_written() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    // 16 KiB: rows fit, artefacts (80 KiB) and exported files do not.
    let limited = |verb: &str| {
        let program = quantbench(folder.path());
        let mut shell = std::process::Command::new("bash");
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        let line = format!("ulimit -f 16; exec '{}' {verb}", program.get_program().display());
        shell.args(["-c", &line]).current_dir(folder.path()).output().unwrap()
    };
    let output = limited("quantize --model resnet-shapes10 --method squant --bits w8a8 -o q.onnx");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("q.onnx"), "{message}");
    assert!(!folder.path().join("q.onnx").exists());
    let output = limited("run s.yaml --images 64 --out out");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert_clean(&folder.path().join("out"));
    // Without the limit the same command goes on.
    let output =
        run(quantbench(folder.path()).args(["run", "s.yaml", "--images", "64", "--out", "out"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(results(&folder.path().join("out")).len(), 7);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_cleanly_and_the_run_goes_on_later() {
    if !runtime_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.yaml", SURVEY);
    let child = start(folder.path(), "out", &[]);
    wait_for_a_claim(&folder.path().join("out"));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("run the same command again to go on"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert_clean(&folder.path().join("out"));
    finish(start(folder.path(), "out", &[]));
    assert_eq!(results(&folder.path().join("out")).len(), 7);
}
