//! What a Pad leaves known: added channels of constant zeros.

use quantbench_graph::onnx::NodeProto;
use quantbench_graph::values::to_ints;

use super::{Moments, Walk};

impl Walk<'_> {
    /// Channels that a Pad adds are constant zeros; padded rows and columns are ignored. Unknown
    /// where the padding is anything but zeros.
    pub(super) fn pad(&self, node: &NodeProto) -> Option<Moments> {
        let input = self.input(node, 0)?;
        let (before, behind) = self.padded_channels(node)?;
        let mode = node.attribute.iter().find(|a| a.name.as_deref() == Some("mode"));
        let constant = mode.and_then(|a| a.s.as_deref()).is_none_or(|mode| mode == b"constant");
        if constant && !self.fills_with_zero(node) {
            return None;
        }
        if (before, behind) == (0, 0) {
            return Some(input.clone());
        }
        let channels = before + input.channels() + behind;
        if !constant || self.graph.item_dims(node.output.first()?).first() != Some(&channels) {
            return None;
        }
        let spread = |values: &[f64]| {
            let mut out = vec![0.0; channels];
            out[before..before + values.len()].copy_from_slice(values);
            out
        };
        Some(Moments {
            mean: spread(&input.mean),
            var: spread(&input.var),
            positive: spread(&input.positive),
            peak: spread(&input.peak),
            signed: input.signed,
            positions: input.positions,
        })
    }

    /// Channels that a Pad adds in front and behind: the pads of axis 1, whose place the operand
    /// with the axes says where there is one.
    fn padded_channels(&self, node: &NodeProto) -> Option<(usize, usize)> {
        let operand = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
        let list = |name: &String| to_ints(self.graph.initializer(name)?);
        let rank = self.graph.shape(node.output.first()?)?.len() as i64;
        let pads = list(operand(1)?)?;
        let axes = operand(3).map_or_else(|| Some((0..rank).collect()), list)?;
        if pads.len() != 2 * axes.len() {
            return None;
        }
        let Some(at) = axes.iter().position(|a| a.rem_euclid(rank.max(1)) == 1) else {
            return Some((0, 0));
        };
        let count = |pad: i64| usize::try_from(pad).ok();
        Some((count(pads[at])?, count(pads[at + axes.len()])?))
    }

    /// Whether a Pad's constant is absent or zero.
    fn fills_with_zero(&self, node: &NodeProto) -> bool {
        let fill = node.input.get(2).filter(|name| !name.is_empty());
        fill.is_none_or(|name| self.graph.weight(name).is_ok_and(|fill| fill.data == [0.0]))
    }
}

#[cfg(test)]
mod tests {
    use quantbench_core::Tensor;
    use quantbench_graph::Graph;
    use quantbench_graph::onnx::AttributeProto;
    use quantbench_graph::testing::Builder;

    use super::super::{Positions, propagate};

    /// What is known of a Pad of three channels with more operands than the pads.
    fn padded(pads: &[i64], rest: &[&str], mode: Option<&str>) -> Option<Vec<f64>> {
        let mut b = Builder::new(3);
        let stem = b.conv_bn("input", "stem", (3, 3), 1, 1);
        b.ints("pads", pads).ints("channels", &[1]).ints("columns_and_channels", &[-1, -3]);
        b.weight("zero", &Tensor::new(vec![], vec![0.0]));
        b.weight("one", &Tensor::new(vec![], vec![1.0]));
        let mode = mode.map(|mode| AttributeProto {
            name: Some("mode".into()),
            s: Some(mode.into()),
            ..AttributeProto::default()
        });
        let operands = [&[stem.as_str(), "pads"], rest].concat();
        b.node("Pad", &operands, "out", mode.into_iter().collect());
        let graph = Graph::from_bytes(&b.finish(&[3, 8, 8], "out"), "pad").unwrap().fold().unwrap();
        let mut known = propagate(&graph, &graph.layers(), 4.0, Positions::Independent);
        let mean = known.remove("out").map(|m| m.mean);
        let stem = &graph.norm_stats(&stem).unwrap().mean;
        // The constant zeros are what tells added channels from the stem's.
        assert!(stem.iter().all(|&m| m != 0.0));
        mean
    }

    #[test]
    fn a_pad_is_known_where_it_adds_zeros() {
        let whole = [0, 1, 0, 0, 0, 2, 0, 0];
        let sides = [0, 0, 1, 1, 0, 0, 1, 1];
        let zeros =
            |mean: Option<Vec<f64>>| mean.map(|m| m.iter().map(|&v| v == 0.0).collect::<Vec<_>>());
        let around = Some(vec![true, false, false, false, true, true]);
        for rest in [&[][..], &["zero"], &[""]] {
            assert_eq!(zeros(padded(&whole, rest, None)), around, "{rest:?}");
            assert_eq!(zeros(padded(&sides, rest, None)), Some(vec![false; 3]), "{rest:?}");
        }
        assert_eq!(zeros(padded(&[1, 2], &["", "channels"], None)), around);
        let mixed = padded(&[3, 1, 0, 2], &["zero", "columns_and_channels"], None);
        assert_eq!(zeros(mixed), around);
        // Ones are not zeros, and reflected channels are not constant.
        assert_eq!(padded(&whole, &["one"], None), None);
        assert_eq!(padded(&sides, &["one"], None), None);
        assert_eq!(padded(&[1, 1], &["", "channels"], Some("reflect")), None);
        assert_eq!(zeros(padded(&sides, &[], Some("reflect"))), Some(vec![false; 3]));
    }
}
