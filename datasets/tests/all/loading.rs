//! Good data: layouts, containers, order, draws, batches.

use std::sync::Arc;

use quantbench_core::{ImageSource, LabelledSource};
use quantbench_datasets::{
    Archive, DatasetManifest, Images, Loader, Part, Parts, Preprocess, Split, present,
};

use crate::tiny::{PIXELS, Place, gzip, manifest, records, sha256, tar};

fn archived(bytes: &[u8], file: &str) -> DatasetManifest {
    let archive = Archive { file: file.into(), url: None, sha256: Some(sha256(bytes)), md5: None };
    DatasetManifest { archives: vec![archive], ..manifest() }
}

/// The training split with the folder that it reads from.
fn loaded() -> (Place, Split) {
    let place = Place::new();
    place.put_all();
    let split = place.load(&manifest(), Part::Train).unwrap();
    (place, split)
}

#[test]
fn canonical_order_is_that_of_the_record_hashes_and_ignores_the_files() {
    let (_place, split) = loaded();
    let mut raw = records(0, 4);
    raw.extend(records(100, 3));
    let mut expected: Vec<(String, u16, Vec<u8>)> =
        raw.chunks(1 + PIXELS).map(|r| (sha256(r), u16::from(r[0]), r[1..].to_vec())).collect();
    expected.sort();
    assert_eq!(split.len(), 7);
    for (i, (id, label, pixels)) in expected.iter().enumerate() {
        assert_eq!(quantbench_core::hash::hex(&split.ids()[i]), *id);
        assert_eq!(split.labels()[i], *label);
        assert_eq!(split.image(i).unwrap().data, *pixels);
    }
    // The files the other way round, below data/: another file order, the same split.
    let place = Place::new();
    place.put("data/tiny/a.bin", &records(100, 3));
    place.put("data/tiny/b.bin", &records(0, 4));
    let other = place.load(&manifest(), Part::Train).unwrap();
    assert_eq!((other.hash.as_str(), other.labels()), (split.hash.as_str(), split.labels()));
}

#[test]
fn an_archive_is_unpacked_once_and_then_reused() {
    let (a, b, t) = (records(0, 4), records(100, 3), records(50, 5));
    let entries =
        [("./tiny/a.bin", &a[..]), ("tiny/b.bin", &b), ("tiny/t.bin", &t), ("notes", b"x")];
    let bytes = gzip(&tar(&entries));
    let place = Place::new();
    place.put("data/tiny.tar.gz", &bytes);
    let manifest = archived(&bytes, "tiny.tar.gz");
    let split = place.load(&manifest, Part::Train).unwrap();
    assert_eq!(split.hash, loaded().1.hash);
    let folder = format!("datasets/tiny/{}", &sha256(&bytes)[..16]);
    let expected = ["a", "b", "t"].map(|f| format!("{folder}/tiny/{f}.bin"));
    assert_eq!(place.cached(), expected, "only named files, no working folder left");
    // Without the archive the cache still serves both splits.
    std::fs::remove_file(place.0.path().join("user/data/tiny.tar.gz")).unwrap();
    assert_eq!(place.load(&manifest, Part::Train).unwrap().hash, split.hash);
    assert_eq!(place.load(&manifest, Part::Test).unwrap().len(), 5);
}

#[test]
fn what_killed_processes_left_half_unpacked_is_removed_after_a_day() {
    let bytes = gzip(&tar(&[("tiny/a.bin", &records(0, 4)), ("tiny/b.bin", &records(100, 3))]));
    let place = Place::new();
    place.put("tiny.tar.gz", &bytes);
    let parent = place.roots().cache.join("datasets/tiny");
    let hours = |n: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(n * 3600);
    for (name, age) in [(".unpacking-1-0", 25), (".unpacking-2-0", 23), ("other", 25)] {
        std::fs::create_dir_all(parent.join(name)).unwrap();
        std::fs::write(parent.join(name).join("half"), b"x").unwrap();
        std::fs::File::open(parent.join(name)).unwrap().set_modified(hours(age)).unwrap();
    }
    place.load(&archived(&bytes, "tiny.tar.gz"), Part::Train).unwrap();
    let names = [".unpacking-1-0", ".unpacking-2-0", "other"];
    assert_eq!(names.map(|name| parent.join(name).exists()), [false, true, true]);
}

