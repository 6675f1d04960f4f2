//! Summaries as bytes, for whoever keeps them, and back.
//!
//! Numbers are little-endian and exact: a summary that was kept gives the same grids.

use super::histogram::{Bin, Histogram};
use super::{Detail, Extent, Summary};

impl Summary {
    /// Appends this summary.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.extent.lo.to_le_bytes());
        out.extend(self.extent.hi.to_le_bytes());
        let kind = match self.detail() {
            Detail::Extent => 0,
            Detail::Counts => 1,
            Detail::Moments => 2,
        };
        out.push(u8::from(self.extent.finite) | kind << 1);
        if let Some(histogram) = &self.histogram {
            let (exponent, zeros, held) = histogram.parts();
            out.extend(exponent.unwrap_or(i32::MIN).to_le_bytes());
            out.extend(zeros.to_le_bytes());
            out.extend((held.len() as u32).to_le_bytes());
            for (index, bin) in held {
                out.extend((index as u16).to_le_bytes());
                for moment in bin {
                    out.extend(moment.to_le_bytes());
                }
            }
        }
    }

    /// Takes the first summary off `bytes`; none if there is no whole and sound one.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let extent = [f32::from_le_bytes(take(bytes)?), f32::from_le_bytes(take(bytes)?)];
        let [flags] = take(bytes)?;
        let extent = Extent { lo: extent[0], hi: extent[1], finite: flags & 1 == 1 };
        let histogram = match flags >> 1 {
            0 => None,
            kind @ 1..=2 => {
                let moments = kind == 2;
                let exponent = i32::from_le_bytes(take(bytes)?);
                let zeros = u64::from_le_bytes(take(bytes)?);
                let count = u32::from_le_bytes(take(bytes)?);
                let mut held = Vec::new();
                for _ in 0..count {
                    let index = usize::from(u16::from_le_bytes(take(bytes)?));
                    let mut bin: Bin = [0.0; 3];
                    for moment in &mut bin {
                        *moment = f64::from_le_bytes(take(bytes)?);
                    }
                    held.push((index, bin));
                }
                let exponent = (exponent != i32::MIN).then_some(exponent);
                Some(Histogram::from_parts(moments, exponent, zeros, &held)?)
            }
            _ => return None,
        };
        Some(Self { extent, histogram })
    }
}

/// The first `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(summaries: &[Summary]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for summary in summaries {
            summary.write(&mut bytes);
        }
        bytes
    }

    #[test]
    fn summaries_come_back_as_they_were() {
        let mut extent = Summary::empty(Detail::Extent);
        extent.add(&[-1.5, 0.1]);
        let all = [
            Summary::of(&[0.1, -0.7, 3.0, 0.0]),
            extent,
            Summary::empty(Detail::Counts),
            Summary::empty(Detail::Moments),
            Summary::of(&[0.0]),
        ];
        let bytes = packed(&all);
        let mut rest = bytes.as_slice();
        for summary in &all {
            assert_eq!(Summary::read(&mut rest).as_ref(), Some(summary));
        }
        assert!(rest.is_empty() && Summary::read(&mut rest).is_none());
    }

    #[test]
    fn what_is_cut_or_impossible_is_none() {
        let bytes = packed(&[Summary::of(&[0.25, -0.5])]);
        for end in 0..bytes.len() {
            assert!(Summary::read(&mut &bytes[..end]).is_none(), "{end}");
        }
        // A bin beyond the last, and flags that nobody writes.
        let mut odd = bytes.clone();
        odd[25..27].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(Summary::read(&mut odd.as_slice()).is_none());
        let mut odd = bytes;
        odd[8] = 0xff;
        assert!(Summary::read(&mut odd.as_slice()).is_none());
    }
}
