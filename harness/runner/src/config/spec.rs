//! A spec as a survey writes it.

use std::collections::BTreeMap;

use quantbench_core::{Spec, Widths};

use crate::config::error::ConfigError;
use crate::config::survey::keys::{FIRST_LAST, IMAGE, SITES, SPEC};
use crate::config::survey::names;
use crate::config::yaml::Node;

/// A bare label such as `w4a4`, or a mapping with the rules beside the widths.
pub(crate) fn spec(node: &Node<'_>) -> Result<Spec, ConfigError> {
    let spec = if node.is_text() {
        Spec::from_widths(widths(node)?)
    } else {
        let fields = node.keyed(&SPEC)?;
        let mut spec = Spec::from_widths(widths(fields.need("bits")?)?);
        if let Some(sites) = fields.get("sites") {
            spec.sites = sites.choice(&SITES)?;
        }
        if let Some(image) = fields.get("image") {
            spec.image = image.choice(&IMAGE)?;
        }
        if let Some(first_last) = fields.get("first_last") {
            spec.first_last = first_last.choice(&FIRST_LAST)?;
        }
        if let Some(exclude) = fields.get("exclude") {
            let names = names(exclude)?;
            spec.exclude = names.into_iter().map(|at| at.value).collect();
        }
        if let Some(own) = fields.get("layer_bits") {
            spec.layer_bits = layer_bits(own)?;
        }
        spec
    };
    if spec.bits.is_fp32() {
        return Err(
            node.fail("w32a32 quantizes nothing; FP32 is a row of every survey, leave it out")
        );
    }
    Ok(spec)
}

/// Widths of single layers.
fn layer_bits(node: &Node<'_>) -> Result<BTreeMap<String, Widths>, ConfigError> {
    let own = |(layer, node): (String, Node<'_>)| {
        let widths = widths(&node)?;
        if widths.is_fp32() {
            return Err(node.fail("w32a32 quantizes nothing; name the layer under exclude"));
        }
        Ok((layer, widths))
    };
    node.any_fields()?.entries.into_iter().map(own).collect()
}

fn widths(node: &Node<'_>) -> Result<Widths, ConfigError> {
    let text = node.text().map_err(|_| {
        node.fail("expected a pair of widths such as w8a8 or w2ta8, or a mapping with key bits")
    })?;
    text.parse().map_err(|error| node.fail(error))
}
