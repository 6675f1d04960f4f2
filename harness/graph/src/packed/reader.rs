//! Packed bytes to artefact. Every length is held against what is left before it is believed.

use std::collections::BTreeMap;

use prost::Message;
use quantbench_core::hash::sha256;
use quantbench_core::packing::unpack;
use quantbench_core::{Bits, Granularity, Grid, Levels, QuantTensor, Table};

use super::{
    AFFINE, BINARY, DIGEST_BYTES, MAGIC, PER_TENSOR, PackedError, TABLE, TERNARY, VERSION,
};
use crate::artefact::Artefact;
use crate::graph::Graph;
use crate::onnx::ModelProto;
use crate::values::from_f32;

/// Reads a packed artefact; `origin` names it in errors.
///
/// The graph's FP32 values of quantized weights are those of their codes.
pub fn decode(bytes: &[u8], origin: &str) -> Result<Artefact, PackedError> {
    let body = checked_body(bytes, origin)?;
    let mut reader = Reader { bytes: body, at: MAGIC.len() + 4, origin };
    let skeleton = reader.skeleton()?;
    let weights = reader.named("weight", Reader::weight)?;
    let activations = reader.named("value", Reader::grid)?;
    let notes = (0..reader.u32()?).map(|_| reader.text()).collect::<Result<Vec<_>, _>>()?;
    if reader.at != body.len() {
        return Err(reader.wrong(format!("{} bytes too many", body.len() - reader.at)));
    }
    let graph = restore(skeleton, &weights, &reader)?;
    let artefact = Artefact::new(graph, weights, activations, notes);
    artefact
        .check()
        .map_err(|source| PackedError::Artefact { origin: origin.to_string(), source })?;
    Ok(artefact)
}

/// The bytes before the checksum, once magic, version and checksum hold.
fn checked_body<'a>(bytes: &'a [u8], origin: &str) -> Result<&'a [u8], PackedError> {
    let origin = origin.to_string();
    if !bytes.starts_with(MAGIC) {
        return Err(PackedError::Magic { origin });
    }
    let version = bytes.get(MAGIC.len()..MAGIC.len() + 4);
    let Some(Ok(version)) = version.map(<[u8; 4]>::try_from) else {
        return Err(PackedError::Checksum { origin });
    };
    let found = u32::from_le_bytes(version);
    if found != VERSION {
        return Err(PackedError::Version { origin, found });
    }
    let end = bytes.len().checked_sub(DIGEST_BYTES).filter(|&end| end >= MAGIC.len() + 4);
    match end.map(|end| bytes.split_at(end)) {
        Some((body, digest)) if sha256(body) == digest => Ok(body),
        _ => Err(PackedError::Checksum { origin }),
    }
}

