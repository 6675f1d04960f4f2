//! Rewriting a Clip: with an upper end per channel, or without one.

use quantbench_core::Tensor;

use crate::error::GraphError;
use crate::graph::{Dim, Graph};
use crate::ops::{float_attr, node_name};
use crate::values::from_f32;
use crate::walk::op;

impl Graph {
    /// Lower and upper end of a Clip, wherever the operator set keeps them; an end that is
    /// missing does not clip. `None` for another node and where an end is computed.
    pub fn clip_ends(&self, node: usize) -> Option<(Option<f32>, Option<f32>)> {
        let node = self.nodes().get(node).filter(|n| op(n) == "Clip")?;
        let end = |operand: usize, attribute: &str| -> Option<Option<f32>> {
            match node.input.get(operand).filter(|name| !name.is_empty()) {
                Some(name) => Some(Some(*self.weight(name).ok()?.data.first()?)),
                None => Some(float_attr(node, attribute)),
            }
        };
        Some((end(1, "min")?, end(2, "max")?))
    }

    /// Turns a Clip into a Relu, which has no upper end.
    pub fn clip_to_relu(&mut self, node: usize) -> Result<(), GraphError> {
        self.check_clip(node)?;
        let node = &mut self.proto_mut().node[node];
        node.op_type = Some("Relu".to_string());
        node.input.truncate(1);
        node.attribute.clear();
        Ok(())
    }

    /// Turns a Clip at `[0, ..]` into `Min(Relu(x), caps)` with a cap per channel (axis 1 of the
    /// value). The value that readers know keeps its name. `node` becomes the Relu and the Min
    /// follows it, so that the indices of later nodes move by one.
    ///
    /// # Errors
    /// No Clip, or another number of caps than channels.
    pub fn clip_to_caps(&mut self, node: usize, caps: &[f32]) -> Result<(), GraphError> {
        self.check_clip(node)?;
        let value = self.nodes()[node].output.first().cloned().unwrap_or_default();
        let shape = self.shapes.get(&value).cloned().unwrap_or_default();
        if shape.get(1) != Some(&Dim::Known(caps.len() as i64)) {
            let reason = format!(
                "{} caps do not fit value {value:?} of shape {shape:?}; expected one per channel",
                caps.len()
            );
            return Err(GraphError::Structure { origin: self.origin.clone(), reason });
        }
        self.clip_to_relu(node)?;
        let uncapped = self.fresh_name(&format!("{value}_uncapped"));
        let name = self.fresh_name(&format!("{value}_caps"));
        let mut dims = vec![caps.len()];
        dims.resize(shape.len() - 1, 1);
        self.shapes.insert(uncapped.clone(), shape);
        self.shapes.insert(name.clone(), dims.iter().map(|&d| Dim::Known(d as i64)).collect());
        let tensor = from_f32(&name, &Tensor::new(dims, caps.to_vec()));
        let proto = self.proto_mut();
        proto.initializer.push(tensor);
        let mut min = proto.node[node].clone();
        proto.node[node].output[0].clone_from(&uncapped);
        min.op_type = Some("Min".to_string());
        min.name = Some(format!("{}_cap", node_name(&min)));
        min.input = vec![uncapped, name];
        proto.node.insert(node + 1, min);
        Ok(())
    }

    fn check_clip(&self, node: usize) -> Result<(), GraphError> {
        match self.nodes().get(node) {
            Some(found) if op(found) == "Clip" => Ok(()),
            found => {
                let name = found.map_or("(none)", node_name);
                let reason = format!("node {name:?} is no Clip");
                Err(GraphError::Structure { origin: self.origin.clone(), reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, float};

    fn clipped(lo: f32, hi: f32) -> Graph {
        let mut b = Builder::new(1);
        b.weight("lo", &Tensor::new(vec![], vec![lo]));
        b.weight("hi", &Tensor::new(vec![], vec![hi]));
        b.node("Clip", &["input", "lo", "hi"], "out", vec![]);
        Graph::from_bytes(&b.finish(&[3, 2, 2], "out"), "clip").unwrap()
    }

    #[test]
    fn ends_are_found() {
        assert_eq!(clipped(0.0, 6.0).clip_ends(0), Some((Some(0.0), Some(6.0))));
        let mut b = Builder::new(1);
        b.node("Clip", &["input"], "y", vec![float("max", 2.0)]);
        b.node("Relu", &["y"], "out", vec![]);
        let graph = Graph::from_bytes(&b.finish(&[3, 2, 2], "out"), "clip").unwrap();
        assert_eq!((graph.clip_ends(0), graph.clip_ends(1)), (Some((None, Some(2.0))), None));
    }

    #[test]
    fn caps_are_carried_per_channel() {
        let mut graph = clipped(0.0, 6.0);
        graph.clip_to_caps(0, &[1.0, 2.0, 3.0]).unwrap();
        let ops: Vec<_> = graph.nodes().iter().map(op).collect();
        assert_eq!(ops, ["Relu", "Min"]);
        assert_eq!(graph.nodes()[1].output, ["out"]);
        let again = Graph::from_bytes(&graph.to_bytes(), "again").unwrap();
        assert_eq!(again.weight(&again.nodes()[1].input[1]).unwrap().dims, [3, 1, 1]);
        let error = clipped(0.0, 6.0).clip_to_caps(0, &[1.0]).unwrap_err().to_string();
        assert!(error.contains("1 caps do not fit value \"out\""), "{error}");
        assert!(graph.clip_to_relu(0).unwrap_err().to_string().contains("is no Clip"));
    }
}
