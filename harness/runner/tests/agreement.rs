//! The runtime and the engine's own kernels give the same accuracy for quantized networks.
#![allow(clippy::unwrap_used)] // In tests outside `#[cfg(test)]` a panic is the failure too.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quantbench_core::card::ParamValue;
use quantbench_core::{FirstLast, ImageRule, ImageSource, LabelledSource, Params, Spec};
use quantbench_datasets::{Images, Part, load};
use quantbench_engine::autodiff::{Device, outputs};
use quantbench_runner::plan::here::Here;
use quantbench_runner::{Catalog, EvaluateRequest, QuantizeRequest, evaluate_file, quantize_one};

/// Test images that are looked at.
const IMAGES: usize = 1000;

/// Of them, those that may be classified otherwise.
const MOST: u64 = 3;

/// A calibrated grid, and levels of every kind that training has: tables of whole numbers, tables
/// per channel, thresholds of their own. Training itself is as short as can be.
const METHODS: [&str; 5] = ["minmax", "apot", "dorefa", "lq-nets", "qil"];

#[test]
fn the_runtime_and_the_engine_agree_on_all_but_a_few_images_of_a_thousand() {
    let here = Here::look();
    if let Err(reason) = &here.runtime {
        eprintln!("skipped: {reason}");
        return;
    }
    let catalog = Catalog::load(None).unwrap();
    let has_data = std::env::var_os("QUANTBENCH_DATA").is_some();
    if !has_data {
        eprintln!("skipped for ResNet-20: QUANTBENCH_DATA is not set");
    }
    let models = ["resnet-shapes10", "resnet20-cifar10"];
    for name in models.into_iter().take(if has_data { 2 } else { 1 }) {
        let card = catalog.model(name).unwrap();
        let dataset = catalog.dataset(&card.dataset).unwrap();
        let split = Arc::new(load(dataset, Part::Test, &here.roots).unwrap());
        let count = split.len().min(IMAGES);
        let images = Images::new(split.clone(), split.first(count), &card.preprocess).unwrap();
        let model = card.bytes(&here.roots).unwrap();
        for method in METHODS {
            let mut params = Params::new();
            if method != "minmax" {
                params.insert("epochs".into(), ParamValue::Int(1));
                params.insert("batch".into(), ParamValue::Int(64));
                params.insert("rate".into(), ParamValue::Float(0.001));
            }
            let request = QuantizeRequest {
                model: &model,
                origin: name,
                dataset,
                preprocess: &card.preprocess,
                method,
                params,
                // At 8 bits an exported bias is rounded to the accumulator's scale.
                spec: Spec {
                    first_last: FirstLast::Fp32,
                    image: ImageRule::Fp32,
                    ..Spec::from_widths("w4a4".parse().unwrap())
                },
                images: 512,
                draw: 0,
                seed: 0,
                portable: false,
                threads: 1,
            };
            let mut quiet = |_: usize, _: usize, _: &str| {};
            let never = AtomicBool::new(false);
            let made = quantize_one(&request, &here.roots, &mut quiet, &never);
            let made = made.unwrap_or_else(|e| panic!("{name} {method}: {e}"));
            let evaluated = evaluate_file(
                &EvaluateRequest {
                    model: &made.onnx,
                    origin: "q.onnx",
                    dataset,
                    preprocess: &card.preprocess,
                    images: Some(count),
                    optimisation: quantbench_engine::Optimisation::Off,
                    batch: 100,
                    threads: 2,
                },
                &here.roots,
                &mut quiet,
            )
            .unwrap();
            let (mut right, mut same) = (0, 0);
            let device = Device::new();
            for start in (0..count).step_by(100) {
                let batch = images.batch(start, 100).unwrap();
                let logits = outputs(&made.artefact, &device, &batch).unwrap();
                let classes = logits.dims[1];
                for (i, row) in logits.data.chunks(classes).enumerate() {
                    let best = (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
                    right += u64::from(best == usize::from(images.labels()[start + i]));
                    same += u64::from(best == usize::from(evaluated.predictions[start + i]));
                }
            }
            let theirs = evaluated.accuracy.correct;
            let text = format!("{name} {method}: {right} and {theirs} of {count}, {same} alike");
            println!("{text}");
            // Sums in another order put a few numbers on other sides of their thresholds.
            assert!(right.abs_diff(theirs) <= MOST && same + MOST >= count as u64, "{text}");
        }
    }
}
