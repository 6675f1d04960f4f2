//! Saved states: what a checkpoint needs to go on as if training had never stopped.
//!
//! Little-endian: the magic bytes, the version (u32), then the body, then the SHA-256 of all before.
//! The body: the word of the rule, steps (u64), number of parameters (u64), and per parameter its
//! name, number of dimensions and dimensions (u64), updates (u64), the value, and the vectors that
//! the rule remembers (FP32). Words begin with their length in bytes (u64).
//!
//! Learning rates, weight decays and the numbers of the rule are not in it: they belong to whoever
//! makes the optimizer anew.

use quantbench_core::hash;

use super::error::OptimError;
use super::{Memory, Optimizer};

const MAGIC: &[u8; 8] = b"qb-optim";
const VERSION: u32 = 1;
const DIGEST: usize = 32;

impl Optimizer {
    /// Values, memory and number of steps as bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        put_word(&mut out, self.rule.word());
        put_number(&mut out, self.steps);
        put_number(&mut out, self.memory.len() as u64);
        for (parameter, memory) in self.parameters.all().iter().zip(&self.memory) {
            put_word(&mut out, parameter.name());
            put_number(&mut out, parameter.value().dims.len() as u64);
            for dim in &parameter.value().dims {
                put_number(&mut out, *dim as u64);
            }
            put_number(&mut out, memory.updates);
            for values in [&parameter.value().data, &memory.first, &memory.second] {
                out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
        }
        let digest = hash::sha256(&out);
        out.extend(digest);
        out
    }

    /// Goes back, or on, to a saved state, bit for bit.
    ///
    /// # Errors
    /// The bytes are cut off, damaged, not such a state, or that of other parameters or another
    /// rule. Nothing was changed then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), OptimError> {
        let mut rest = Reader { bytes: body(bytes)? };
        let rule = rest.word()?;
        if rule != self.rule.word() {
            let own = self.rule.word();
            return Err(state(format!("it is of the rule {rule:?}, expected {own:?}")));
        }
        let steps = rest.number()?;
        let (count, own) = (rest.number()?, self.memory.len());
        if count != own as u64 {
            return Err(state(format!("it has {count} parameters, expected {own}")));
        }
        let mut loaded = Vec::with_capacity(own);
        for (index, parameter) in self.parameters.all().iter().enumerate() {
            let (name, own) = (rest.word()?, parameter.name());
            if name != own {
                let reason = format!("its parameter {index} is {name:?}, expected {own:?}");
                return Err(state(reason));
            }
            let dims = rest.dims()?;
            if dims != parameter.value().dims {
                let own = &parameter.value().dims;
                let reason =
                    format!("parameter {name:?} has dimensions {dims:?}, expected {own:?}");
                return Err(state(reason));
            }
            let updates = rest.number()?;
            let value = rest.values(parameter.value().len())?;
            let first = rest.values(self.memory[index].first.len())?;
            let second = rest.values(self.memory[index].second.len())?;
            loaded.push((value, Memory { updates, first, second }));
        }
        if !rest.bytes.is_empty() {
            return Err(state(format!("{} bytes are left over", rest.bytes.len())));
        }
        let parameters = self.parameters.all_mut().iter_mut();
        for ((parameter, memory), new) in parameters.zip(&mut self.memory).zip(loaded) {
            (parameter.value.data, *memory) = new;
        }
        self.steps = steps;
        Ok(())
    }
}

/// What is between the header and the digest, once both are right.
fn body(bytes: &[u8]) -> Result<&[u8], OptimError> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(state("it does not begin as one; it is cut off or something else".to_string()));
    };
    let Some((version, rest)) = rest.split_first_chunk::<4>() else {
        return Err(state(format!("it is cut off after {} bytes", bytes.len())));
    };
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(state(format!("it has version {version}, this program reads {VERSION}")));
    }
    match rest.split_last_chunk::<DIGEST>() {
        Some((body, digest)) if hash::sha256(&bytes[..bytes.len() - DIGEST]) == *digest => Ok(body),
        _ => Err(state(format!(
            "its {} bytes do not have the checksum at their end; it is cut off or damaged",
            bytes.len()
        ))),
    }
}

fn state(reason: String) -> OptimError {
    OptimError::State { reason }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_le_bytes());
}

fn put_word(out: &mut Vec<u8>, word: &str) {
    put_number(out, word.len() as u64);
    out.extend(word.as_bytes());
}

/// Bytes from the front. Lengths are compared with what is left before anything is allocated.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], OptimError> {
        let parts = usize::try_from(n).ok().and_then(|n| self.bytes.split_at_checked(n));
        let Some((taken, rest)) = parts else {
            let left = self.bytes.len();
            return Err(state(format!("it ends within a field: {left} bytes left, {n} needed")));
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, OptimError> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(number))
    }

    fn word(&mut self) -> Result<String, OptimError> {
        let len = self.number()?;
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn dims(&mut self) -> Result<Vec<usize>, OptimError> {
        let len = self.number()?;
        let bytes = self.take(len.saturating_mul(8))?;
        let (dims, _) = bytes.as_chunks::<8>();
        Ok(dims.iter().map(|d| u64::from_le_bytes(*d) as usize).collect())
    }

    fn values(&mut self, len: usize) -> Result<Vec<f32>, OptimError> {
        let bytes = self.take((len as u64).saturating_mul(4))?;
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values.iter().map(|v| f32::from_le_bytes(*v)).collect())
    }
}