#[test]
fn a_split_is_present_where_loading_would_find_it() {
    let there = |place: &Place, manifest: &DatasetManifest| {
        [Part::Train, Part::Test].map(|part| present(manifest, part, &place.roots()).is_ok())
    };
    let place = Place::new();
    assert_eq!(there(&place, &manifest()), [false, false]);
    place.put("tiny/a.bin", &records(0, 4));
    place.put("tiny/t.bin", &records(50, 5));
    assert_eq!(there(&place, &manifest()), [false, true]);
    let error = present(&manifest(), Part::Train, &place.roots()).unwrap_err();
    assert!(error.is_missing());
    assert_eq!(error.to_string(), place.complaint(&manifest()));

    // An archive holds both splits, before it is unpacked and after.
    let place = Place::new();
    let bytes = gzip(&tar(&[("tiny/a.bin", &records(0, 4)), ("tiny/b.bin", &records(100, 3))]));
    let archived = archived(&bytes, "tiny.tar.gz");
    assert_eq!(there(&place, &archived), [false, false]);
    place.put("tiny.tar.gz", &bytes);
    assert_eq!(there(&place, &archived), [true, true]);
    assert!(place.cached().is_empty(), "nothing is unpacked");
    place.load(&archived, Part::Train).unwrap();
    assert_eq!(
        there(&place, &archived),
        [true, false],
        "now it shows that the test file is not in it"
    );

    // Single files packed on their own are needed all.
    let (mut manifest, files) = idx();
    let place = Place::new();
    for (i, (name, bytes)) in files.iter().enumerate() {
        let (file, packed) = (format!("tiny/{name}.gz"), gzip(bytes));
        let sha256 = Some(sha256(&packed));
        manifest.archives.push(Archive { file: file.clone(), url: None, sha256, md5: None });
        if i < 3 {
            place.put(&file, &packed);
        }
    }
    assert_eq!(there(&place, &manifest), [true, false]);

    let nowhere = Place::new();
    let shapes = DatasetManifest::builtin().into_iter().find(|m| m.name == "shapes10").unwrap();
    assert_eq!(there(&nowhere, &shapes), [true, true]);
}

#[test]
fn xz_archives_are_read() {
    // `tar c tiny | xz` of a folder with one training file of two records.
    let bytes = include_bytes!("tiny.tar.xz");
    let place = Place::new();
    place.put("tiny.tar.xz", bytes);
    let mut manifest = archived(bytes, "tiny.tar.xz");
    manifest.files.train = vec!["tiny/a.bin".into()];
    let split = place.load(&manifest, Part::Train).unwrap();
    assert_eq!(split.len(), 2);
    let mut found: Vec<Vec<u8>> = (0..2).map(|i| split.image(i).unwrap().data).collect();
    found.sort_unstable();
    let expected = records(0, 2);
    assert_eq!(found, [&expected[1..13], &expected[14..]]);
}

