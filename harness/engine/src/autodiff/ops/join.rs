//! Tensors one after the other.

use quantbench_core::Tensor;

use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// The numbers of some tensors in one; none without any.
pub fn join(tape: &mut Tape, parts: &[Var]) -> Option<Var> {
    parts.first()?;
    let data: Vec<f32> = parts.iter().flat_map(|p| tape.flat(*p).data.iter().copied()).collect();
    let value = Value::Flat(Tensor::new(vec![data.len()], data));
    Some(tape.push(parts, value, Join { parts: parts.to_vec() }))
}

struct Join {
    parts: Vec<Var>,
}

impl Op for Join {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Flat(gradient) = gradient else { return };
        let mut rest = gradient.data.as_slice();
        for part in &self.parts {
            let dims = back.flat(*part).dims.clone();
            let (own, others) = rest.split_at(back.flat(*part).data.len());
            rest = others;
            back.give(*part, Value::Flat(Tensor::new(dims, own.to_vec())));
        }
    }
}
