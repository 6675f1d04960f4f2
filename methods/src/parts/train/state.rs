//! Training as bytes, to go on after an interruption.

use quantbench_engine::autodiff::Network;
use quantbench_engine::autodiff::optim::Optimizer;

use super::sites::Placed;

const MAGIC: &[u8; 8] = b"qb-train";

/// Everything that changes between epochs.
pub(super) struct State<'a, 'g> {
    /// Its norms have running moments.
    pub(super) network: &'a mut Network,
    /// Its grids remember things.
    pub(super) placed: &'a mut Placed<'g>,
    /// Parameters and what the rule remembers.
    pub(super) optimizer: &'a mut Optimizer,
}

impl State<'_, '_> {
    /// The bytes after so many epochs.
    pub(super) fn save(&self, epochs: usize, guarded: usize) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [epochs, guarded] {
            out.extend((number as u64).to_le_bytes());
        }
        for norm in self.network.norms() {
            put(&mut out, &norm.moments.mean);
            put(&mut out, &norm.moments.variance);
        }
        for state in self.placed.states() {
            put(&mut out, &state);
        }
        out.extend(self.optimizer.save());
        out
    }

    /// Goes back to a state; gives the epochs done and the guards that acted. What is wrong with
    /// the bytes otherwise.
    pub(super) fn load(&mut self, bytes: &[u8]) -> Result<(usize, usize), String> {
        let mut rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or("it is no state of training")?;
        let mut number = || -> Result<usize, String> {
            let (head, tail) = rest.split_first_chunk::<8>().ok_or("it is cut off")?;
            rest = tail;
            Ok(u64::from_le_bytes(*head) as usize)
        };
        let (epochs, guarded) = (number()?, number()?);
        let mut moments = Vec::new();
        for norm in self.network.norms() {
            let mean = take(&mut rest, norm.moments.mean.len())?;
            moments.push((mean, take(&mut rest, norm.moments.variance.len())?));
        }
        let mut states = Vec::new();
        for state in self.placed.states() {
            states.push(take(&mut rest, state.len())?);
        }
        self.optimizer.load(rest).map_err(|error| error.to_string())?;
        self.network.set_moments(moments);
        for (grid, state) in self.placed.all_mut().zip(&states) {
            grid.restore(state);
        }
        Ok((epochs, guarded))
    }
}

fn put(out: &mut Vec<u8>, numbers: &[f32]) {
    out.extend((numbers.len() as u64).to_le_bytes());
    out.extend(numbers.iter().flat_map(|v| v.to_le_bytes()));
}

/// Numbers of a list that should have so many.
fn take(rest: &mut &[u8], expected: usize) -> Result<Vec<f32>, String> {
    let (head, tail) = rest.split_first_chunk::<8>().ok_or("it is cut off")?;
    let count = u64::from_le_bytes(*head) as usize;
    if count != expected {
        return Err("it is of another network or other grids".to_string());
    }
    let length = count.checked_mul(4).filter(|l| *l <= tail.len()).ok_or("it is cut off")?;
    let (numbers, tail) = tail.split_at(length);
    *rest = tail;
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    Ok(numbers.chunks_exact(4).map(number).collect())
}
