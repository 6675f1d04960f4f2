//! Models against published measurements; every test prints its errors.
#![allow(clippy::unwrap_used)]

mod common;

use common::{number, profile, rows, whole};
use quantbench_hardware::{Level, Roofline, Work, Workload};

fn network(layers: Vec<Work>) -> Workload {
    Workload { origin: "test".to_string(), layers }
}

fn percent(ours: f64, theirs: f64) -> f64 {
    100.0 * (ours / theirs - 1.0)
}

/// AlexNet's convolutions as Eyeriss ran them: output size, kernel, stride, channels and filters
/// of a group, groups.
fn alexnet() -> Workload {
    let layers = [
        Work::conv("CONV1", (3, 96), (11, 4), 55, 1),
        Work::conv("CONV2", (48, 128), (5, 1), 27, 2),
        Work::conv("CONV3", (256, 384), (3, 1), 13, 1),
        Work::conv("CONV4", (192, 192), (3, 1), 13, 2),
        Work::conv("CONV5", (192, 128), (3, 1), 13, 2),
    ];
    network(layers.map(|w| w.at(16, 16)).to_vec()).batched(4)
}

#[test]
fn eyeriss_has_the_active_units_of_alexnet_and_its_latency_within_12_percent() {
    let (target, model) = (profile("eyeriss"), section!("eyeriss", Eyeriss));
    let workload = alexnet();
    let cost = target.cost(&workload).unwrap();
    let mut sums = [0.0; 6];
    for ((row, work), layer) in
        rows("eyeriss_alexnet.csv").iter().zip(&workload.layers).zip(&cost.layers)
    {
        assert_eq!(
            (work.name.as_str(), work.macs()),
            (row["layer"].as_str(), whole(row, "macs_batch4"))
        );
        let active = model.active_units(work).unwrap();
        let (ms, theirs) = (layer.seconds * 1e3, number(row, "processing_ms"));
        let (mb, dram) = (layer.bytes_at(Level::Dram) as f64 / 1e6, number(row, "dram_access_MB"));
        let chip_mj = layer.energy.whole_j * 1e3;
        let measured_mj = number(row, "power_mW") * number(row, "total_ms") * 1e-3;
        println!(
            "Eyeriss {}: {active} active units; {ms:.1} ms, measured {theirs} ({:+.1} %); DRAM {mb:.1} MB, measured {dram}; chip {chip_mj:.2} mJ, measured {measured_mj:.2}",
            work.name,
            percent(ms, theirs)
        );
        assert_eq!(active, whole(row, "active_PEs"), "{}", work.name);
        assert!(percent(ms, theirs).abs() <= 12.0, "{}", work.name);
        for (sum, value) in sums.iter_mut().zip([ms, theirs, mb, dram, chip_mj, measured_mj]) {
            *sum += value;
        }
    }
    let totals =
        [(sums[0], sums[1]), (sums[2], sums[3]), (sums[4], sums[5])].map(|(o, t)| percent(o, t));
    println!(
        "Eyeriss AlexNet: latency {:+.1} %, DRAM bytes {:+.1} %, energy of the chip {:+.1} %",
        totals[0], totals[1], totals[2]
    );
    assert!(totals[0].abs() <= 5.0 && totals[1].abs() <= 20.0 && totals[2].abs() <= 12.0);
}

#[test]
fn eyeriss_follows_its_vgg16_table_where_it_was_calibrated() {
    let sizes = [
        (3, 64, 224),
        (64, 64, 224),
        (64, 128, 112),
        (128, 128, 112),
        (128, 256, 56),
        (256, 256, 56),
        (256, 256, 56),
        (256, 512, 28),
        (512, 512, 28),
        (512, 512, 28),
        (512, 512, 14),
        (512, 512, 14),
        (512, 512, 14),
    ];
    let layers = sizes.map(|(c, n, size)| Work::conv("vgg", (c, n), (3, 1), size, 1).at(16, 16));
    let cost = profile("eyeriss").cost(&network(layers.to_vec()).batched(3)).unwrap();
    for (row, layer) in rows("eyeriss_vgg16.csv").iter().zip(&cost.layers) {
        assert_eq!(layer.macs, whole(row, "macs_batch3"));
        let (ms, theirs) = (layer.compute_cycles as f64 / 200e3, number(row, "processing_ms"));
        println!(
            "Eyeriss VGG-16 {}: {ms:.1} ms, measured {theirs} ({:+.1} %)",
            row["layer"],
            percent(ms, theirs)
        );
        assert!(percent(ms, theirs).abs() <= 5.0, "calibrated on this table");
    }
}

