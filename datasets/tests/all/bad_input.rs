//! Bad data: one clear error each, and nothing half-unpacked.

use std::sync::Arc;

use quantbench_datasets::{Archive, DatasetManifest, Images, Part, Parts, Preprocess};

use crate::loading::idx;
use crate::tiny::{Place, gzip, manifest, records, sha256, tar};

/// Asserts that the message holds every part.
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message}\nshould contain {part}");
    }
    assert!(message.starts_with(char::is_alphabetic) || message.starts_with('/'), "{message}");
    assert!(!message.ends_with('.'), "{message}");
}

#[test]
fn a_file_of_the_wrong_size_states_both_sizes() {
    let place = Place::new();
    place.put_all();
    place.put("tiny/b.bin", &records(100, 3)[..30]);
    says(&place.complaint(&manifest()), &["tiny/b.bin: 30 bytes; expected a multiple of 13"]);
}

#[test]
fn a_missing_file_says_where_it_was_looked_for_and_what_to_fetch() {
    let place = Place::new();
    place.put("tiny/a.bin", &records(0, 4));
    let user = place.0.path().join("user").display().to_string();
    says(
        &place.complaint(&manifest()),
        &["data set tiny: tiny/b.bin not found", "QUANTBENCH_DATA", &user, "cache", "data/"],
    );
    let mut roots = place.roots();
    roots.dirs.clear();
    let cifar = DatasetManifest::builtin().remove(0);
    let error = quantbench_datasets::load(&cifar, Part::Test, &roots).err().unwrap();
    assert!(error.is_missing());
    says(
        &error.to_string(),
        &[
            "data set cifar10: cifar-10-batches-bin/test_batch.bin not found",
            "QUANTBENCH_DATA is not set",
            "fetch https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz as",
        ],
    );
}

#[test]
fn a_directory_in_place_of_a_file_is_refused() {
    let place = Place::new();
    place.put_all();
    let path = place.0.path().join("user/tiny/a.bin");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    says(
        &place.complaint(&manifest()),
        &["tiny/a.bin is not a regular file; expected a file of data set tiny"],
    );
}

#[test]
fn a_directory_in_place_of_an_archive_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.0.path().join("user/tiny.tar.gz")).unwrap();
    let sums = archive("tiny.tar.gz", b"");
    says(&place.complaint(&sums), &["tiny.tar.gz is not a regular file; expected an archive"]);
}

fn archive(file: &str, bytes: &[u8]) -> DatasetManifest {
    let archive = Archive { file: file.into(), url: None, sha256: Some(sha256(bytes)), md5: None };
    DatasetManifest { archives: vec![archive], ..manifest() }
}

#[test]
fn a_wrong_checksum_names_both() {
    let bytes = gzip(&tar(&[("tiny/a.bin", &records(0, 4))]));
    let place = Place::new();
    place.put("tiny.tar.gz", &bytes);
    let mut wrong = archive("tiny.tar.gz", b"another");
    let (found, expected) = (sha256(&bytes), sha256(b"another"));
    says(
        &place.complaint(&wrong),
        &["tiny.tar.gz: SHA-256 is", &found, "states", &expected, "fetch it again"],
    );
    wrong.archives[0].sha256 = None;
    wrong.archives[0].md5 = Some("c32a1d4ab5d03f1284b67883e8d87530".into());
    says(&place.complaint(&wrong), &["MD5 is", "c32a1d4ab5d03f1284b67883e8d87530"]);
    assert!(place.cached().is_empty(), "{:?}", place.cached());
}

