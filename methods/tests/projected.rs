//! Binary and ternary artefacts end to end: packed, exported, and run by the runtime.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod common;

use common::{Pictures, Run, engine, tiny};
use quantbench_core::{Levels, ParamValue};
use quantbench_graph::{ExportOptions, Graph, allocation, decode, encode, export, sizes};
use quantbench_methods::find;

#[test]
fn artefacts_run_as_what_their_codes_say() {
    let Some(engine) = engine() else { return };
    let graph = tiny();
    let cases =
        [("bwn", "w1a32", 1), ("bwn", "w1a4", 1), ("twn", "w2ta32", 2), ("twn", "w2ta8", 2)];
    for (name, label, bits) in cases {
        let method = find(name).unwrap();
        let given = [("bn_reestimate", ParamValue::Bool(true))];
        let artefact =
            Run::new(engine, &graph, method, label).with(method, &given).go(method).unwrap();
        let packed = encode(&artefact);
        let back = decode(&packed, "packed").unwrap();
        assert_eq!(encode(&back), packed);
        assert_eq!((&back.weights, &back.activations), (&artefact.weights, &artefact.activations));
        let levels = if bits == 1 { Levels::Binary } else { Levels::Ternary };
        let free: Vec<_> =
            allocation(&artefact).into_iter().filter(|l| l.weights.get() == bits).collect();
        assert_eq!(free.len(), 3, "first and last layer keep 8 bits");
        assert_eq!(artefact.weights.values().filter(|w| w.grid.levels == levels).count(), 3);
        let size = sizes(&artefact, 0, 0);
        let kept: u64 = graph
            .layers()
            .iter()
            .map(|l| l.parameters() * if l.is_first || l.is_last { 8 } else { bits.into() })
            .sum();
        assert_eq!(size.weight_bits, kept);

        // Once as the file says, once with the weights written out in float.
        let mut float = artefact.clone();
        for (name, weights) in &artefact.weights {
            float.graph.set_weight(name, &weights.dequantize()).unwrap();
        }
        float.weights.clear();
        let logits = |bytes: &[u8]| {
            let graph = Graph::from_bytes(bytes, "exported").unwrap();
            engine.logits(&graph, &Pictures::new(&graph, 16), 8).unwrap().data
        };
        let options = ExportOptions { portable: true };
        let (found, want) = (
            logits(&export(&artefact, options).unwrap()),
            logits(&export(&float, options).unwrap()),
        );
        for (f, w) in found.iter().zip(&want) {
            // Between 8-bit inputs and weights the file also rounds biases to its accumulators.
            let near = if label.ends_with("a8") { 0.01 } else { 1e-4 };
            assert!((f - w).abs() < near * (1.0 + w.abs()), "{name} {label}: {f} for {w}");
        }
    }
}