#[test]
fn edge_tpu_is_within_10_percent_on_the_six_models_that_do_not_fit() {
    let target = profile("edge-tpu");
    let large = [
        "ResNet-50 V1 299",
        "ResNet-50 V2 299",
        "ResNet-152 V2 299",
        "Inception v4 299",
        "VGG16 224",
        "VGG19 224",
    ];
    let mut seen = 0;
    for row in rows("coral_edgetpu.csv") {
        // The formula is linear in both numbers, so that one layer stands for a network.
        let (macs, parameters) = (whole(&row, "macs"), whole(&row, "param_bytes_int8"));
        let mut work = Work::fc("all", parameters, 1);
        work.pixels = macs / parameters;
        let left = macs - work.macs();
        let mut rest = Work::fc("rest", 1, 1);
        rest.pixels = left;
        let cost = target.cost(&network(vec![work, rest])).unwrap();
        let (ms, theirs) = (cost.total.seconds * 1e3, number(&row, "usb_ms"));
        let asserted = large.contains(&row["model"].as_str());
        let word = if asserted { "" } else { ", not asserted" };
        println!(
            "Edge TPU {}: {ms:.1} ms, measured {theirs} ({:+.1} %{word})",
            row["model"],
            percent(ms, theirs)
        );
        if asserted {
            seen += 1;
            assert!(percent(ms, theirs).abs() <= 10.0, "{}", row["model"]);
        }
    }
    assert_eq!(seen, large.len());
    let peak = Roofline::of(target.cost.as_ref().unwrap().model(), 8, 8).peak_ops_per_s / 1e12;
    assert!((peak - 4.0).abs() < 0.1, "coral.ai states 4 TOPS, this is {peak}");
}

/// The four reference networks of MLPerf Tiny.
fn mlperf_tiny(name: &str) -> Workload {
    let conv = |channels, kernel, output| Work::conv("conv", channels, kernel, output, 1);
    let layers = match name {
        // ResNet-8 for CIFAR-10.
        "IC" => vec![
            conv((3, 16), (3, 1), 32),
            conv((16, 16), (3, 1), 32),
            conv((16, 16), (3, 1), 32),
            conv((16, 32), (3, 2), 16),
            conv((32, 32), (3, 1), 16),
            conv((16, 32), (1, 2), 16),
            conv((32, 64), (3, 2), 8),
            conv((64, 64), (3, 1), 8),
            conv((32, 64), (1, 2), 8),
            Work::fc("fc", 64, 10),
        ],
        // MobileNetV1 of a quarter of the width at 96 x 96.
        "VWW" => {
            let mut layers = vec![conv((3, 8), (3, 2), 48)];
            let (mut channels, mut size) = (8, 48);
            for (filters, stride) in [
                (16, 1),
                (32, 2),
                (32, 1),
                (64, 2),
                (64, 1),
                (128, 2),
                (128, 1),
                (128, 1),
                (128, 1),
                (128, 1),
                (128, 1),
                (256, 2),
                (256, 1),
            ] {
                size /= stride;
                layers.push(Work::conv("depthwise", (1, 1), (3, stride), size, channels));
                layers.push(conv((channels, filters), (1, 1), size));
                channels = filters;
            }
            layers.push(Work::fc("fc", 256, 2));
            layers
        }
        // DS-CNN on 49 x 10 features: its maps are 25 x 5.
        "KWS" => {
            let sized = |mut work: Work| {
                work.pixels = 25 * 5;
                work.output_size = vec![25, 5];
                work
            };
            let mut stem = sized(conv((1, 64), (1, 1), 1));
            (stem.window, stem.kernel) = (40, vec![10, 4]);
            let mut layers = vec![stem];
            for _ in 0..4 {
                layers.push(sized(Work::conv("depthwise", (1, 1), (3, 1), 1, 64)));
                layers.push(sized(conv((64, 64), (1, 1), 1)));
            }
            layers.push(Work::fc("fc", 64, 12));
            layers
        }
        // The autoencoder.
        "AD" => [
            (640, 128),
            (128, 128),
            (128, 128),
            (128, 128),
            (128, 8),
            (8, 128),
            (128, 128),
            (128, 128),
            (128, 128),
            (128, 640),
        ]
        .map(|(i, o)| Work::fc("fc", i, o))
        .to_vec(),
        other => panic!("{other}"),
    };
    network(layers)
}

