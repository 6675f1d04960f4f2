//! BitFusion against the authors' simulator.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{rows, whole};
use quantbench_hardware::constants::Count;
use quantbench_hardware::cost::Before;
use quantbench_hardware::{Level, Operand, TargetModel as _, Work, WorkKind, Workload};

/// Networks whose spatial sizes are those of their data sets, so that nothing is guessed.
const NATURAL: [&str; 3] = ["CIFAR10", "LeNet-5", "SVHN"];

/// The layers of `bitfusion_layers.csv` by network and name, for a batch.
fn layers(images: u64) -> BTreeMap<(String, String), Work> {
    let rows = rows("bitfusion_layers.csv");
    let all = rows.iter().map(|r| {
        let channels = (whole(r, "channels"), whole(r, "filters"));
        let mut work =
            Work::conv(&r["layer"], channels, (whole(r, "kernel"), 1), whole(r, "output"), 1);
        if r["layer"].starts_with("fc") {
            work.kind = WorkKind::Fc;
        }
        work.is_first = whole(r, "first") == 1;
        let work = work.at(whole(r, "weight_bits") as u8, whole(r, "activation_bits") as u8);
        let workload = Workload { origin: r["network"].clone(), layers: vec![work] };
        let work = workload.batched(images).layers.remove(0);
        ((r["network"].clone(), r["layer"].clone()), work)
    });
    all.collect()
}

#[test]
fn compute_cycles_and_buffer_reads_are_the_authors_on_every_row_of_a_known_size() {
    let mut asserted = 0;
    // The authors' sizes of these networks differ between the points of the sweep.
    let mut without: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown: BTreeMap<String, (usize, usize, f64)> = BTreeMap::new();
    for row in rows("bitfusion_sweep.csv") {
        let mut model = section!("bitfusion", Bitfusion);
        model.array.rows = Count::try_from(whole(&row, "N") as f64).unwrap();
        model.array.columns = Count::try_from(whole(&row, "M") as f64).unwrap();
        let layers = layers(whole(&row, "Batch size"));
        let (network, layer) = (row["Network"].clone(), row["Layer"].split('/').next().unwrap());
        let Some(work) = layers.get(&(network.clone(), layer.to_string())) else {
            *without.entry(network).or_default() += 1;
            continue;
        };
        let theirs = whole(&row, "Cycles") - whole(&row, "Memory wait cycles");
        let ours = model.compute_cycles(work).unwrap();
        if NATURAL.contains(&network.as_str()) {
            asserted += 1;
            assert_eq!(ours, theirs, "{network} {layer} on {} columns", row["M"]);
            let traffic = model.layer(work, Before::default()).unwrap().traffic;
            for (operand, column) in
                [(Operand::Input, "IBUF Read"), (Operand::Weights, "WBUF Read")]
            {
                let flow = traffic.iter().find(|f| (f.level, f.operand) == (Level::Sram, operand));
                assert_eq!(
                    flow.unwrap().bytes * 8,
                    whole(&row, column),
                    "{network} {layer} {column}"
                );
            }
        } else {
            let (all, exact, worst) = shown.entry(network).or_default();
            let error = (ours as f64 / theirs as f64 - 1.0).abs();
            *all += 1;
            *exact += usize::from(ours == theirs);
            *worst = worst.max(error);
        }
    }
    println!("BitFusion: exact in all {asserted} rows of {}", NATURAL.join(", "));
    for (network, (all, exact, worst)) in &shown {
        println!(
            "BitFusion, not asserted: {network} exact in {exact} of {all} rows, worst error {:.0} %",
            100.0 * worst
        );
    }
    println!("BitFusion, sizes not known: {without:?}");
    assert_eq!(asserted, 110, "22 layers at 5 design points");
}

#[test]
fn the_peak_follows_the_fused_bricks() {
    let model = section!("bitfusion", Bitfusion);
    let units = 16.0 * 32.0;
    for (w, a, products) in [
        (8, 8, 1.0),
        (4, 4, 4.0),
        (2, 2, 16.0),
        (1, 1, 16.0),
        (4, 8, 2.0),
        (3, 3, 4.0),
        (16, 16, 0.25),
        (16, 8, 0.5),
    ] {
        assert_eq!(model.peak_macs_per_cycle(w, a), units * products, "w{w}a{a}");
    }
    let wide = Work::fc("fc", 64, 64).at(32, 8);
    assert!(model.compute_cycles(&wide).unwrap_err().reason.contains("32 bits"));
}