/// The graph with the values of quantized weights filled in.
fn restore(
    mut model: ModelProto,
    weights: &BTreeMap<String, QuantTensor>,
    reader: &Reader<'_>,
) -> Result<Graph, PackedError> {
    for tensor in model.graph.iter_mut().flat_map(|g| g.initializer.iter_mut()) {
        let name = tensor.name.clone().unwrap_or_default();
        if let Some(codes) = weights.get(&name) {
            let dims: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
            if dims != codes.dims {
                return Err(
                    reader.wrong(format!("weight {name:?} has other dimensions in the model"))
                );
            }
            *tensor = from_f32(&name, &codes.dequantize());
        }
    }
    Ok(Graph::from_bytes(&model.encode_to_vec(), reader.origin)?)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    origin: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: impl Into<String>) -> PackedError {
        PackedError::Field { origin: self.origin.to_string(), at: self.at, what: what.into() }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], PackedError> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            let left = self.bytes.len() - self.at;
            return Err(self.wrong(format!("{n} bytes expected, {left} are left")));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackedError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.wrong("too few bytes"))
    }

    fn u8(&mut self) -> Result<u8, PackedError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn i16(&mut self) -> Result<i32, PackedError> {
        Ok(i32::from(i16::from_le_bytes(self.array()?)))
    }

    fn u32(&mut self) -> Result<usize, PackedError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn text(&mut self) -> Result<String, PackedError> {
        let length = self.u32()?;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.wrong("text is not UTF-8"))
    }

    fn skeleton(&mut self) -> Result<ModelProto, PackedError> {
        let length = u64::from_le_bytes(self.array()?);
        let length = usize::try_from(length).map_err(|_| self.wrong("model is too long"))?;
        let bytes = self.take(length)?;
        ModelProto::decode(bytes).map_err(|e| self.wrong(format!("model cannot be read: {e}")))
    }

    /// A counted list of named things, names ascending.
    fn named<T>(
        &mut self,
        what: &str,
        mut read: impl FnMut(&mut Self) -> Result<T, PackedError>,
    ) -> Result<BTreeMap<String, T>, PackedError> {
        let mut all = BTreeMap::new();
        for _ in 0..self.u32()? {
            let name = self.text()?;
            if all.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(self.wrong(format!("{what} {name:?} is out of order or twice there")));
            }
            let value = read(self)?;
            all.insert(name, value);
        }
        Ok(all)
    }

    fn weight(&mut self) -> Result<QuantTensor, PackedError> {
        let grid = self.grid()?;
        let rank = self.u8()?;
        let dims = (0..rank).map(|_| self.u32()).collect::<Result<Vec<_>, _>>()?;
        if dims.contains(&0) {
            return Err(self.wrong("a dimension of zero"));
        }
        let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let bits = grid.bits.get();
        let length = elements.and_then(|n| n.checked_mul(bits as usize)).map(|n| n.div_ceil(8));
        let (Some(elements), Some(length)) = (elements, length) else {
            return Err(self.wrong("dimensions are too large"));
        };
        let packed = self.take(length)?;
        let offsets =
            unpack(packed, elements, bits, false).map_err(|e| self.wrong(e.to_string()))?;
        let (lowest, highest) = grid.code_range();
        let binary = grid.levels == Levels::Binary;
        let code = |o: i32| if binary { 2 * o - 1 } else { o + lowest };
        let codes: Vec<i32> = offsets.into_iter().map(code).collect();
        if let Some(code) = codes.iter().find(|&&c| c > highest) {
            return Err(self.wrong(format!("code {code} is above the grid's highest, {highest}")));
        }
        if let Granularity::Channel { axis } = grid.granularity
            && axis >= dims.len()
        {
            return Err(self.wrong(format!("axis {axis} of {} dimensions", dims.len())));
        }
        grid.check(&dims).map_err(|e| self.wrong(e.to_string()))?;
        Ok(QuantTensor { dims, grid, codes })
    }

    fn grid(&mut self) -> Result<Grid, PackedError> {
        let tag = self.u8()?;
        let bits = self.u8()?;
        let bits = Bits::new(bits).ok().filter(|b| b.is_quantized());
        let bits = bits.ok_or_else(|| self.wrong("a grid has 1 to 8 bits"))?;
        let (qmin, qmax) = (self.i16()?, self.i16()?);
        let fits = match tag {
            AFFINE => qmin < qmax && qmax - qmin < 1 << bits.get(),
            TERNARY => (qmin, qmax, bits.get()) == (-1, 1, 2),
            BINARY => (qmin, qmax, bits.get()) == (-1, 1, 1),
            TABLE => qmin == 0 && qmax > 0 && qmax < 1 << bits.get(),
            _ => false,
        };
        if !fits {
            let what = format!("levels {tag} from {qmin} to {qmax} in {bits} bits");
            return Err(self.wrong(what));
        }
        let granularity = match self.u8()? {
            PER_TENSOR => Granularity::Tensor,
            axis => Granularity::Channel { axis: axis as usize },
        };
        let count = self.u32()?;
        let scale = self.floats(count)?;
        let zero_point = match self.u8()? {
            0 => vec![0; count],
            1 => (0..count).map(|_| self.i16()).collect::<Result<Vec<_>, _>>()?,
            flag => return Err(self.wrong(format!("zero point flag {flag}, expected 0 or 1"))),
        };
        let levels = match tag {
            AFFINE => Levels::Affine { qmin, qmax },
            TERNARY => Levels::Ternary,
            BINARY => Levels::Binary,
            _ => Levels::Table(self.table(qmax as usize + 1)?),
        };
        Ok(Grid { levels, bits, granularity, scale, zero_point })
    }

    /// The levels and thresholds of a table of `count` levels a row.
    fn table(&mut self, count: usize) -> Result<Table, PackedError> {
        let rows = self.u32()?;
        let all = rows.checked_mul(count).ok_or_else(|| self.wrong("too many levels"))?;
        let table = Table::rows(self.floats(all)?, count);
        match self.u8()? {
            0 => Ok(table),
            1 => Ok(table.with_thresholds(self.floats(count - 1)?)),
            flag => Err(self.wrong(format!("threshold flag {flag}, expected 0 or 1"))),
        }
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, PackedError> {
        let length = count.checked_mul(4).ok_or_else(|| self.wrong("too many numbers"))?;
        let bytes = self.take(length)?.chunks_exact(4);
        Ok(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}
