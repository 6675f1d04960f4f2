//! The computed data set: the same bytes everywhere, fast enough for every start.

use quantbench_datasets::{DataRoots, DatasetManifest, Part, load, shapes};

use crate::tiny::sha256;

#[test]
fn the_bytes_are_pinned() {
    // Golden: the embedded model was trained on exactly these images. Another generator is
    // another data set and gets another name.
    let test = shapes::records(Part::Test);
    let found: Vec<String> = [0, 1, 1999]
        .iter()
        .map(|i| sha256(&test[i * shapes::RECORD..][..shapes::RECORD]))
        .collect();
    assert_eq!(found, GOLDEN);
}

const GOLDEN: [&str; 3] = [
    "e19b2b48286fcdc120a93115154fe89de89cf108bc0644cc2bbf35bfbc9a40d8",
    "ad0ccf21c2ad943b66b832b474c50936283cb2862c78caeb54d7d6e2e5e42ad4",
    "ed5073975fdedbec26b344bfb7c5a0c863b12bcec0e0773e975cf0a7e8bb76e0",
];

#[test]
fn both_splits_have_the_hashes_of_the_manifest_and_share_no_image() {
    let manifest = DatasetManifest::builtin().into_iter().find(|m| m.name == "shapes10").unwrap();
    assert!(manifest.hashes.is_some(), "the manifest pins the content, loading compares");
    let roots = DataRoots { dirs: vec![], cache: "/nonexistent".into() };
    let train = load(&manifest, Part::Train, &roots).unwrap();
    let test = load(&manifest, Part::Test, &roots).unwrap();
    assert_eq!((train.len(), test.len()), (shapes::TRAIN, shapes::TEST));
    assert_eq!(train.validation(), 7_000..12_000);
    let mut ids: Vec<_> = train.ids().iter().chain(test.ids()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 16_000);
    for class in 0..10 {
        assert_eq!(test.labels().iter().filter(|l| **l == class).count(), 400);
    }
}