#[test]
fn racing_loads_all_succeed_and_leave_one_folder() {
    let (a, b, t) = (records(0, 4), records(100, 3), records(50, 5));
    let bytes = gzip(&tar(&[("tiny/a.bin", &a), ("tiny/b.bin", &b), ("tiny/t.bin", &t)]));
    let place = Place::new();
    place.put("tiny.tar.gz", &bytes);
    let manifest = archived(&bytes, "tiny.tar.gz");
    let hashes: Vec<String> = std::thread::scope(|scope| {
        let one = || place.load(&manifest, Part::Train).unwrap().hash;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let (_place, expected) = loaded();
    assert!(hashes.iter().all(|h| *h == expected.hash));
    assert_eq!(place.cached().len(), 3);
}

#[test]
fn the_fine_label_of_cifar100_counts() {
    let place = Place::new();
    let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![fine; PIXELS]].concat();
    place.put("tiny/a.bin", &[record(9, 1), record(8, 2)].concat());
    place.put("tiny/b.bin", &record(7, 0));
    let split = place
        .load(&DatasetManifest { loader: Loader::Cifar100, ..manifest() }, Part::Train)
        .unwrap();
    let pairs: Vec<_> =
        (0..3).map(|i| (split.labels()[i], split.image(i).unwrap().data[0])).collect();
    assert!(pairs.iter().all(|(label, pixel)| *label == u16::from(*pixel)), "{pairs:?}");
    assert_eq!(split.ids().len(), 3);
}

/// A manifest of the IDX layout with 2x3 images, and its four files.
pub fn idx() -> (DatasetManifest, [(&'static str, Vec<u8>); 4]) {
    let images =
        |n: u8| [&[0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3], &pixels(n)[..]].concat();
    let labels = |n: u8| {
        [&[0, 0, 8, 1, 0, 0, 0, n], &(0..n).map(|i| i % 3).collect::<Vec<_>>()[..]].concat()
    };
    let files = Parts {
        train: vec!["tiny/xi".into(), "tiny/xl".into()],
        test: vec!["tiny/ti".into(), "tiny/tl".into()],
    };
    let manifest = DatasetManifest { loader: Loader::Idx, dims: [1, 2, 3], files, ..manifest() };
    let files = [("xi", images(4)), ("xl", labels(4)), ("ti", images(2)), ("tl", labels(2))];
    (manifest, files)
}

fn pixels(n: u8) -> Vec<u8> {
    (0..n).flat_map(|i| [i % 3; 6]).collect()
}

#[test]
fn idx_files_are_read_plain_and_packed_with_the_same_hash() {
    let (mut manifest, files) = idx();
    let place = Place::new();
    for (name, bytes) in &files {
        place.put(&format!("tiny/{name}"), bytes);
    }
    let plain = place.load(&manifest, Part::Train).unwrap();
    assert_eq!((plain.len(), plain.dims), (4, [1, 2, 3]));
    assert!((0..4).all(|i| plain.labels()[i] == u16::from(plain.image(i).unwrap().data[5])));

    let place = Place::new();
    for (name, bytes) in &files {
        let (file, packed) = (format!("tiny/{name}.gz"), gzip(bytes));
        place.put(&file, &packed);
        let sha256 = Some(sha256(&packed));
        manifest.archives.push(Archive { file, url: None, sha256, md5: None });
    }
    assert_eq!(place.load(&manifest, Part::Train).unwrap().hash, plain.hash);
    assert_eq!(place.load(&manifest, Part::Test).unwrap().len(), 2);
}

#[test]
fn draws_are_nested_distinct_and_pinned() {
    let (_place, split) = loaded();
    let (all, some) = (split.draw(0, 7).unwrap(), split.draw(0, 3).unwrap());
    assert_eq!(some, all[..3]);
    assert_ne!(split.draw(1, 7).unwrap(), all);
    assert_eq!(all, [5, 0, 3, 1, 6, 4, 2], "golden: a change here changes every published draw");
    assert_eq!(split.first(2), [0, 1]);
    assert_eq!(split.validation(), 0..7);
}

#[test]
fn batches_are_cut_at_the_end_and_preprocessed_per_channel() {
    let (_place, split) = loaded();
    let split = Arc::new(split);
    let (mean, std) = (vec![0.5, 0.25, 0.125], vec![0.5, 1.0, 2.0]);
    let preprocess = Preprocess { divide: 255.0, mean, std, ..Preprocess::default() };
    let pixels = split.image(2).unwrap().data;
    let images = Images::new(split.clone(), vec![5, 2, 2], &preprocess).unwrap();
    assert_eq!(images.labels(), [5, 2, 2].map(|i: usize| split.labels()[i]));
    let batch = images.batch(1, 64).unwrap();
    assert_eq!(batch.dims, [2, 3, 2, 2]);
    assert_eq!(batch.data[..12], batch.data[12..]);
    for (at, value) in batch.data[..12].iter().enumerate() {
        let (m, s) = [(0.5, 0.5), (0.25, 1.0), (0.125, 2.0)][at / 4];
        assert_eq!(*value, (f32::from(pixels[at]) / 255.0 - m) / s);
    }
    assert!(images.batch(3, 1).unwrap().is_empty());
    assert!(images.batch(9, usize::MAX).unwrap().is_empty());
    assert_eq!(Images::all(split.clone(), &preprocess).unwrap().len(), 7);
}
