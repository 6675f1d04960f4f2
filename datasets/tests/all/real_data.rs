//! The real data sets, where `QUANTBENCH_DATA` names a folder that holds them.

use std::time::Instant;

use quantbench_datasets::{DataRoots, DatasetManifest, Part, load};

#[test]
fn cifar10_has_the_published_hashes() {
    let roots = DataRoots::from_env();
    let cifar10 = DatasetManifest::builtin().remove(0);
    for (part, count, hash) in [
        (Part::Train, 50_000, "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260"),
        (Part::Test, 10_000, "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f"),
    ] {
        let start = Instant::now();
        match load(&cifar10, part, &roots) {
            Ok(split) => {
                eprintln!("cifar10 {part}: {:.2?}", start.elapsed());
                assert_eq!((split.len(), split.hash.as_str()), (count, hash));
                let classes: Vec<usize> = (0..10)
                    .map(|class| split.labels().iter().filter(|l| **l == class).count())
                    .collect();
                assert_eq!(classes, [count / 10; 10], "CIFAR-10 is balanced");
            }
            Err(error) if error.is_missing() => eprintln!("skipped, no real data here: {error}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_data_set_that_is_here_loads() {
    let roots = DataRoots::from_env();
    for manifest in DatasetManifest::builtin() {
        for part in [Part::Train, Part::Test] {
            match load(&manifest, part, &roots) {
                Ok(split) => eprintln!("{} {part}: {}", manifest.name, split.hash),
                Err(error) if error.is_missing() => {
                    assert_ne!(manifest.name, "shapes10", "it needs no files");
                    eprintln!("skipped, no real data here: {error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
