//! Summaries of activations on disk, with what it cost to gather them.
//!
//! A file is a mark, the SHA-256 of what follows, and then the cost, the number of summaries and
//! the summaries themselves, little-endian. Whatever is not exactly that is no statistics.

use quantbench_core::hash::sha256;
use quantbench_core::row::MethodCost;
use quantbench_methods::parts::ranges::Summary;

/// First bytes of a file.
const MARK: &[u8; 8] = b"QBSTAT1\n";

/// What is kept under one id.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What gathering cost, observed where the id says.
    pub cost: MethodCost,
    /// One summary per value.
    pub summaries: Vec<Summary>,
}

impl Kept {
    /// The bytes of a file.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let MethodCost { wall_s, cpu_s, peak_mib } = self.cost;
        for value in [wall_s, cpu_s, peak_mib] {
            body.extend(value.to_le_bytes());
        }
        body.extend((self.summaries.len() as u64).to_le_bytes());
        for summary in &self.summaries {
            summary.write(&mut body);
        }
        [MARK.as_slice(), &sha256(&body), &body].concat()
    }

    /// What such bytes hold; none if they were cut or changed.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (digest, mut body) = bytes.strip_prefix(MARK)?.split_first_chunk::<32>()?;
        if sha256(body) != *digest {
            return None;
        }
        let mut word = || -> Option<[u8; 8]> {
            let (first, rest) = body.split_first_chunk()?;
            body = rest;
            Some(*first)
        };
        let mut number = || Some(f64::from_le_bytes(word()?));
        let cost = MethodCost { wall_s: number()?, cpu_s: number()?, peak_mib: number()? };
        let count = u64::from_le_bytes(word()?);
        let mut summaries = Vec::new();
        for _ in 0..count {
            summaries.push(Summary::read(&mut body)?);
        }
        body.is_empty().then_some(Self { cost, summaries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_come_back_whole_or_not_at_all() {
        let kept = Kept {
            cost: MethodCost { wall_s: 0.25, cpu_s: 0.5, peak_mib: 12.0 },
            summaries: vec![Summary::of(&[0.1, 2.0, 0.0]), Summary::of(&[-1.0])],
        };
        let bytes = kept.write();
        assert_eq!(Kept::read(&bytes), Some(kept));
        for cut in [0, 7, 39, 41, bytes.len() - 1] {
            assert_eq!(Kept::read(&bytes[..cut]), None, "cut at {cut}");
        }
        for at in [0, 8, 40, 71, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Kept::read(&changed), None, "changed at {at}");
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert_eq!(Kept::read(&longer), None);
    }
}
