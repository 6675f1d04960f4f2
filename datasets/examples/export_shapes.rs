//! Writes both splits of `shapes10` in the binary layout of CIFAR-10, for training elsewhere:
//! `cargo run --release -p quantbench-datasets --example export_shapes -- FOLDER`
//! makes `FOLDER/train.bin` and `FOLDER/test.bin` (one label byte, then 3,072 bytes R, G, B).

use std::path::PathBuf;
use std::time::Instant;

use quantbench_datasets::{Part, shapes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("expected one argument: the folder to write train.bin and test.bin to")?
        .into();
    std::fs::create_dir_all(&folder)?;
    for (part, name) in [(Part::Train, "train.bin"), (Part::Test, "test.bin")] {
        let start = Instant::now();
        let records = shapes::records(part);
        let took = start.elapsed();
        let path = folder.join(name);
        std::fs::write(&path, &records)?;
        let images = records.len() / shapes::RECORD;
        eprintln!("{}: {images} images, generated in {took:.0?}", path.display());
    }
    Ok(())
}
