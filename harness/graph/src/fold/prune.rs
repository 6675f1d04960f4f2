//! Nodes, initializers and value notes that nothing reads any more.

use std::collections::HashSet;

use crate::graph::Graph;

pub(crate) fn fold(graph: &mut Graph) {
    let proto = graph.proto_mut();
    let mut needed: HashSet<String> = proto.output.iter().filter_map(|v| v.name.clone()).collect();
    // Nodes are in topological order, so one pass backwards sees every reader first.
    let mut kept: Vec<_> = Vec::with_capacity(proto.node.len());
    for node in std::mem::take(&mut proto.node).into_iter().rev() {
        if node.output.iter().any(|o| needed.contains(o)) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    let image: HashSet<String> = {
        let held: HashSet<&str> =
            proto.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        proto
            .input
            .iter()
            .filter_map(|v| v.name.clone())
            .filter(|n| !held.contains(n.as_str()))
            .collect()
    };
    proto.node = kept;
    proto.initializer.retain(|t| t.name.as_ref().is_some_and(|n| needed.contains(n)));
    proto
        .input
        .retain(|v| v.name.as_ref().is_some_and(|n| image.contains(n) || needed.contains(n)));
    let produced: HashSet<&String> = proto.node.iter().flat_map(|n| &n.output).collect();
    proto.value_info.retain(|v| v.name.as_ref().is_some_and(|n| produced.contains(n)));
}
