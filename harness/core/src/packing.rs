//! Bit-packing of integer codes, little-endian within and across bytes.

use thiserror::Error;

/// Packed bytes that do not hold what was asked of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{have} packed bytes are too few for {count} codes of {bits} bits; expected {want}")]
pub struct PackedTooShort {
    /// Bytes given.
    pub have: usize,
    /// Bytes needed.
    pub want: usize,
    /// Codes asked for.
    pub count: usize,
    /// Bits per code.
    pub bits: u8,
}

/// Packs the low `bits` (1 to 8) of each code, the first code in the lowest bits of byte 0.
pub fn pack(codes: &[i32], bits: u8) -> Vec<u8> {
    let bits = u32::from(bits);
    let mask = (1u32 << bits) - 1;
    let mut out = Vec::with_capacity((codes.len() * bits as usize).div_ceil(8));
    let (mut acc, mut held) = (0u32, 0u32);
    for &code in codes {
        acc |= (code as u32 & mask) << held;
        held += bits;
        while held >= 8 {
            out.push(acc as u8);
            acc >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(acc as u8);
    }
    out
}

/// Unpacks `count` codes of `bits` bits; sign-extends when `signed`.
pub fn unpack(
    bytes: &[u8],
    count: usize,
    bits: u8,
    signed: bool,
) -> Result<Vec<i32>, PackedTooShort> {
    let want = (count * bits as usize).div_ceil(8);
    if bytes.len() < want {
        return Err(PackedTooShort { have: bytes.len(), want, count, bits });
    }
    let width = u32::from(bits);
    let mask = (1u32 << width) - 1;
    let (mut acc, mut held, mut next) = (0u32, 0u32, bytes.iter());
    let mut codes = Vec::with_capacity(count);
    for _ in 0..count {
        while held < width {
            // The length was checked above, so a byte is always there.
            acc |= u32::from(*next.next().unwrap_or(&0)) << held;
            held += 8;
        }
        let raw = acc & mask;
        acc >>= width;
        held -= width;
        let shift = 32 - width;
        codes.push(if signed { ((raw << shift) as i32) >> shift } else { raw as i32 });
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(bits in 1u8..=8, signed: bool, raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let (lo, hi) = if signed {
                (-(1i32 << (bits - 1)), (1i32 << (bits - 1)) - 1)
            } else {
                (0, (1i32 << bits) - 1)
            };
            let codes: Vec<i32> = raw.iter().map(|&r| lo + i32::from(r) % (hi - lo + 1)).collect();
            let packed = pack(&codes, bits);
            prop_assert_eq!(packed.len(), (codes.len() * bits as usize).div_ceil(8));
            prop_assert_eq!(unpack(&packed, codes.len(), bits, signed).unwrap(), codes);
        }
    }

    #[test]
    fn short_input_is_an_error() {
        assert!(unpack(&[0], 3, 4, false).is_err());
    }
}
