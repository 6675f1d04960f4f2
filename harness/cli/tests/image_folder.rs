//! A survey on a folder of JPEG photographs, as ImageNet has them: from files to rows and a report.
//!
//! The photographs are images of `shapes10`, twice as large and on a wider canvas, so that only the
//! right resize and crop, and the right classes, give the accuracy of the network.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{assert_error, quantbench, run, runtime_is_here, stderr, workspace, write};
use quantbench_core::Row;
use quantbench_core::hash::sha256_hex;
use quantbench_datasets::{DataRoots, Part, load};
use quantbench_runner::Catalog;

const TRAIN: usize = 64;
const TEST: usize = 200;

const SURVEY: &str = "\
name: photos
dataset: photos
models: [shapes-photos]
methods: [minmax, squant]
specs: [w8a8, w4a4]
calibration: {images: 32, draws: [0]}
";

/// A planar image, doubled, in the middle of a striped canvas half as wide again.
fn photograph(data: &[u8], side: usize) -> Vec<u8> {
    let (w, h, edge) = (3 * side, 2 * side, side / 2);
    let mut pixels = Vec::with_capacity(3 * w * h);
    for y in 0..h {
        for x in 0..w {
            for plane in data.chunks_exact(side * side) {
                let inside = (edge..edge + 2 * side).contains(&x);
                let stripe = if (x + y) % 16 < 8 { 255 } else { 0 };
                pixels.push(if inside { plane[y / 2 * side + (x - edge) / 2] } else { stripe });
            }
        }
    }
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(w, h);
    encoder.set_quality(95.0);
    let mut encoder = encoder.start_compress(Vec::new()).unwrap();
    encoder.write_scanlines(&pixels).unwrap();
    encoder.finish().unwrap()
}

/// Data, model, manifest, card and survey below a folder.
fn place(root: &Path) {
    let roots = DataRoots { dirs: Vec::new(), cache: root.join("cache") };
    let catalog = Catalog::load(None).unwrap();
    let shapes = catalog.dataset("shapes10").unwrap();
    for (part, name, count) in [(Part::Train, "train", TRAIN), (Part::Test, "val", TEST)] {
        let split = load(shapes, part, &roots).unwrap();
        for i in 0..count {
            let raster = split.image(i).unwrap();
            assert_eq!(raster.height, raster.width);
            let class = format!("data/photos/{name}/class-{}", split.labels()[i]);
            std::fs::create_dir_all(root.join(&class)).unwrap();
            let file = photograph(&raster.data, raster.height);
            write(root, &format!("{class}/{i}.JPEG"), file);
        }
    }
    for folder in ["configs/models", "configs/datasets"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let asset = workspace().join("datasets/assets/resnet-shapes10.onnx");
    let model = std::fs::read(asset).unwrap();
    let side = shapes.dims[1];
    let manifest = format!(
        "name: photos\nsummary: Photographs of shapes.\nloader: folder\nclasses: 10\n\
         dims: [3, {side}, {side}]\nfiles:\n  train: [photos/train]\n  test: [photos/val]\n\
         images: {{train: {TRAIN}, test: {TEST}}}\nsource: here\nlicence: none stated\n"
    );
    let card = format!(
        "name: shapes-photos\nsummary: The embedded default, as a file.\nfile: shapes-photos.onnx\n\
         sha256: {}\ndataset: photos\npreprocess:\n  name: photo\n  version: 1\n  resize: {side}\n  \
         center_crop: {side}\n  divide: 255\n  mean: [0.5, 0.5, 0.5]\n  std: [0.25, 0.25, 0.25]\n\
         source: here\nlicence: none stated\n",
        sha256_hex(&model)
    );
    write(root, "data/shapes-photos.onnx", model);
    write(root, "configs/datasets/photos.yaml", manifest);
    write(root, "configs/models/shapes-photos.yaml", card);
    write(root, "s.yaml", SURVEY);
}

fn rows(folder: &Path) -> Vec<Row> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

#[test]
fn photographs_come_to_rows_and_a_report() {
    if !runtime_is_here() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    place(temp.path());
    let command = |args: &[&str]| {
        let mut command = quantbench(temp.path());
        command.env("QUANTBENCH_DATA", temp.path().join("data"));
        command.env("QUANTBENCH_CACHE", temp.path().join("cache"));
        run(command.args(args))
    };
    let done = command(&["run", "s.yaml", "--out", "out"]);
    assert!(done.status.success(), "{}", stderr(&done));

    let rows = rows(&temp.path().join("out/rows"));
    assert_eq!(rows.len(), 5, "fp32, and two methods at two widths");
    for row in &rows {
        let result = row.result.as_ref().unwrap_or_else(|| panic!("{:?}", row.reason));
        assert_eq!(row.ids.preprocessing, "photo@1");
        assert_eq!(result.fp32.images, TEST as u64);
        // The network reaches 94.55 % on the images themselves; a wrong crop or order of classes
        // leaves little more than chance.
        assert!(result.fp32.percent() > 85.0, "{:?}", result.fp32);
        let read = if row.cell.method == "minmax" { 32 } else { 0 };
        assert_eq!(result.images_read, read, "{}", row.cell.method);
        if row.cell.spec.as_ref().is_some_and(|s| s.bits.weights.get() == 8) {
            assert!(row.drop_simulated().unwrap().abs() < 5.0, "{:?}", result.acc_simulated);
        }
    }

    let reported = command(&["report", "out"]);
    assert!(reported.status.success(), "{}", stderr(&reported));
    let text = std::fs::read_to_string(temp.path().join("out/report/report.md")).unwrap();
    assert!(text.contains("shapes-photos"), "{text}");

    // A photograph that is cut off stops a run with its name.
    let one = std::fs::read_dir(temp.path().join("data/photos/val/class-0")).unwrap().next();
    let file = one.unwrap().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let args = ["eval", "--model", "shapes-photos"];
    assert_error(&command(&args), 2, &[name]);
}