#[test]
fn microcontrollers_reach_the_energies_of_x_cube_ai_8_within_6_5_percent() {
    let mut seen = 0;
    for row in rows("mlperf_tiny_v1_1_krai.csv") {
        let name = if row["board"].contains("M4") { "mcu-m4" } else { "mcu-m7" };
        let workload = mlperf_tiny(&row["benchmark"]);
        assert_eq!(workload.macs(), whole(&row, "macs"), "{}", row["benchmark"]);
        let total = profile(name).cost(&workload).unwrap().total;
        let (ms, uj) = (total.seconds * 1e3, total.energy.total_j() * 1e6);
        let time = percent(ms, number(&row, "latency_ms"));
        let asserted = row["stack"] == "X-CUBE-AI 8.0";
        if row["uJ_per_inf"].is_empty() {
            println!(
                "{name} {} {}: {ms:.1} ms ({time:+.1} %), energy not published",
                row["stack"], row["benchmark"]
            );
            continue;
        }
        let energy = percent(uj, number(&row, "uJ_per_inf"));
        let word = if asserted { "" } else { ", not asserted" };
        println!(
            "{name} {} {}: {ms:.1} ms ({time:+.1} %), {uj:.0} uJ ({energy:+.1} %{word})",
            row["stack"], row["benchmark"]
        );
        if asserted {
            seen += 1;
            assert!(energy.abs() <= 6.5 && time.abs() <= 6.5, "{name} {}", row["benchmark"]);
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn bit_serial_arrays_have_the_published_end_points() {
    let peak = |name: &str, w, a| {
        Roofline::of(profile(name).cost.as_ref().unwrap().model(), w, a).peak_ops_per_s
    };
    let bismo = peak("bismo", 1, 1) / 1e12;
    println!("BISMO: {bismo:.2} TOPS binary, published 6.5");
    assert!(percent(bismo, 6.5).abs() < 1.0);
    // A large product reaches the peak.
    let big = Work::conv("gemm", (4096, 512), (1, 1), 64, 1).at(1, 1);
    let cost = profile("bismo").cost(&network(vec![big])).unwrap();
    assert_eq!(cost.layers[0].compute_cycles, 512 * 64 * 16);

    // AlexNet with the activation widths 9-8-5-5-7, weights in 16 bits.
    let widths = [9, 8, 5, 5, 7];
    let conv = |a: Option<[u8; 5]>, w: u8| {
        let mut workload = alexnet();
        for (work, a) in workload.layers.iter_mut().zip(a.unwrap_or([16; 5])) {
            (work.weight_bits, work.activation_bits) = (w, a);
        }
        workload
    };
    let cycles = |name: &str, workload: &Workload| -> f64 {
        profile(name).cost(workload).unwrap().layers.iter().map(|l| l.compute_cycles as f64).sum()
    };
    let stripes = cycles("stripes", &conv(None, 16)) / cycles("stripes", &conv(Some(widths), 16));
    println!(
        "Stripes: AlexNet convolutions at 9-8-5-5-7 {stripes:.2} x, 2.33 by multiply-accumulates, published 1.30 to 4.51 over networks"
    );
    assert!((1.30..=4.51).contains(&stripes) && percent(stripes, 2.33).abs() < 10.0);
    let fc = |w, a| network(vec![Work::fc("fc", 4096, 4096).at(w, a)]);
    assert_eq!(cycles("stripes", &fc(16, 16)), cycles("stripes", &fc(8, 8)), "nothing on FC");
    assert_eq!(cycles("loom", &fc(16, 16)), 2.0 * cycles("loom", &fc(8, 8)), "16/w on FC");
    let both = cycles("loom", &conv(None, 16)) / cycles("loom", &conv(Some([8; 5]), 8));
    assert_eq!(both, 4.0, "256/(a w) on convolutions");
}

/// The aim holds even for an unoptimised build; `cargo bench` has the figures.
#[test]
fn six_targets_count_the_same_work_of_a_resnet18() {
    let workload = common::topology("resnet18");
    for name in ["bitfusion", "edge-tpu", "eyeriss", "mcu-m4", "stripes", "systolic-ws-64"] {
        assert_eq!(profile(name).cost(&workload).unwrap().total.macs, workload.macs());
    }
}
