//! The canonical order in the cache: used while the files stay the same, and never believed.

use std::sync::Arc;

use quantbench_core::ImageSource;
use quantbench_datasets::{DataError, Images, Part, Preprocess};

use crate::loading::idx;
use crate::tiny::{Place, manifest, records};

fn hash(place: &Place) -> String {
    place.load(&manifest(), Part::Train).unwrap().hash
}

#[test]
fn an_order_is_kept_once_for_each_split_and_found_again() {
    let place = Place::new();
    place.put_all();
    let first = place.load(&manifest(), Part::Train).unwrap();
    let kept = place.kept();
    assert_eq!(kept.len(), 1);
    let made = kept[0].metadata().unwrap().modified().unwrap();
    let second = place.load(&manifest(), Part::Train).unwrap();
    assert_eq!((first.ids(), first.labels()), (second.ids(), second.labels()));
    assert_eq!(first.hash, second.hash);
    assert_eq!(made, kept[0].metadata().unwrap().modified().unwrap(), "it was not made again");
    place.load(&manifest(), Part::Test).unwrap();
    assert_eq!(place.kept().len(), 2);
}

#[test]
fn changed_files_are_ordered_anew() {
    let place = Place::new();
    place.put_all();
    let before = hash(&place);
    let path = place.0.path().join("user/tiny/a.bin");
    let time = path.metadata().unwrap().modified().unwrap();
    // The same size, and the time of modification set back.
    place.put("tiny/a.bin", &records(1, 4));
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let after = hash(&place);
    assert_ne!(before, after);
    place.put("tiny/a.bin", &records(0, 4));
    assert_eq!(hash(&place), before);
    assert_eq!(place.kept().len(), 1, "the same files, the same place");
}

#[test]
fn a_damaged_order_is_made_again() {
    let place = Place::new();
    place.put_all();
    let right = hash(&place);
    let kept = place.kept().remove(0);
    let good = std::fs::read(&kept).unwrap();
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    for bad in [flipped, good[..good.len() - 5].to_vec(), Vec::new(), b"hello".to_vec()] {
        std::fs::write(&kept, bad).unwrap();
        assert_eq!(hash(&place), right);
        assert_eq!(std::fs::read(&kept).unwrap(), good);
    }
}

#[test]
fn the_manifest_is_compared_with_a_kept_order_too() {
    let place = Place::new();
    place.put_all();
    let found = hash(&place);
    let mut stated = manifest();
    let other = "0".repeat(64);
    stated.hashes = Some(quantbench_datasets::Parts { train: other.clone(), test: other });
    assert!(place.complaint(&stated).contains(&found));
}

#[test]
fn a_cache_that_cannot_be_written_costs_time_only() {
    let place = Place::new();
    place.put_all();
    let right = hash(&place);
    let place = Place::new();
    place.put_all();
    std::fs::write(place.0.path().join("cache"), b"a regular file").unwrap();
    assert_eq!(hash(&place), right);
}

#[test]
fn records_that_change_while_they_are_used_are_noticed() {
    let place = Place::new();
    place.put_all();
    let split = Arc::new(place.load(&manifest(), Part::Train).unwrap());
    assert_eq!(place.kept().len(), 1);
    place.put("tiny/a.bin", &records(1, 4));
    let Err(error) = Images::all(split, &Preprocess::default()) else { panic!("not noticed") };
    assert!(matches!(error, DataError::Changed { .. }), "{error}");
    assert!(error.to_string().contains("tiny/a.bin, tiny/b.bin: the content is not"), "{error}");
    assert!(place.kept().is_empty(), "the order has been dropped");
    assert!(place.load(&manifest(), Part::Train).is_ok(), "running again helps");
}

#[test]
fn only_the_records_that_are_asked_for_are_read() {
    let (manifest, files) = idx();
    let place = Place::new();
    for (name, bytes) in &files {
        place.put(&format!("tiny/{name}"), bytes);
    }
    let split = Arc::new(place.load(&manifest, Part::Train).unwrap());
    let chosen = vec![3, 0];
    let images = Images::new(split.clone(), chosen.clone(), &Preprocess::default()).unwrap();
    let batch = images.batch(0, 2).unwrap();
    for (k, i) in chosen.into_iter().enumerate() {
        let pixels = split.image(i).unwrap().data;
        let expected: Vec<f32> = pixels.iter().map(|byte| f32::from(*byte)).collect();
        assert_eq!(batch.data[6 * k..6 * (k + 1)], expected);
    }
    // Whoever needs no pixels reads none: the files may even be gone.
    std::fs::remove_file(place.0.path().join("user/tiny/xi")).unwrap();
    assert_eq!(split.labels().len(), 4);
    assert!(split.image(0).is_err());
}
