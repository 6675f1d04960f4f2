//! Content hashes and ids. An id is the SHA-256 of the canonical JSON of everything that can
//! change what it names.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// SHA-256 of bytes as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The id of a value: the first 32 hexadecimal digits of the SHA-256 of its JSON.
///
/// The JSON is canonical because our types have fixed field order and ordered maps only.
///
/// # Panics
/// If the value cannot be written as JSON (a map with non-string keys): a bug.
#[allow(clippy::expect_used)]
pub fn id_of<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_vec(value).expect("identity values serialise to JSON");
    let mut digits = sha256_hex(&json);
    digits.truncate(32);
    digits
}

/// Hash of a set of records whatever their order: SHA-256 over the sorted SHA-256 digests.
pub fn order_free(mut digests: Vec<[u8; 32]>) -> String {
    digests.sort_unstable();
    let mut all = Sha256::new();
    for digest in digests {
        all.update(digest);
    }
    hex(&all.finalize())
}
