//! A capped process against one on a CPU that has no more than AVX2.

use std::path::PathBuf;
use std::process::{Command, Output};

use quantbench_core::Tensor;
use quantbench_core::hash::sha256_hex;

use super::known::Known;
use super::{AVX2, ISA_VARIABLE, capped, keep, put};
use crate::probe::{ByteProducts, byte_products, byte_products_under};
use crate::session::{Optimisation, Options, Session};
use crate::testing::{qdq_net, random, runtime, tiny_net};
use crate::{Runtime, RuntimeError};

/// Set for the processes that the tests start.
const CHILD: &str = "QUANTBENCH_TEST_CHILD";

/// Not a test by itself: prints what the runtime makes of four images.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let runtime = Runtime::load().unwrap();
    println!("FOUND {:?}", byte_products(runtime).unwrap());
    println!("FOUND {:?}", byte_products_under(runtime, Optimisation::Precise).unwrap());
    let options = Options { threads: 1, optimisation: Optimisation::All };
    let mut nets = vec![("float", 8, tiny_net(3)), ("bytes", 8, qdq_net(true))];
    if let Some(folder) = std::env::var_os("QUANTBENCH_DATA").map(PathBuf::from) {
        let path = folder.join("models").join("resnet8-cifar10.onnx");
        nets.push(("resnet8", 32, std::fs::read(path).unwrap()));
    }
    for (name, size, onnx) in nets {
        let images = Tensor::new(vec![4, 3, size, size], random(4 * 3 * size * size, 5));
        let mut session = Session::new(runtime, &onnx, &options, name).unwrap();
        let logits = session.run(&images).unwrap();
        let bits: Vec<u8> = logits[0].data.iter().flat_map(|v| v.to_le_bytes()).collect();
        println!("FOUND {name} {}", sha256_hex(&bits));
    }
}

/// What the child finds, started by `command` (with the test program and its arguments to come).
fn found(mut command: Command) -> Vec<String> {
    let output: Output = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "cap::tests::child", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|l| Some(l.split_once("FOUND ")?.1.to_string())).collect()
}

/// Whether the library that is set up here can be capped; prints why not.
fn can_be_capped() -> bool {
    if runtime().is_none() {
        return false;
    }
    let known = Runtime::locate()
        .ok()
        .and_then(|path| Known::of(&sha256_hex(&std::fs::read(path).ok()?)))
        .is_some();
    let avx2 = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    if !known || !avx2 {
        println!("skipped: this library or system cannot be capped");
    }
    known && avx2
}

#[test]
fn a_capped_process_takes_the_saturating_kernels() {
    if !can_be_capped() {
        return;
    }
    let mut process = Command::new("env");
    process.env(ISA_VARIABLE, AVX2);
    let found = found(process);
    assert_eq!(found[0], format!("{:?}", ByteProducts::Saturating));
    // Weights that the runtime made unsigned do not saturate.
    assert_eq!(found[1], format!("{:?}", ByteProducts::Exact));
}

#[test]
fn capped_logits_are_those_of_a_cpu_with_avx2_alone() {
    if !can_be_capped() {
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: there is no valgrind, which shows programs a CPU with AVX2 alone");
        return;
    }
    let mut process = Command::new("env");
    process.env(ISA_VARIABLE, AVX2);
    let mut other = Command::new("valgrind");
    other.args(["--tool=none", "--quiet"]);
    assert_eq!(found(process), found(other));
}

#[test]
fn another_wish_is_refused() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cap::tests::child", "--nocapture"])
        .env(CHILD, "1")
        .env(ISA_VARIABLE, "sse9")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if runtime().is_some() {
        assert!(!output.status.success() && text.contains("sse9"), "{text}");
    }
    let error = RuntimeError::Cap { reason: "why".to_string() };
    assert_eq!(error.to_string(), "ONNX Runtime cannot be capped: why");
}

#[cfg(unix)]
#[test]
fn a_copy_that_another_process_made_stays_and_a_damaged_one_goes() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let file = keep(b"patched", &folder.path().join("new")).unwrap();
    let number = || std::fs::metadata(&file).unwrap().ino();
    let first = number();
    // Two processes that both found no copy: the second comes to give its own the name.
    let part = || {
        let part = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
        std::fs::write(part.path(), b"patched").unwrap();
        part
    };
    put(part(), &file, b"patched").unwrap();
    assert_eq!(
        (number(), keep(b"patched", file.parent().unwrap()).unwrap()),
        (first, file.clone())
    );
    std::fs::write(&file, b"damaged").unwrap();
    put(part(), &file, b"patched").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"patched");
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn an_unknown_library_is_refused_and_says_which_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lib.so");
    std::fs::write(&path, b"\x0f\xa2 is no library").unwrap();
    let error = capped(&path).unwrap_err().to_string();
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert!(error.contains("its CPUID instructions are not known"), "{error}");
        assert!(error.contains("libonnxruntime.so.1.32.0"), "{error}");
    } else {
        assert!(error.contains("only possible on x86-64 Linux"), "{error}");
    }
    let missing = capped(&folder.path().join("none.so")).unwrap_err().to_string();
    assert!(missing.contains("none.so") || missing.contains("only possible"), "{missing}");
}
