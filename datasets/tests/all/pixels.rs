//! Decoding and scaling against what Pillow makes of the same files (`pictures/make.py`).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use quantbench_datasets::{Interpolation, Part, Preprocess, Raster};

use crate::folders::{folders, manifest};
use crate::tiny::Place;

/// One line of `cases.txt` with the pixels that it expects, interleaved.
struct Case {
    file: String,
    preprocess: Preprocess,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

fn pictures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/pictures"))
}

fn cases() -> Vec<Case> {
    let mut expected = GzDecoder::new(include_bytes!("pictures/expected.gz").as_slice());
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        let (height, width) = (number(4), number(5));
        let mut pixels = vec![0; 3 * height * width];
        expected.read_exact(&mut pixels).unwrap();
        let mut preprocess = Preprocess::default();
        if words[1] != "whole" {
            (preprocess.resize, preprocess.center_crop) = (Some(number(2)), Some(number(3)));
            preprocess.interpolation = match words[1] {
                "bilinear" => None,
                _ => Some(Interpolation::Bicubic),
            };
        }
        Case { file: words[0].to_string(), preprocess, height, width, pixels }
    };
    include_str!("pictures/cases.txt").lines().map(read).collect()
}

/// Every picture, decoded by way of an image folder.
fn decoded() -> BTreeMap<String, Raster> {
    let place = Place::new();
    let names: Vec<String> = cases().into_iter().map(|case| case.file).collect();
    let mut content = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        let bytes = std::fs::read(pictures().join(name)).unwrap();
        // Half of them in each class, none twice.
        let class = ["ant", "bee"][i % 2];
        if content.insert(crate::tiny::sha256(&bytes), name.clone()).is_none() {
            place.put(&format!("val/{class}/{name}"), &bytes);
        }
    }
    let split = place.load(&manifest(), Part::Test).unwrap();
    let name = |i: usize| content[&quantbench_core::hash::hex(&split.ids()[i])].clone();
    (0..split.len()).map(|i| (name(i), split.image(i).unwrap())).collect()
}

fn largest_difference(found: &Raster, case: &Case) -> u8 {
    assert_eq!(found.dims(), [3, case.height, case.width], "{}", case.file);
    let plane = case.height * case.width;
    let expected = |at: usize| case.pixels[at % plane * 3 + at / plane];
    found.data.iter().enumerate().map(|(at, v)| v.abs_diff(expected(at))).max().unwrap()
}

#[test]
fn every_kind_of_file_is_decoded_and_scaled_as_by_pillow() {
    let decoded = decoded();
    let cases = cases();
    assert_eq!(cases.iter().filter(|case| case.preprocess == Preprocess::default()).count(), 20);
    for case in cases {
        let fitted = case.preprocess.fit(decoded[&case.file].clone()).unwrap();
        let most = largest_difference(&fitted, &case);
        assert_eq!(most, 0, "{} {:?}", case.file, case.preprocess);
    }
}

#[test]
fn a_picture_that_is_cut_short_is_refused_wherever_it_is_cut() {
    for name in ["420.jpg", "420-progressive.jpg", "grey.jpg", "rgb.png", "palette.png"] {
        let whole = std::fs::read(pictures().join(name)).unwrap();
        for length in [4, whole.len() / 4, whole.len() / 2, whole.len() - 40, whole.len() - 2] {
            let place = Place::new();
            folders(&place);
            place.put("val/ant/cut.jpg", &whole[..length]);
            let split = place.load(&manifest(), Part::Test).unwrap();
            let errors: Vec<String> = (0..split.len())
                .filter_map(|i| split.image(i).err().map(|error| error.to_string()))
                .collect();
            assert_eq!(errors.len(), 1, "{name} cut to {length}");
            let text = &errors[0];
            assert!(text.contains("val/ant/cut.jpg: it is "), "{text}");
            assert!(text.contains("expected a whole JPEG or PNG"), "{text}");
        }
    }
}

#[test]
fn damaged_bytes_are_an_error_or_an_image_and_never_a_panic() {
    for name in
        ["420.jpg", "422-progressive.jpg", "restarts.jpeg", "inks.jpg", "rgb.png", "palette.png"]
    {
        let whole = std::fs::read(pictures().join(name)).unwrap();
        let place = Place::new();
        folders(&place);
        for at in (2..whole.len()).step_by(whole.len() / 60 + 1) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            place.put(&format!("val/bee/{at}.jpg"), &bytes);
        }
        let split = place.load(&manifest(), Part::Test).unwrap();
        for i in 0..split.len() {
            if let Err(error) = split.image(i) {
                let text = error.to_string();
                assert!(text.contains(": it") && text.contains("/val/bee/"), "{text}");
            }
        }
    }
}
