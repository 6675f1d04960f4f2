//! An image folder end to end: the same images as PNG files give the same predictions.
#![allow(clippy::unwrap_used)] // In tests outside `#[cfg(test)]` a panic is the failure too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use quantbench_core::hash::sha256;
use quantbench_datasets::{DataRoots, DatasetManifest, Loader, Part, Parts, load};
use quantbench_engine::Runtime;
use quantbench_runner::{Catalog, EvaluateRequest, QuantizeRequest, evaluate_file, quantize_one};

/// Images of each split.
const COUNT: usize = 300;

/// Writes the first images of a split of `shapes10` as PNG files and gives the id in the folder
/// of each id in the data set.
fn write(shapes: &DatasetManifest, part: Part, roots: &DataRoots, to: &Path) -> Vec<[u8; 32]> {
    let split = load(shapes, part, roots).unwrap();
    let mut ids = Vec::new();
    for i in 0..COUNT {
        let raster = split.image(i).unwrap();
        let plane = raster.height * raster.width;
        let pixels: Vec<u8> =
            (0..3 * plane).map(|at| raster.data[at % 3 * plane + at / 3]).collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, raster.width as u32, raster.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        let folder = to.join(format!("class-{}", split.labels()[i]));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{i}.png")), &file).unwrap();
        ids.push(sha256(&file));
    }
    ids
}

#[test]
fn a_folder_of_the_same_images_gives_the_same_predictions() {
    if let Err(error) = Runtime::load() {
        assert!(std::env::var_os("QUANTBENCH_REQUIRE_RUNTIME").is_none(), "{error}");
        eprintln!("skipped: {error}");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let roots = DataRoots { dirs: vec![temp.path().into()], cache: temp.path().join("cache") };
    let catalog = Catalog::load(None).unwrap();
    let card = catalog.model("resnet-shapes10").unwrap();
    let shapes = catalog.dataset("shapes10").unwrap();
    write(shapes, Part::Train, &roots, &temp.path().join("shapes/train"));
    let ids = write(shapes, Part::Test, &roots, &temp.path().join("shapes/test"));
    let folder = DatasetManifest {
        name: "shapes-folder".into(),
        loader: Loader::Folder,
        files: Parts { train: vec!["shapes/train".into()], test: vec!["shapes/test".into()] },
        images: Some(Parts { train: COUNT, test: COUNT }),
        hashes: None,
        ..shapes.clone()
    };

    let model = card.bytes(&roots).unwrap();
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut evaluated = |dataset: &DatasetManifest| {
        let request = EvaluateRequest {
            model: &model,
            origin: "resnet-shapes10",
            dataset,
            preprocess: &card.preprocess,
            images: Some(COUNT),
            optimisation: quantbench_engine::Optimisation::Off,
            batch: 64,
            threads: 1,
        };
        evaluate_file(&request, &roots, &mut quiet).unwrap()
    };
    let (embedded, files) = (evaluated(shapes), evaluated(&folder));
    assert_eq!(files.accuracy, embedded.accuracy);
    let split = load(&folder, Part::Test, &roots).unwrap();
    let found: BTreeMap<_, _> = split.ids().iter().zip(&files.predictions).collect();
    for (id, expected) in ids.iter().zip(&embedded.predictions) {
        assert_eq!(found[id], expected);
    }

    // Calibration images come from the folder as well.
    let request = QuantizeRequest {
        model: &model,
        origin: "resnet-shapes10",
        dataset: &folder,
        preprocess: &card.preprocess,
        method: "minmax",
        params: quantbench_core::Params::new(),
        spec: quantbench_core::Spec::from_widths("w8a8".parse().unwrap()),
        images: 32,
        draw: 0,
        seed: 0,
        portable: false,
        threads: 1,
    };
    let never = AtomicBool::new(false);
    let made = quantize_one(&request, &roots, &mut |_, _, _| {}, &never).unwrap();
    assert_eq!(made.images_read, 32);
}
