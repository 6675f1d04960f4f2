//! `quantbench fetch` as a user calls it.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use common::{assert_error, quantbench, run, stdout};
use quantbench_core::hash::sha256_hex;

/// Three CIFAR-10 records of one pixel in each class, as a gzipped file.
fn packed() -> Vec<u8> {
    // `printf '\x00\x01\x02\x03\x01\x04\x05\x06\x02\x07\x08\x09' | gzip -n`
    vec![
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x63, 0x60, 0x64, 0x62, 0x66,
        0x64, 0x61, 0x65, 0x63, 0x62, 0xe7, 0xe0, 0x04, 0x00, 0x6b, 0x59, 0x08, 0x7e, 0x0c, 0x00,
        0x00, 0x00,
    ]
}

fn manifest(configs: &Path, url: &str, sum: &str) {
    std::fs::create_dir_all(configs.join("models")).unwrap();
    std::fs::create_dir_all(configs.join("datasets")).unwrap();
    std::fs::write(
        configs.join("datasets/tiny.yaml"),
        format!(
            "name: tiny\nsummary: A tiny one.\nloader: cifar10\nclasses: 3\ndims: [3, 1, 1]\n\
             files:\n  train: [tiny/a.bin]\n  test: [tiny/a.bin]\narchives:\n  \
             - file: tiny/a.bin.gz\n    url: {url}\n    sha256: {sum}\nsource: here\n\
             licence: none stated\n"
        ),
    )
    .unwrap();
}

/// Serves one file to everybody.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.bin.gz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.lines().take_while(|line| !line.as_ref().unwrap().is_empty()).count();
            let length = bytes.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            )
            .unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    url
}

#[test]
fn a_data_set_is_fetched_once_and_then_found() {
    let temp = tempfile::tempdir().unwrap();
    let configs = temp.path().join("configs");
    manifest(&configs, &serve(packed()), &sha256_hex(&packed()));
    let fetch = || {
        let mut command = quantbench(temp.path());
        command.env("QUANTBENCH_CACHE", temp.path().join("cache"));
        run(command.args(["fetch", "tiny", "--to", "data"]))
    };
    let first = fetch();
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert!(stdout(&first).starts_with("fetched  data set tiny: data/tiny/a.bin.gz (32 bytes"));
    let second = fetch();
    assert_eq!(stdout(&second), "here     data set tiny: found\n");
    let doctor = run(quantbench(temp.path())
        .env("QUANTBENCH_DATA", temp.path().join("data"))
        .env("QUANTBENCH_CACHE", temp.path().join("cache"))
        .arg("doctor"));
    let text = stdout(&doctor);
    assert!(text.contains("data set tiny: 3 training and 3 test images"), "{text}");
}

#[test]
fn what_is_missing_in_the_end_is_said_with_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let configs = temp.path().join("configs");
    let other = sha256_hex(b"another");
    manifest(&configs, &serve(packed()), &other);
    let mut command = quantbench(temp.path());
    command.env("QUANTBENCH_DATA", temp.path().join("data"));
    command.env("QUANTBENCH_CACHE", temp.path().join("cache"));
    let names = ["fetch", "tiny", "resnet20-cifar10", "imagenet", "shapes10", "resnet-shapes10"];
    let output = run(command.args(names));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("missing  data set tiny: what came has SHA-256"), "{text}");
    assert!(lines[0].contains(&format!("by hand, with SHA-256 {other}, as ")), "{text}");
    assert!(
        lines[1].contains("model resnet20-cifar10: no address is stated, its source"),
        "{text}"
    );
    assert!(lines[1].contains("with SHA-256 26bc49e8"), "{text}");
    assert!(lines[2].contains("www.image-net.org"), "{text}");
    assert_eq!(lines[3], "here     data set shapes10: computed, needs no file");
    assert_eq!(lines[4], "here     model resnet-shapes10: embedded in the program");
    assert!(!temp.path().join("data/tiny/a.bin.gz").exists());
}

#[test]
fn wrong_usage_is_one_error() {
    let temp = tempfile::tempdir().unwrap();
    let fetch = |words: &[&str]| run(quantbench(temp.path()).arg("fetch").args(words));
    assert_error(&fetch(&["cifar10"]), 2, &["set QUANTBENCH_DATA, or add --to DIR"]);
    assert_error(&fetch(&["cifr10", "--to", "."]), 2, &["did you mean \"cifar10\"?"]);
    assert_error(&fetch(&["--to", "."]), 2, &["name data sets or models, or add --all"]);
}
