//! Which operators of an optimised network are its layers, and what the others take.

use std::collections::BTreeMap;

use quantbench_engine::OperatorTime;
use quantbench_graph::Graph;

/// Times of a network by its operators, in seconds per run of a batch.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ByLayer {
    /// Layers whose operator is known, by name.
    pub layers: BTreeMap<String, f64>,
    /// Quantizers and what turns integers back into floats.
    pub quantizers: f64,
    /// All operators.
    pub all: f64,
}

impl ByLayer {
    /// Finds the layers of a graph, by the names of `layers`, among the operators that the runtime
    /// made of it.
    pub(super) fn of<'a>(
        operators: &[OperatorTime],
        graph: &Graph,
        layers: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let sum = |which: &dyn Fn(&OperatorTime) -> bool| -> f64 {
            operators.iter().filter(|o| which(o)).map(|o| o.seconds).sum()
        };
        let found = |layer: &str| {
            let names = values_behind(graph, layer);
            let one = operators.iter().find(|o| is_layer(&o.name, layer, &names))?;
            Some((layer.to_string(), one.seconds))
        };
        Self {
            layers: layers.into_iter().filter_map(found).collect(),
            quantizers: sum(&|o| is_quantizer(&o.op)),
            all: sum(&|_| true),
        }
    }

    /// Share of the operators' time that quantizers take.
    pub(super) fn quantizer_share(&self) -> f64 {
        if self.all > 0.0 { self.quantizers / self.all } else { 0.0 }
    }
}

fn is_quantizer(op: &str) -> bool {
    matches!(op, "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear")
}

/// Whether an operator of this name computes the layer: it keeps the layer's name, gets a token
/// behind it, or in blocked float the name of a value that the layer gives.
fn is_layer(operator: &str, layer: &str, values: &[&str]) -> bool {
    let token = |rest: &str| {
        rest.strip_prefix("_token_")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    operator.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || token(rest))
        || operator.strip_suffix("_nchwc").is_some_and(|value| values.contains(&value))
}

/// What the runtime fuses into the layer before it.
const FUSED: [&str; 8] = [
    "BatchNormalization",
    "Clip",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Relu",
    "Sigmoid",
    "Tanh",
];

/// The value that a layer gives, and those behind it that its operator may give instead.
fn values_behind<'g>(graph: &'g Graph, layer: &str) -> Vec<&'g str> {
    let layers = graph.layers();
    let Some(layer) = layers.iter().find(|l| l.name == layer) else { return Vec::new() };
    let mut node = &graph.nodes()[layer.node];
    let mut values = Vec::new();
    while let Some(value) = node.output.first() {
        values.push(value.as_str());
        let [next] = graph.consumers(value)[..] else { break };
        node = &graph.nodes()[next];
        if !node.op_type.as_deref().is_some_and(|op| FUSED.contains(&op)) {
            break;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators(list: &[(&str, &str, f64)]) -> Vec<OperatorTime> {
        let one = |(name, op, seconds): &(&str, &str, f64)| OperatorTime {
            name: (*name).to_string(),
            op: (*op).to_string(),
            seconds: *seconds,
        };
        list.iter().map(one).collect()
    }

    fn default_graph() -> Graph {
        Graph::from_bytes(quantbench_datasets::DEFAULT_MODEL, "default").unwrap()
    }

    #[test]
    fn a_layer_is_known_by_its_name_with_or_without_a_token() {
        let graph = default_graph();
        let names = ["stem.conv", "fc"];
        let list = [
            ("image_quantized", "QuantizeLinear", 1.0),
            ("stem.conv_token_12", "QLinearConv", 4.0),
            ("stem.conv_bias_dq", "DequantizeLinear", 2.0),
            ("fc", "QGemm", 3.0),
        ];
        let found = ByLayer::of(&operators(&list), &graph, names);
        assert_eq!(found.layers, [("fc".to_string(), 3.0), ("stem.conv".to_string(), 4.0)].into());
        assert_eq!((found.quantizers, found.all, found.quantizer_share()), (3.0, 10.0, 0.3));
        // Another layer whose name begins alike, and a token that is none.
        for other in ["stem.conv2", "stem.conv_token_", "stem.conv_token_x1"] {
            let found = ByLayer::of(&operators(&[(other, "Conv", 1.0)]), &graph, names);
            assert!(found.layers.is_empty(), "{other}");
        }
        assert_eq!(ByLayer::of(&[], &graph, names).quantizer_share(), 0.0);
    }

    #[test]
    fn a_blocked_layer_is_known_by_a_value_that_it_gives() {
        let graph = default_graph();
        for layer in graph.layers() {
            let values = values_behind(&graph, &layer.name);
            assert_eq!(values[0], layer.output);
            // Whatever a layer may give, no other one gives.
            for value in values {
                let name = format!("{value}_nchwc");
                let all: Vec<String> = graph.layers().into_iter().map(|l| l.name).collect();
                let found = ByLayer::of(
                    &operators(&[(&name, "Conv", 1.0)]),
                    &graph,
                    all.iter().map(String::as_str),
                );
                assert_eq!(found.layers.keys().collect::<Vec<_>>(), [&layer.name], "{name}");
            }
        }
        assert!(values_behind(&graph, "no such layer").is_empty());
    }
}
