//! Image folders: what is found, in which order, and what is refused.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use quantbench_core::{ImageSource, LabelledSource};
use quantbench_datasets::{
    DatasetManifest, Images, Loader, Part, Parts, Preprocess, Split, present,
};

use crate::tiny::{self, Place};

/// A manifest of two classes below `train/` and `val/`.
pub fn manifest() -> DatasetManifest {
    DatasetManifest {
        loader: Loader::Folder,
        classes: 2,
        dims: [3, 7, 9],
        files: Parts { train: vec!["train".into()], test: vec!["val".into()] },
        ..tiny::manifest()
    }
}

/// A PNG of 7x9 pixels whose first value is `shade`.
fn png(shade: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, 9, 7);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..189).map(|i| shade.wrapping_add(i)).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    out
}

/// Two classes with an image each in both splits.
pub fn folders(place: &Place) {
    for split in ["train", "val"] {
        place.put(&format!("{split}/ant/1.png"), &png(10));
        place.put(&format!("{split}/bee/1.png"), &png(20));
    }
}

fn complaint(change: impl FnOnce(&Place, PathBuf)) -> String {
    let place = Place::new();
    folders(&place);
    change(&place, place.0.path().join("user/train"));
    place.complaint(&manifest())
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text}\nshould contain {part}");
    }
    assert!(!text.ends_with('.'), "{text}");
}

/// First value and label of every image, sorted.
fn shades(split: &Split) -> Vec<(u8, u16)> {
    let one = |i: usize| (split.image(i).unwrap().data[0], split.labels()[i]);
    let mut all: Vec<(u8, u16)> = (0..split.len()).map(one).collect();
    all.sort_unstable();
    all
}

#[test]
fn sorted_folders_are_the_classes_and_files_are_the_ids() {
    let place = Place::new();
    folders(&place);
    place.put("train/bee/deep/er/2.PNG", &png(30));
    place.put("train/ant/notes.txt", b"not an image");
    place.put("train/README", b"not a class");
    let split = place.load(&manifest(), Part::Train).unwrap();
    assert_eq!(shades(&split), [(10, 0), (20, 1), (30, 1)]);
    let mut ids: Vec<String> =
        [10, 20, 30].map(|shade| tiny::sha256(&png(shade))).into_iter().collect();
    ids.sort();
    let found: Vec<String> = split.ids().iter().map(|id| quantbench_core::hash::hex(id)).collect();
    assert_eq!(found, ids);
    assert!(present(&manifest(), Part::Train, &place.roots()).is_ok());
}

#[test]
fn the_manifest_may_fix_the_classes_and_the_hash_covers_them() {
    let place = Place::new();
    folders(&place);
    let sorted = place.load(&manifest(), Part::Train).unwrap();
    let names = Some(vec!["bee".to_string(), "ant".to_string()]);
    let turned = DatasetManifest { class_names: names, ..manifest() };
    let split = place.load(&turned, Part::Train).unwrap();
    assert_eq!(shades(&split), [(10, 1), (20, 0)]);
    assert_eq!(split.ids(), sorted.ids());
    assert_ne!(split.hash, sorted.hash);
    // Where files lie and what they are called is not part of the data.
    let other = Place::new();
    other.put("data/train/a/x.jpg", &png(10));
    other.put("data/train/b/deep/y.jpeg", &png(20));
    assert_eq!(other.load(&manifest(), Part::Train).unwrap().hash, sorted.hash);
}

#[test]
fn a_kept_order_of_a_folder_notices_new_changed_and_removed_files() {
    let place = Place::new();
    folders(&place);
    let count_and_hash = || {
        let split = place.load(&manifest(), Part::Train).unwrap();
        (split.len(), split.hash)
    };
    let first = count_and_hash();
    assert_eq!(count_and_hash(), first);
    place.put("train/ant/2.png", &png(40));
    let more = count_and_hash();
    assert_eq!(more.0, 3);
    place.put("train/ant/2.png", &png(41));
    assert_ne!(count_and_hash(), more);
    std::fs::remove_file(place.0.path().join("user/train/ant/2.png")).unwrap();
    assert_eq!(count_and_hash(), first);
    // A file that is replaced between listing and reading is not used.
    let split = place.load(&manifest(), Part::Train).unwrap();
    place.put("train/ant/1.png", &png(50));
    let failed = (0..2).filter_map(|i| split.image(i).err()).map(|e| e.to_string());
    let failed: Vec<String> = failed.collect();
    assert_eq!(failed.len(), 1);
    says(&failed[0], &["train/ant/1.png: the content is not what it was", "run again"]);
}

