//! `quantize`: one model, one method, one ONNX file.

use std::path::Path;

use anyhow::{Context, anyhow};
use quantbench_datasets::DataRoots;
use quantbench_runner::{Quantized, quantize_one, write_atomic};

use crate::args::QuantizeArgs;
use crate::asked::Asked;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;
use crate::signals;

/// Quantizes, writes the file, and prints its accounts.
pub fn run(args: &QuantizeArgs, configs: Option<&Path>) -> Outcome {
    writable(&args.output).or_usage()?;
    let catalog = context::catalog(configs)?;
    let roots = DataRoots::from_env();
    let asked = Asked::new(&args.asked, &catalog, &roots)?;
    let request = asked.request(&args.asked, args.portable);
    signals::catch_interrupts();
    let made = quantize_one(&request, &roots, &mut |_, _, _| {}, &signals::INTERRUPTED)
        .map_err(context::work_failure)?;
    write_atomic(&args.output, &made.onnx)
        .with_context(|| format!("cannot write {}", args.output.display()))
        .or_failed()?;
    out::line(&text(&made))?;
    out::say(&format!("next: quantbench eval --model {}", args.output.display()));
    Ok(Exit::Done)
}

/// Refuses an output that cannot be written before the method runs, not after.
fn writable(output: &Path) -> anyhow::Result<()> {
    let place = output.display();
    if output.exists() && !output.is_file() {
        return Err(anyhow!("--output {place}: this is no regular file; name a file to write"));
    }
    // A parent that is missing is made later; one that is a file cannot be.
    match output.ancestors().skip(1).find(|a| a.exists() && !a.as_os_str().is_empty()) {
        Some(parent) if !parent.is_dir() => {
            Err(anyhow!("--output {place}: {} is not a folder", parent.display()))
        }
        _ => Ok(()),
    }
}

fn text(made: &Quantized) -> String {
    let kib = |bytes: u64| format!("{:.1} KiB", bytes as f64 / 1024.0);
    let mut rows = vec![
        vec![
            "method".to_string(),
            format!(
                "{:.2} s wall, {:.2} s CPU, {:.0} MiB peak, {} images read{}",
                made.cost.wall_s,
                made.cost.cpu_s,
                made.cost.peak_mib,
                made.images_read,
                if made.synthetic_images > 0 {
                    format!(", {} made", made.synthetic_images)
                } else {
                    String::new()
                }
            ),
        ],
        vec![
            "size".to_string(),
            format!(
                "theoretical {}, packed {}, file {} (FP32 file {})",
                kib(made.sizes.theoretical_bits / 8),
                kib(made.sizes.packed_bytes),
                kib(made.sizes.file_bytes),
                kib(made.sizes.fp32_file_bytes)
            ),
        ],
        vec![
            "weights".to_string(),
            format!(
                "{:.2} bits on average, {:.2} x smaller (weights only)",
                made.mean_weight_bits,
                made.sizes.compression_weights_only()
            ),
        ],
        vec![
            "bit operations".to_string(),
            format!(
                "{:.3} G per image (FP32 {:.3} G)",
                made.bit_operations.0 as f64 / 1e9,
                made.bit_operations.1 as f64 / 1e9
            ),
        ],
    ];
    rows.extend(made.artefact.notes.iter().map(|n| vec!["note".to_string(), n.clone()]));
    out::table(&rows)
}
