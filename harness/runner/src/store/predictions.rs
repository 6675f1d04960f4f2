//! Predicted classes on disk: a header, then the classes, deflated.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// First bytes of a file; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"QBPRED1\n";

/// Packs classes: magic, count as 64 little-endian bits, deflated 16-bit little-endian classes.
pub fn pack(classes: &[u16]) -> io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    out.extend((classes.len() as u64).to_le_bytes());
    let mut encoder = DeflateEncoder::new(out, Compression::new(6));
    encoder.write_all(&plain(classes))?;
    encoder.finish()
}

/// The classes in a packed file; `None` if it is not one or was cut off.
pub fn unpack(bytes: &[u8]) -> Option<Vec<u16>> {
    let (count, deflated) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    let count = u64::from_le_bytes(*count);
    let mut raw = Vec::new();
    DeflateDecoder::new(deflated).take(count.checked_mul(2)? + 1).read_to_end(&mut raw).ok()?;
    if raw.len() as u64 != count * 2 {
        return None;
    }
    Some(raw.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect())
}

/// SHA-256 of the classes as 16-bit little-endian numbers.
pub fn digest(classes: &[u16]) -> String {
    quantbench_core::hash::sha256_hex(&plain(classes))
}

fn plain(classes: &[u16]) -> Vec<u8> {
    classes.iter().flat_map(|c| c.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_survive_and_damage_is_noticed() {
        let classes: Vec<u16> = (0..10_000_u32).map(|i| (i * i % 10) as u16).collect();
        let packed = pack(&classes).unwrap();
        assert!(packed.len() < 10_000, "{} bytes", packed.len());
        assert_eq!(unpack(&packed), Some(classes));
        assert_eq!(unpack(&pack(&[]).unwrap()), Some(vec![]));
        assert_eq!(unpack(&packed[..packed.len() - 40]), None);
        assert_eq!(unpack(b"something else"), None);
    }
}
