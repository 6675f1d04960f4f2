//! Integer tensors of ONNX as codes, and the widths that hold them.

use quantbench_core::packing::unpack;
use quantbench_core::{Bits, Levels};

use crate::onnx::{TensorProto, data_type};

/// Width in bits and sign of an integer type that holds codes; `None` for other types.
pub(super) fn container(kind: i32) -> Option<(u8, bool)> {
    Some(match kind {
        data_type::UINT8 => (8, false),
        data_type::INT8 => (8, true),
        data_type::UINT4 => (4, false),
        data_type::INT4 => (4, true),
        data_type::UINT2 => (2, false),
        data_type::INT2 => (2, true),
        _ => return None,
    })
}

/// Smallest and largest code of a container.
pub(super) fn ends((bits, signed): (u8, bool)) -> (i32, i32) {
    let all = 1i32 << bits;
    if signed { (-all / 2, all / 2 - 1) } else { (0, all - 1) }
}

/// Levels and bits of the narrowest grid of that sign which holds all the codes.
///
/// At least 2 bits with a sign and 1 without.
pub(super) fn narrowest(codes: impl Iterator<Item = i32>, signed: bool) -> (Levels, Bits) {
    let (lo, hi) = codes.fold((0, 0), |(lo, hi), c| (c.min(lo), c.max(hi)));
    let start = if signed { 2 } else { 1 };
    let holds = |bits: &u8| {
        let (qmin, qmax) = ends((*bits, signed));
        qmin <= lo && hi <= qmax
    };
    let bits = (start..8).find(holds).unwrap_or(8);
    let (qmin, qmax) = ends((bits, signed));
    (Levels::Affine { qmin, qmax }, Bits::new(bits).unwrap_or(Bits::EIGHT))
}

/// The codes of an integer tensor whose dimensions were checked against its data; `None` for
/// types that hold no codes.
pub(super) fn read(tensor: &TensorProto) -> Option<Vec<i32>> {
    let count = tensor.dims.iter().product::<i64>() as usize;
    let kind = tensor.data_type?;
    if kind == data_type::INT32 {
        return Some(match &tensor.raw_data {
            Some(raw) => {
                raw.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            None => tensor.int32_data.clone(),
        });
    }
    let (bits, signed) = container(kind)?;
    if let Some(raw) = &tensor.raw_data {
        return unpack(raw, count, bits, signed).ok();
    }
    // One byte for each value of 8 bits, or for the several values that fit into one.
    let bytes: Vec<u8> = tensor.int32_data.iter().map(|&v| v as u8).collect();
    unpack(&bytes, count, bits, signed).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quantbench_core::packing::pack;

    use super::*;

    #[test]
    fn the_narrowest_width_holds_the_codes_and_one_bit_less_does_not() {
        let bits = |codes: &[i32], signed| narrowest(codes.iter().copied(), signed).1.get();
        assert_eq!(bits(&[-127, 127], true), 8);
        assert_eq!(bits(&[-64, 63], true), 7);
        assert_eq!(bits(&[-65, 0], true), 8);
        assert_eq!(bits(&[-1, 0, 1], true), 2);
        assert_eq!(bits(&[0, 15], false), 4);
        assert_eq!(bits(&[16], false), 5);
        assert_eq!(bits(&[], true), 2);
    }

    proptest! {
        #[test]
        fn codes_of_every_container_are_read_back(
            codes in prop::collection::vec(-128_i32..128, 1..40),
            kind in prop::sample::select(vec![2, 3, 21, 22, 25, 26]),
            raw in any::<bool>(),
        ) {
            let (bits, signed) = container(kind).unwrap();
            let (lo, hi) = ends((bits, signed));
            let codes: Vec<i32> = codes.into_iter().map(|c| c.clamp(lo, hi)).collect();
            let bytes = pack(&codes, bits);
            let mut tensor = TensorProto {
                dims: vec![codes.len() as i64],
                data_type: Some(kind),
                ..TensorProto::default()
            };
            if raw {
                tensor.raw_data = Some(bytes);
            } else {
                tensor.int32_data = bytes.into_iter().map(i32::from).collect();
            }
            prop_assert_eq!(read(&tensor), Some(codes));
        }
    }
}
