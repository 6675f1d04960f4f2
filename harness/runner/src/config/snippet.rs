//! A spec as a survey writes it, ready to paste.

use std::fmt::Write as _;

use quantbench_core::Spec;

/// The key `specs` with one spec; rules that follow from its widths are left out.
pub fn snippet(spec: &Spec) -> String {
    let standard = Spec::from_widths(spec.bits);
    let mut text = format!("specs:\n  - bits: {}\n", spec.bits);
    let mut rule = |key: &str, value: String, own: bool| {
        if own {
            let _ = writeln!(text, "    {key}: {value}");
        }
    };
    rule("sites", spec.sites.to_string(), spec.sites != standard.sites);
    rule("image", spec.image.to_string(), spec.image != standard.image);
    rule("first_last", spec.first_last.to_string(), spec.first_last != standard.first_last);
    // JSON texts are YAML texts, whatever characters a name holds.
    let quoted = |name: &String| serde_json::Value::from(name.as_str()).to_string();
    let exclude: Vec<String> = spec.exclude.iter().map(quoted).collect();
    rule("exclude", format!("[{}]", exclude.join(", ")), !exclude.is_empty());
    let own = spec.layer_bits.iter().map(|(layer, bits)| format!("{}: {bits}", quoted(layer)));
    let own: Vec<String> = own.collect();
    rule("layer_bits", format!("{{{}}}", own.join(", ")), !own.is_empty());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Survey;
    use quantbench_core::{FirstLast, ImageRule, SitesRule};

    #[test]
    fn a_snippet_in_a_survey_is_the_spec() {
        let plain = Spec::from_widths("w4a4".parse().unwrap());
        let names = ["/layer1/0/conv1/Conv", "it's \"odd\": [x]", "no", "4", "*"];
        let own = Spec {
            exclude: names[..3].iter().map(ToString::to_string).collect(),
            layer_bits: names[3..]
                .iter()
                .map(|n| ((*n).to_string(), "w8a32".parse().unwrap()))
                .collect(),
            ..plain.clone()
        };
        let all = Spec {
            sites: SitesRule::Deployable,
            image: ImageRule::Same,
            first_last: FirstLast::Fp32,
            ..own.clone()
        };
        for spec in [plain, own, all] {
            let head = "name: a\ndataset: d\nmodels: [m]\nmethods: [minmax]\n";
            let text = format!("{head}{}", snippet(&spec));
            let survey = Survey::parse(&text, "snippet").unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(survey.specs[0].value, spec, "{text}");
        }
    }
}
