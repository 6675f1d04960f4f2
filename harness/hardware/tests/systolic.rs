//! Systolic arrays against SCALE-Sim v3.0.0, layer by layer.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{mobilenet_v2, number, rows, topology, whole};
use quantbench_hardware::Workload;
use quantbench_hardware::constants::Count;
use quantbench_hardware::cost::systolic::{Counts, Dataflow, Systolic};

/// The array of a run: size, dataflow, and the buffers that SCALE-Sim was given.
fn array(size: u64, dataflow: Dataflow) -> Systolic {
    let mut model = section!("systolic-ws-64", Systolic);
    let count = |n: u64| Count::try_from(n as f64).unwrap();
    model.dataflow = dataflow;
    model.array.rows = count(size);
    model.array.columns = count(size);
    let kib = count(
        [(16, 64), (32, 256), (64, 2048), (128, 4096)].iter().find(|k| k.0 == size).unwrap().1,
    );
    (model.sram.input_kib, model.sram.weight_kib, model.sram.output_kib) = (kib, kib, kib);
    model
}

fn dataflow(word: &str) -> Dataflow {
    match word {
        "os" => Dataflow::OutputStationary,
        "ws" => Dataflow::WeightStationary,
        other => panic!("{other}"),
    }
}

/// Relative errors of one column.
#[derive(Default)]
struct Errors(Vec<f64>);

impl Errors {
    fn add(&mut self, ours: u64, theirs: f64) {
        self.0.push(ours as f64 / theirs - 1.0);
    }
    fn exact(&self) -> usize {
        self.0.iter().filter(|e| **e == 0.0).count()
    }
    fn worst(&self) -> f64 {
        self.0.iter().map(|e| e.abs()).fold(0.0, f64::max)
    }
}

#[test]
fn every_row_of_scale_sim_is_reproduced() {
    let nets: BTreeMap<&str, Workload> =
        ["resnet18", "resnet20"].map(|net| (net, topology(net))).into_iter().collect();
    let mut errors: BTreeMap<&str, Errors> = BTreeMap::new();
    let all = rows("scalesim_v3.csv");
    for row in &all {
        let layers = &nets[row["net"].as_str()].layers;
        let work = layers.iter().find(|w| w.name == row["layer"]).unwrap();
        assert_eq!(work.pixels, whole(row, "M_ofmap_px"), "{row:?}");
        assert_eq!(work.window, whole(row, "K_window"), "{row:?}");
        assert_eq!(work.filters, whole(row, "N_filters"), "{row:?}");
        let counts = array(whole(row, "rows"), dataflow(&row["dataflow"])).counts(work);
        let Counts { compute_cycles, input_sram_reads, weight_sram_reads, .. } = counts;
        for (column, ours) in [
            ("compute_cycles", compute_cycles),
            ("ifmap_sram_reads", input_sram_reads),
            ("filter_sram_reads", weight_sram_reads),
            ("ofmap_sram_writes", counts.output_sram_writes_as_tool),
            ("ifmap_dram_reads", counts.input_dram_reads),
            ("filter_dram_reads", counts.weight_dram_reads),
            ("ofmap_dram_writes", counts.output_dram_writes),
        ] {
            errors.entry(column).or_default().add(ours, number(row, column));
        }
    }
    let rows = all.len();
    assert_eq!(rows, 328, "41 layers on 4 arrays with 2 dataflows");
    for (column, errors) in &errors {
        let (exact, worst) = (errors.exact(), 100.0 * errors.worst());
        println!("SCALE-Sim {column}: exact in {exact} of {rows} rows, worst error {worst:.2} %");
    }
    for column in ["compute_cycles", "ifmap_sram_reads", "filter_sram_reads", "ofmap_sram_writes"] {
        assert_eq!(errors[column].exact(), rows, "{column}");
    }
    // What the closed forms of traffic outside the chip are known to miss.
    for (column, exact, worst) in [
        ("filter_dram_reads", 303, 0.422),
        ("ifmap_dram_reads", 297, 1.854),
        ("ofmap_dram_writes", 236, 0.001),
    ] {
        assert!(errors[column].exact() >= exact, "{column}");
        assert!(errors[column].worst() <= worst, "{column}");
    }
}

/// Compute cycles of whole networks, depthwise layers included, as SCALE-Sim gave them.
#[test]
fn totals_of_three_networks_are_those_of_scale_sim() {
    let totals = [
        (
            "resnet20",
            topology("resnet20"),
            [(180_554, 207_004), (72_314, 83_612), (41_822, 48_425), (32_558, 41_975)],
        ),
        (
            "resnet18",
            topology("resnet18"),
            [
                (8_005_533, 9_226_427),
                (2_133_315, 2_855_031),
                (601_427, 994_141),
                (274_431, 441_581),
            ],
        ),
        (
            "mobilenetv2",
            mobilenet_v2(),
            [
                (7_657_678, 4_391_068),
                (6_077_484, 3_600_256),
                (5_713_898, 3_975_461),
                (6_006_574, 5_220_182),
            ],
        ),
    ];
    for (net, workload, sizes) in totals {
        for (size, (os, ws)) in [16, 32, 64, 128].into_iter().zip(sizes) {
            for (flow, theirs) in
                [(Dataflow::OutputStationary, os), (Dataflow::WeightStationary, ws)]
            {
                let model = array(size, flow);
                let ours: u64 =
                    workload.layers.iter().map(|w| model.counts(w).compute_cycles).sum();
                println!("{net} on {size}x{size} {flow:?}: {ours} cycles, SCALE-Sim {theirs}");
                assert_eq!(ours, theirs, "{net} {size} {flow:?}");
            }
        }
    }
}

#[test]
fn a_vector_unit_takes_depthwise_layers_off_the_array() {
    use quantbench_hardware::TargetModel as _;
    use quantbench_hardware::cost::{Before, systolic::Depthwise};
    let mut model = array(64, Dataflow::WeightStationary);
    let cycles = |model: &Systolic| -> u64 {
        let layers = mobilenet_v2().layers;
        layers.iter().map(|w| model.layer(w, Before::default()).unwrap().compute_cycles).sum()
    };
    let serial = cycles(&model);
    model.depthwise = Depthwise::VectorUnit;
    let vector = cycles(&model);
    println!(
        "MobileNetV2 on 64x64 weight-stationary: {serial} cycles serial, {vector} with a vector unit"
    );
    assert!(vector * 3 < serial);
    assert_eq!(mobilenet_v2().macs(), 300_774_272);
}
