//! Rules of a spec for single layers, matched with the layers of a graph.

use glob::Pattern;
use thiserror::Error;

use crate::bits::Widths;
use crate::names::suggestion;
use crate::spec::Spec;

/// What a spec says about one layer beyond its common widths and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerRule {
    /// Nothing.
    Common,
    /// It stays in FP32.
    Excluded,
    /// It has these widths.
    Own(Widths),
}

/// A rule that does not fit the layers of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// No layer has this name, or none matches the pattern.
    #[error("{key}: there is no layer {name:?}{near}")]
    Unknown {
        /// `exclude` or `layer_bits`.
        key: &'static str,
        /// Name or pattern.
        name: String,
        /// Near match and the known names.
        near: String,
    },
    /// Two entries name the same layer.
    #[error("layer {layer:?} is named twice, by {first} and by {second}; keep one of them")]
    Twice {
        /// The layer.
        layer: String,
        /// The entry that comes first.
        first: String,
        /// The other one.
        second: String,
    },
}

impl Spec {
    /// The rule for each of `layers`, which are the names of a graph's layers in its order.
    ///
    /// # Errors
    /// An entry that names no layer, or two entries that name the same one.
    pub fn layer_rules(&self, layers: &[&str]) -> Result<Vec<LayerRule>, RuleError> {
        let excluded = self.exclude.iter().map(|name| ("exclude", name, LayerRule::Excluded));
        let own = self.layer_bits.iter().map(|(n, &bits)| ("layer_bits", n, LayerRule::Own(bits)));
        let mut rules = vec![LayerRule::Common; layers.len()];
        let mut by: Vec<Option<String>> = vec![None; layers.len()];
        for (key, name, rule) in excluded.chain(own) {
            let entry = format!("{key} {name:?}");
            let found = matching(name, layers);
            if found.is_empty() {
                let near = suggestion(name, layers);
                return Err(RuleError::Unknown { key, name: name.clone(), near });
            }
            for at in found {
                if let Some(first) = &by[at] {
                    let layer = layers[at].to_string();
                    return Err(RuleError::Twice { layer, first: first.clone(), second: entry });
                }
                (rules[at], by[at]) = (rule, Some(entry.clone()));
            }
        }
        Ok(rules)
    }
    /// The same spec with the rules of single layers written out by layer, without patterns.
    ///
    /// # Errors
    /// As [`Spec::layer_rules`].
    pub fn written_out(&self, layers: &[&str]) -> Result<Spec, RuleError> {
        let rules = self.layer_rules(layers)?;
        let mut spec = self.clone();
        (spec.exclude, spec.layer_bits) = Default::default();
        for (layer, rule) in layers.iter().zip(rules) {
            match rule {
                LayerRule::Common => {}
                LayerRule::Excluded => _ = spec.exclude.insert((*layer).to_string()),
                LayerRule::Own(own) => _ = spec.layer_bits.insert((*layer).to_string(), own),
            }
        }
        Ok(spec)
    }
}

/// Positions of the layers that a name or pattern means; a layer of exactly that name wins over
/// what the text means as a pattern.
fn matching(name: &str, layers: &[&str]) -> Vec<usize> {
    let at = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
        layers.iter().enumerate().filter(|(_, l)| is(l)).map(|(i, _)| i).collect()
    };
    let exact = at(&|layer| layer == name);
    match Pattern::new(name) {
        Ok(pattern) if exact.is_empty() => at(&|layer| pattern.matches(layer)),
        _ => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: [&str; 4] = ["/stem/Conv", "/a/conv1/Conv", "/a/conv2/Conv", "fc[0]"];

    fn spec(exclude: &[&str], own: &[(&str, &str)]) -> Spec {
        let exclude = exclude.iter().map(ToString::to_string).collect();
        let own = own.iter().map(|(n, b)| ((*n).to_string(), b.parse().unwrap())).collect();
        Spec { exclude, layer_bits: own, ..Spec::from_widths("w4a4".parse().unwrap()) }
    }

    #[test]
    fn names_and_patterns_find_their_layers() {
        use LayerRule::{Common, Excluded, Own};
        let own = Own("w8a4".parse().unwrap());
        for (exclude, bits, want) in [
            (&[][..], &[][..], [Common; 4]),
            (&["/stem/Conv"], &[], [Excluded, Common, Common, Common]),
            (&["/a/*"], &[("fc[0]", "w8a4")], [Common, Excluded, Excluded, own]),
            (&["/a/conv?/Conv"], &[], [Common, Excluded, Excluded, Common]),
            (&[], &[("*Conv", "w8a4")], [own, own, own, Common]),
        ] {
            let spec = spec(exclude, bits);
            assert_eq!(spec.layer_rules(&LAYERS), Ok(want.to_vec()), "{exclude:?}");
            let plain = spec.written_out(&LAYERS).unwrap();
            assert!(plain.exclude.iter().chain(plain.layer_bits.keys()).all(|n| !n.contains('*')));
            assert_eq!(plain.layer_rules(&LAYERS), Ok(want.to_vec()));
        }
    }

    #[test]
    fn entries_that_do_not_fit_are_named() {
        let text = |spec: Spec| spec.layer_rules(&LAYERS).unwrap_err().to_string();
        let near = text(spec(&["/a/conv3/Conv"], &[]));
        assert!(
            near.starts_with("exclude: there is no layer \"/a/conv3/Conv\"; did you mean"),
            "{near}"
        );
        let none = text(spec(&[], &[("b*", "w8a8")]));
        assert!(none.contains("layer_bits: there is no layer \"b*\"; known: /stem/Conv"), "{none}");
        // A pattern that is none is a name like any other.
        assert!(text(spec(&["a[", "/a/*"], &[])).contains("no layer \"a[\""));
        let twice = text(spec(&["/a/*"], &[("/a/conv1/Conv", "w8a8")]));
        let want = "layer \"/a/conv1/Conv\" is named twice, by exclude \"/a/*\" and by layer_bits";
        assert!(twice.starts_with(want), "{twice}");
    }
}
