//! A vector for each label.

use quantbench_core::Tensor;

use crate::autodiff::map::{BLOCK, MapShape};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// The rows of a table `[labels, numbers]` for some labels, as maps of one pixel.
///
/// None if a label has no row, or the table has other dimensions.
pub fn embed(tape: &mut Tape, table: Var, labels: &[u16]) -> Option<Var> {
    let t = tape.flat(table);
    let [rows, channels] = *t.dims.as_slice() else { return None };
    if labels.iter().any(|l| usize::from(*l) >= rows) {
        return None;
    }
    let data = labels.iter().flat_map(|l| &t.data[usize::from(*l) * channels..][..channels]);
    let picked = Tensor::new(vec![labels.len(), channels], data.copied().collect());
    let map = tape.device().map(&picked)?;
    Some(tape.push(&[table], Value::Map(map), Embed { table, labels: labels.to_vec() }))
}

struct Embed {
    table: Var,
    labels: Vec<u16>,
}

impl Op for Embed {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        let MapShape { channels, .. } = gradient.shape();
        let dims = back.flat(self.table).dims.clone();
        let mut rows = vec![0f32; dims.iter().product()];
        for (n, label) in self.labels.iter().enumerate() {
            let row = &mut rows[usize::from(*label) * channels..][..channels];
            for (c, sum) in row.iter_mut().enumerate() {
                *sum += gradient.image(n)[c / BLOCK].0[c % BLOCK];
            }
        }
        back.give(self.table, Value::Flat(Tensor::new(dims, rows)));
    }
}