#[test]
fn batches_are_scaled_cropped_and_normalised() {
    let place = Place::new();
    folders(&place);
    let split = Arc::new(place.load(&manifest(), Part::Train).unwrap());
    let shape = |resize, center_crop| Preprocess { resize, center_crop, ..Preprocess::default() };
    let images = Images::all(split.clone(), &shape(Some(6), Some(5))).unwrap();
    assert_eq!((images.dims(), images.len(), images.classes()), (&[3, 5, 5][..], 2, 2));
    let batch = images.batch(0, 9).unwrap();
    assert_eq!(batch.dims, [2, 3, 5, 5]);
    for i in 0..2 {
        let raster = shape(Some(6), Some(5)).fit(split.image(i).unwrap()).unwrap();
        let expected: Vec<f32> = raster.data.iter().map(|v| f32::from(*v)).collect();
        assert_eq!(batch.data[75 * i..75 * (i + 1)], expected);
    }
    assert!(images.batch(2, 5).unwrap().is_empty());
    // As they are, if they have the size of the manifest.
    assert_eq!(Images::all(split.clone(), &shape(None, None)).unwrap().dims(), [3, 7, 9]);
    // Too small for the crop, or of another size than the manifest states.
    let error = |manifest: &DatasetManifest, preprocess: &Preprocess| {
        let split = Arc::new(place.load(manifest, Part::Train).unwrap());
        Images::all(split, preprocess).unwrap().batch(0, 1).unwrap_err().to_string()
    };
    let text = error(&manifest(), &shape(None, Some(8)));
    says(&text, &["/1.png: [3, 7, 9] cannot become [3, 8, 8] by preprocessing raw@1", "resize"]);
    let text = error(&DatasetManifest { dims: [3, 8, 8], ..manifest() }, &shape(None, None));
    says(&text, &["[3, 7, 9] cannot become [3, 8, 8]"]);
}

#[test]
fn records_are_scaled_and_cropped_too() {
    let place = Place::new();
    place.put_all();
    let split = Arc::new(place.load(&tiny::manifest(), Part::Train).unwrap());
    let preprocess = Preprocess { resize: Some(4), center_crop: Some(3), ..Preprocess::default() };
    let images = Images::new(split.clone(), vec![4, 1], &preprocess).unwrap();
    let batch = images.batch(1, 1).unwrap();
    let raster = preprocess.fit(split.image(1).unwrap()).unwrap();
    assert_eq!(raster.dims(), [3, 3, 3]);
    assert_eq!(batch.data, raster.data.iter().map(|v| f32::from(*v)).collect::<Vec<f32>>());
}

#[test]
fn folders_that_are_not_as_they_should_be_are_refused() {
    says(&tiny_complaint_without_data(), &["data set tiny: train not found", "QUANTBENCH_DATA"]);
    let text = complaint(|_, train| {
        std::fs::remove_dir_all(&train).unwrap();
        std::fs::write(&train, b"x").unwrap();
    });
    says(&text, &["user/train: this is no folder", "expected the folder of the train split"]);
    let text = complaint(|_, train| std::fs::create_dir(train.join("cow")).unwrap());
    says(&text, &["user/train: 3 class folders, the manifest states 2 classes"]);
    let text = complaint(|_, train| std::fs::remove_file(train.join("bee/1.png")).unwrap());
    says(&text, &["train/bee: class \"bee\" has no image", "files that end in jpg, jpeg, png"]);
    let text = complaint(|place, _| place.put("train/bee/2.jpg", b""));
    says(&text, &["train/bee/2.jpg: it is empty", "fetch it again or remove it"]);
    let text = complaint(|_, train| symlink("../ant", train.join("ant/again")).unwrap());
    says(&text, &["train/ant/again: this link leads back to", "remove it"]);
    let text = complaint(|_, train| symlink("nowhere", train.join("ant/2.jpg")).unwrap());
    says(&text, &["train/ant/2.jpg: cannot be read (", "make it readable, or remove it"]);
    let odd = std::ffi::OsStr::from_bytes(b"\xff.jpg");
    let text = complaint(|_, train| std::fs::write(train.join("ant").join(odd), b"x").unwrap());
    says(&text, &["the name is not UTF-8; rename it"]);
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let text = complaint(|_, train| std::fs::create_dir(train.join(odd)).unwrap());
    says(&text, &["the name is not UTF-8; rename it"]);
}

fn tiny_complaint_without_data() -> String {
    Place::new().complaint(&manifest())
}

#[test]
fn class_names_and_folders_must_be_the_same() {
    let place = Place::new();
    folders(&place);
    let named = |names: [&str; 2]| {
        let class_names = Some(names.map(str::to_string).to_vec());
        place.complaint(&DatasetManifest { class_names, ..manifest() })
    };
    says(&named(["ant", "cow"]), &["there is no folder of class \"cow\""]);
    place.put("train/cow/1.png", &png(60));
    says(&named(["ant", "cow"]), &["folder \"bee\" is of no class"]);
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    folders(&place);
    let path = place.0.path().join("user/train/bee/1.png");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    says(&place.complaint(&manifest()), &["cannot read", "train/bee/1.png"]);
}

#[test]
fn content_that_is_no_image_is_refused_with_its_name() {
    let place = Place::new();
    folders(&place);
    place.put("train/ant/1.png", b"GIF89a and so on");
    // A header that claims more pixels than any image has.
    let mut huge = png(20);
    huge[16..20].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF]);
    place.put("train/bee/1.png", &huge);
    let split = place.load(&manifest(), Part::Train).unwrap();
    let errors = (0..2).map(|i| split.image(i).unwrap_err().to_string());
    let errors: Vec<String> = errors.collect();
    assert!(
        errors.iter().any(|e| e.contains("ant/1.png: it is neither JPEG nor PNG")),
        "{errors:?}"
    );
    assert!(errors.iter().any(|e| e.contains("bee/1.png: it")), "{errors:?}");
}