#[test]
fn a_truncated_archive_leaves_nothing_behind() {
    // Incompressible content, so that half of the packed bytes is about half of the content.
    let noise: Vec<u8> =
        (0..400_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (a, whole) =
        (records(0, 4), tar(&[("tiny/a.bin", &records(0, 4)), ("tiny/b.bin", &noise)]));
    let packed = gzip(&whole);
    let plain = gzip(&a);
    for (file, bytes) in [
        ("tiny.tar.gz", packed[..packed.len() / 2].to_vec()),
        ("tiny.tar.gz", gzip(&whole[..whole.len() / 2])),
        ("tiny.tar.xz", include_bytes!("tiny.tar.xz")[..100].to_vec()),
        ("tiny.tar.gz", b"not an archive".to_vec()),
        ("tiny/a.bin.gz", plain[..plain.len() - 9].to_vec()),
    ] {
        let place = Place::new();
        place.put(file, &bytes);
        let text = place.complaint(&archive(file, &bytes));
        says(&text, &["archive /", file, "truncated or damaged", "fetch it again"]);
        assert!(
            place.cached().iter().all(|f| f == "datasets/tiny"),
            "{file}: {:?}",
            place.cached()
        );
    }
}

#[test]
fn entries_that_escape_the_target_are_refused_and_nothing_is_kept() {
    for hostile in ["../evil.bin", "tiny/../../evil.bin", "/tmp/evil.bin"] {
        let bytes = gzip(&tar(&[("tiny/a.bin", &records(0, 4)), (hostile, b"evil")]));
        let place = Place::new();
        place.put("tiny.tar.gz", &bytes);
        let text = place.complaint(&archive("tiny.tar.gz", &bytes));
        says(&text, &[&format!("entry {hostile:?} leads outside the target folder")]);
        assert_eq!(place.cached(), ["datasets/tiny"], "{hostile}");
        assert!(!place.0.path().join("evil.bin").exists());
    }
}

#[test]
fn zero_images_are_an_error() {
    let place = Place::new();
    place.put("tiny/a.bin", b"");
    place.put("tiny/b.bin", b"");
    says(
        &place.complaint(&manifest()),
        &["data set tiny: the train split holds no images (tiny/a.bin, tiny/b.bin)"],
    );
}

#[test]
fn a_label_out_of_range_names_its_record() {
    let place = Place::new();
    place.put_all();
    let mut bytes = records(100, 3);
    bytes[13] = 3;
    place.put("tiny/b.bin", &bytes);
    says(
        &place.complaint(&manifest()),
        &["record 5 of the train split has label 3; expected 0 to 2 for 3 classes"],
    );
}

#[test]
fn another_number_of_images_or_another_content_names_both() {
    let place = Place::new();
    place.put_all();
    let mut wanted = manifest();
    wanted.images = Some(Parts { train: 8, test: 5 });
    says(&place.complaint(&wanted), &["train split holds 7 images, the manifest states 8"]);
    let found = place.load(&manifest(), Part::Train).unwrap().hash;
    let other = "0".repeat(64);
    wanted.images = None;
    wanted.hashes = Some(Parts { train: other.clone(), test: other.clone() });
    says(&place.complaint(&wanted), &["order-free hash of the train split is", &found, &other]);
}

#[test]
fn a_number_of_images_that_does_not_fit_is_refused_before_memory_is_asked_for() {
    // Sparse files of several terabytes, which no machine has the memory for.
    let sparse = |place: &Place, file: &str, size: u64| {
        let path = place.0.path().join("user").join(file);
        std::fs::File::options().write(true).open(path).unwrap().set_len(size).is_ok()
    };
    let place = Place::new();
    place.put_all();
    let mut wanted = manifest();
    wanted.images = Some(Parts { train: 7, test: 5 });
    let huge = 13 * (1 << 38);
    if !sparse(&place, "tiny/b.bin", huge) {
        println!("skipped: the file system takes no file of {huge} bytes");
        return;
    }
    let count = 4 + (1_u64 << 38);
    let text = format!("train split holds {count} images, the manifest states 7");
    says(&place.complaint(&wanted), &[&text]);

    let (mut wanted, files) = idx();
    wanted.images = Some(Parts { train: 4, test: 2 });
    let place = Place::new();
    let count = u32::MAX;
    for (name, bytes) in &files {
        let mut bytes = bytes.clone();
        bytes[4..8].copy_from_slice(&count.to_be_bytes());
        place.put(&format!("tiny/{name}"), &bytes);
    }
    assert!(sparse(&place, "tiny/xi", 16 + 6 * u64::from(count)));
    assert!(sparse(&place, "tiny/xl", 8 + u64::from(count)));
    let text = format!("train split holds {count} images, the manifest states 4");
    says(&place.complaint(&wanted), &[&text]);
}

#[test]
fn idx_headers_are_checked() {
    let (manifest, files) = idx();
    let load = |at: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let place = Place::new();
        for (i, (name, bytes)) in files.iter().enumerate() {
            let mut bytes = bytes.clone();
            if i == at {
                change(&mut bytes);
            }
            place.put(&format!("tiny/{name}"), &bytes);
        }
        place.complaint(&manifest)
    };
    says(&load(0, &|b| b[3] = 1), &["tiny/xi: magic number 0x00000801; expected 0x00000803"]);
    says(&load(0, &|b| b[11] = 9), &["tiny/xi: items of [9, 3]; expected [2, 3]"]);
    says(&load(0, &|b| b.truncate(20)), &["tiny/xi: 4 bytes after the header; expected 24"]);
    says(&load(0, &|b| b[4] = 255), &["bytes after the header; expected"]);
    says(&load(0, &|b| b.truncate(10)), &["tiny/xi: 10 bytes; expected a header of 16 bytes"]);
    says(&load(1, &|b| *b = vec![0, 0, 8, 1, 0, 0, 0, 1, 0]), &["tiny/xl: 1 labels; expected 4"]);
    says(&load(1, &|b| b[9] = 7), &["record 1 of the train split has label 7"]);
}

#[test]
fn more_images_than_there_are_cannot_be_drawn() {
    let place = Place::new();
    place.put_all();
    let split = Arc::new(place.load(&manifest(), Part::Train).unwrap());
    let error = split.draw(0, 8).unwrap_err().to_string();
    says(&error, &["cannot draw 8 images: the split holds 7"]);
    assert!(Images::new(split, vec![7], &Preprocess::default()).is_err());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let bytes = gzip(&tar(&[("tiny/a.bin", &records(0, 4))]));
    let place = Place::new();
    place.put("tiny.tar.gz", &bytes);
    std::fs::write(place.0.path().join("cache"), b"a regular file").unwrap();
    says(
        &place.complaint(&archive("tiny.tar.gz", &bytes)),
        &["cannot create the cache folder", "cache"],
    );
}
