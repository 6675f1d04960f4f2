//! Reference data and shipped profiles.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part; helpers may unwrap.

use std::collections::BTreeMap;
use std::path::Path;

use quantbench_hardware::{CostSection, Profile, Work, Workload};

/// The rows of a file under `tests/data`, by column; lines that begin with `#` state its source.
pub fn rows(file: &str) -> Vec<BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let cells = lines.map(|line| {
        let values: Vec<&str> = line.split(',').collect();
        assert_eq!(values.len(), head.len(), "{file}: {line}");
        head.iter().zip(values).map(|(k, v)| ((*k).to_string(), v.to_string())).collect()
    });
    cells.collect()
}

/// A whole number of a row, also where it is written as 12.0.
pub fn whole(row: &BTreeMap<String, String>, column: &str) -> u64 {
    number(row, column) as u64
}

/// A number of a row.
pub fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {:?}", row[column]))
}

/// A shipped profile.
pub fn profile(name: &str) -> Profile {
    let all = Profile::builtin().unwrap();
    all.into_iter().find(|p| p.name == name).unwrap_or_else(|| panic!("no profile {name}"))
}

/// The profiles with a model.
pub fn modelled() -> Vec<Profile> {
    Profile::builtin().unwrap().into_iter().filter(|p| p.cost.is_some()).collect()
}

/// The section of a shipped profile as the model that it is.
#[macro_export]
macro_rules! section {
    ($name:literal, $kind:ident) => {
        match common::profile($name).cost {
            Some(quantbench_hardware::CostSection::$kind(model)) => model,
            other => panic!("{other:?}"),
        }
    };
}

/// Whether a profile has no units for anything but 8 bits.
pub fn is_systolic(profile: &Profile) -> bool {
    matches!(profile.cost, Some(CostSection::Systolic(_)))
}

/// The layers of a network in `scalesim_topologies.csv`, at 8 bits.
pub fn topology(network: &str) -> Workload {
    let layers = rows("scalesim_topologies.csv").into_iter().filter(|r| r["net"] == network);
    let layers = layers.map(|r| {
        let (kernel, stride) = (whole(&r, "kernel_h"), whole(&r, "stride"));
        let output = (whole(&r, "ifmap_h") - kernel) / stride + 1;
        let channels = (whole(&r, "channels_per_group"), whole(&r, "filters_per_group"));
        Work::conv(&r["layer"], channels, (kernel, stride), output, whole(&r, "groups"))
    });
    Workload { origin: network.to_string(), layers: layers.collect() }
}

/// MobileNetV2 at 224 x 224 (Sandler et al., CVPR 2018, table 2), its input padded.
pub fn mobilenet_v2() -> Workload {
    let mut layers = vec![Work::conv("stem", (3, 32), (3, 2), 112, 1)];
    let (mut channels, mut size) = (32, 112);
    for (expand, filters, repeats, first_stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for i in 0..repeats {
            let stride = if i == 0 { first_stride } else { 1 };
            let wide = channels * expand;
            if expand > 1 {
                layers.push(Work::conv("expand", (channels, wide), (1, 1), size, 1));
            }
            size /= stride;
            layers.push(Work::conv("depthwise", (1, 1), (3, stride), size, wide));
            layers.push(Work::conv("project", (wide, filters), (1, 1), size, 1));
            channels = filters;
        }
    }
    layers.push(Work::conv("head", (320, 1280), (1, 1), 7, 1));
    layers.push(Work::fc("fc", 1280, 1000));
    Workload { origin: "mobilenetv2".to_string(), layers }
}
