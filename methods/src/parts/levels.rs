//! Layers by depth, for whatever goes through a network layer by layer.

use std::collections::BTreeMap;

use quantbench_graph::{Graph, Layer};

/// Positions in `layers` by depth: a layer comes after all layers that lead to it, and the layers
/// of one level do not lead to each other, so that one pass serves them all.
pub fn levels(graph: &Graph, layers: &[Layer]) -> Vec<Vec<usize>> {
    let at: BTreeMap<usize, usize> = layers.iter().enumerate().map(|(i, l)| (l.node, i)).collect();
    let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
    let mut out: Vec<Vec<usize>> = Vec::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let inputs = node.input.iter().filter_map(|i| depth.get(i.as_str()));
        let mut behind = inputs.copied().max().unwrap_or(0);
        if let Some(&layer) = at.get(&index) {
            if out.len() <= behind {
                out.resize(behind + 1, Vec::new());
            }
            out[behind].push(layer);
            behind += 1;
        }
        depth.extend(node.output.iter().map(|o| (o.as_str(), behind)));
    }
    out.retain(|level| !level.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_graph::testing::Builder;

    #[test]
    fn a_shortcut_conv_shares_the_level_of_the_first_of_its_block() {
        let mut b = Builder::new(1);
        let stem = b.conv_bn("input", "stem", (3, 4), 1, 1);
        b.node("Relu", &[&stem], "r", vec![]);
        let one = b.conv_bn("r", "one", (4, 4), 1, 1);
        let two = b.conv_bn(&one, "two", (4, 4), 1, 1);
        let side = b.conv_bn("r", "side", (4, 4), 1, 1);
        b.node("Add", &[&two, &side], "sum", vec![]);
        let last = b.conv_bn("sum", "last", (4, 4), 1, 1);
        let graph = Graph::from_bytes(&b.finish(&[3, 8, 8], &last), "g").unwrap().fold().unwrap();
        let layers = graph.layers();
        let named = |level: &Vec<usize>| -> Vec<&str> {
            level.iter().map(|&i| layers[i].weight.as_str()).collect()
        };
        let found: Vec<Vec<&str>> = levels(&graph, &layers).iter().map(named).collect();
        assert_eq!(found, [vec!["stem.w"], vec!["one.w", "side.w"], vec!["two.w"], vec!["last.w"]]);
    }
}
