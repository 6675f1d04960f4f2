//! The parameters on the card of an external method.

use quantbench_core::card::{Default, Param, ParamRange};
use serde_yaml::Value;

use crate::config::error::ConfigError;
use crate::config::yaml::Node;
use crate::external::card::forever;

/// Reads `name: {default, help, from, to, choices}`; the default tells the type.
///
/// A number is real if the default or an end is written with a point, else whole.
pub(super) fn read(node: &Node<'_>) -> Result<&'static [Param], ConfigError> {
    let params: Vec<Param> = node
        .any_fields()?
        .entries
        .iter()
        .map(|(name, node)| param(name, node))
        .collect::<Result<_, _>>()?;
    Ok(Vec::leak(params))
}

fn param(name: &str, node: &Node<'_>) -> Result<Param, ConfigError> {
    let fields = node.fields(&["default", "help", "from", "to", "choices"])?;
    let given = fields.need("default")?;
    let (default, range) = match given.value() {
        Value::Bool(value) => (Default::Bool(*value), ParamRange::Switch),
        Value::Number(_) => {
            let (from, to) = (fields.need("from")?, fields.need("to")?);
            let whole = [given, from, to].map(|n| n.value().as_i64());
            if let [Some(value), Some(low), Some(high)] = whole {
                (Default::Int(value), ParamRange::Int(low, high))
            } else {
                let number = |n: &Node<'_>| n.real(f64::MIN, f64::MAX);
                let (low, high) = (number(from)?, number(to)?);
                (Default::Float(number(given)?), ParamRange::Float(low, high))
            }
        }
        Value::String(value) => {
            let choices = fields.need("choices")?.filled_list()?;
            let choices: Vec<&'static str> =
                choices.iter().map(|n| n.text().map(forever)).collect::<Result<_, _>>()?;
            (Default::Text(forever(value.clone())), ParamRange::Choice(Vec::leak(choices)))
        }
        _ => return Err(given.fail("expected true, false, a number or a name")),
    };
    let help = forever(fields.need("help")?.text()?);
    let param = Param { name: forever(name.to_string()), help, default, range };
    param.check(&param.default_value()).map_err(|problem| given.fail(problem))?;
    Ok(param)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::Document;

    fn parse(text: &str) -> Result<&'static [Param], ConfigError> {
        read(&Document::parse(text, "p.yaml").unwrap().root())
    }

    #[test]
    fn the_default_tells_the_type() {
        let all = "a: {default: true, help: h}\nb: {default: 3, from: 1, to: 9, help: h}\n\
                   c: {default: 99.9, from: 50, to: 100, help: h}\nd: {default: x, choices: [x, y], help: h}\n";
        let ranges: Vec<ParamRange> = parse(all).unwrap().iter().map(|p| p.range).collect();
        let expected = [
            ParamRange::Switch,
            ParamRange::Int(1, 9),
            ParamRange::Float(50.0, 100.0),
            ParamRange::Choice(&["x", "y"]),
        ];
        assert_eq!(ranges, expected);
    }

    #[test]
    fn defaults_outside_their_range_are_refused() {
        for (text, expected) in [
            (
                "a: {default: 0, from: 1, to: 9, help: h}",
                "p.yaml:1: a.default: parameter a: 0 does not fit",
            ),
            (
                "a: {default: z, choices: [x, y], help: h}",
                "p.yaml:1: a.default: parameter a: z does not fit",
            ),
            ("a: {default: 1, help: h}", "p.yaml:1: a: key \"from\" is missing"),
            ("a: {default: [1], help: h}", "p.yaml:1: a.default: expected true, false"),
            ("a: {default: 1, form: 1, to: 9, help: h}", "p.yaml:1: a: unknown key \"form\""),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
