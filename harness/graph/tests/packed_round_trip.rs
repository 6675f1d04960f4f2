//! Packed files: small, deterministic, and deaf to damage.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::sync::LazyLock;

use common::{quantized, spec, tiny};
use proptest::prelude::*;
use quantbench_core::hash::sha256;
use quantbench_core::{FirstLast, SitesRule};
use quantbench_graph::{Artefact, PackedError, decode, encode};

const LABELS: [&str; 8] = ["w8a8", "w4a4", "w2a2", "w2ta8", "w1a1", "w3a5", "w4a32", "w32a8"];

fn artefact(label: &str) -> Artefact {
    quantized(&tiny(), &spec(label, SitesRule::Deployable, FirstLast::EightBit))
}

static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| encode(&artefact("w4a4")));

/// The bytes with a checksum that holds.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(body.len() - 32);
    let digest = sha256(&body);
    body.extend_from_slice(&digest);
    body
}

#[test]
fn grids_codes_and_notes_come_back_and_the_bytes_are_the_same_again() {
    for label in LABELS {
        let before = artefact(label);
        let bytes = encode(&before);
        assert_eq!(encode(&before), bytes, "{label}");
        let after = decode(&bytes, "tiny").unwrap();
        assert_eq!(after.weights, before.weights, "{label}");
        assert_eq!(after.activations, before.activations, "{label}");
        assert_eq!(after.notes, before.notes);
        assert_eq!(encode(&after), bytes, "{label}");
    }
}

#[test]
fn quantized_weights_come_back_as_their_codes_values_and_others_untouched() {
    let before = artefact("w4a4");
    let after = decode(&encode(&before), "tiny").unwrap();
    for tensor in &before.graph.proto().initializer {
        let name = tensor.name.as_deref().unwrap();
        match before.weights.get(name) {
            Some(codes) => assert_eq!(after.graph.weight(name).unwrap(), codes.dequantize()),
            None => assert_eq!(after.graph.initializer(name), Some(tensor)),
        }
    }
    assert_eq!(after.graph.nodes(), before.graph.nodes());
}

#[test]
fn weights_take_their_bits_and_little_more() {
    let size = |label: &str| encode(&artefact(label)).len();
    let free: u64 = {
        let layers = tiny().layers();
        let inner = layers.iter().filter(|l| !l.is_first && !l.is_last);
        inner.map(quantbench_graph::Layer::parameters).sum()
    };
    let saved = size("w8a8") - size("w4a8");
    let want = free as usize / 2;
    assert!(saved.abs_diff(want) <= 4, "{saved} bytes saved, {want} expected");
}

#[test]
fn what_is_no_packed_file_is_named() {
    assert!(matches!(decode(b"", "x"), Err(PackedError::Magic { .. })));
    assert!(matches!(decode(b"not one", "x"), Err(PackedError::Magic { .. })));
    assert!(matches!(decode(b"QBPACKED", "x"), Err(PackedError::Checksum { .. })));
    let mut newer = PACKED.clone();
    newer[8] = 9;
    let message = decode(&newer, "a.qb").unwrap_err().to_string();
    assert!(message.contains("a.qb") && message.contains("version 9"), "{message}");
}

#[test]
fn every_truncation_is_an_error() {
    for end in (0..PACKED.len()).step_by(97).chain(PACKED.len() - 40..PACKED.len()) {
        assert!(decode(&PACKED[..end], "x").is_err(), "{end}");
        // Also when somebody makes the checksum fit.
        if end > 64 {
            assert!(decode(&sealed(PACKED[..end].to_vec()), "x").is_err(), "{end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_flipped_byte_never_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = PACKED.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(decode(&bytes, "x").is_err());
    }

    #[test]
    fn damage_under_a_valid_checksum_is_read_or_refused(
        at in any::<prop::sample::Index>(), flip in 1u8.., tail: bool
    ) {
        let mut bytes = PACKED.clone();
        // Half of the flips behind the model, where the fields are dense.
        let behind = PACKED.len() * 3 / 4;
        let at = if tail { behind + at.index(bytes.len() - behind) } else { at.index(bytes.len()) };
        bytes[at] ^= flip;
        // What is accepted must be whole: it can be written and read again.
        if let Ok(read) = decode(&sealed(bytes), "x") {
            let again = encode(&read);
            prop_assert_eq!(encode(&decode(&again, "x").unwrap()), again);
        }
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = PACKED[..12].to_vec();
        bytes.extend(&noise);
        bytes.extend([0; 32]);
        prop_assert!(decode(&sealed(bytes), "x").is_err());
        prop_assert!(decode(&noise, "x").is_err());
    }
}
