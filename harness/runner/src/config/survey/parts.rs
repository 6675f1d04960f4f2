//! Parts of a survey: an entry of `methods`, its parameters, `calibration`.

use std::collections::BTreeMap;

use quantbench_core::card::{Family, ParamValue, Params};
use serde_yaml::Value;

use super::keys::{ARTEFACT, CALIBRATION, FAMILIES, MAX_NUMBER, METHOD};
use super::{
    ArtefactEntry, At, Calibration, MethodEntry, named, names, numbers, placed, specs, unique,
};
use crate::config::error::ConfigError;
use crate::config::yaml::Node;

/// A bare name, or a mapping with what is its own; `standard` is the survey's calibration.
pub(super) fn method(node: &Node<'_>, standard: &Calibration) -> Result<MethodEntry, ConfigError> {
    if node.is_text() {
        return Ok(MethodEntry {
            name: named(node)?,
            params: placed(node, Params::new()),
            specs: None,
            models: None,
            seeds: None,
            calibration: standard.clone(),
            artefact: None,
        });
    }
    if node.any_fields()?.get("artefact").is_some() {
        return artefact(node, standard);
    }
    let fields = node.keyed(&METHOD)?;
    let params = match fields.get("params") {
        Some(given) => placed(given, params(given)?),
        None => placed(node, Params::new()),
    };
    Ok(MethodEntry {
        name: named(fields.need("name")?)?,
        params,
        specs: fields.get("specs").map(specs).transpose()?,
        models: fields.get("models").map(names).transpose()?,
        seeds: fields.get("seeds").map(numbers).transpose()?,
        calibration: calibration(fields.get("calibration"), standard)?,
        artefact: None,
    })
}

/// The file of another tool.
fn artefact(node: &Node<'_>, standard: &Calibration) -> Result<MethodEntry, ConfigError> {
    let fields = node.keyed(&ARTEFACT)?;
    let name = fields.need("name")?;
    Ok(MethodEntry {
        name: placed(name, name.name()?),
        params: placed(node, Params::new()),
        specs: Some(specs(fields.need("specs")?)?),
        models: fields.get("models").map(names).transpose()?,
        seeds: None,
        calibration: standard.clone(),
        artefact: Some(ArtefactEntry {
            file: named(fields.need("artefact")?)?,
            tool: fields.need("tool")?.text()?,
            note: fields.get("note").map(Node::text).transpose()?,
            family: fields
                .get("family")
                .map_or(Ok(Family::DataDependent), |n| n.choice(&FAMILIES))?,
        }),
    })
}

fn params(node: &Node<'_>) -> Result<Params, ConfigError> {
    let mut out = BTreeMap::new();
    for (key, value) in node.any_fields()?.entries {
        let read = match value.value() {
            Value::Bool(b) => ParamValue::Bool(*b),
            Value::String(s) => ParamValue::Text(s.clone()),
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(i), _) => ParamValue::Int(i),
                (None, Some(x)) => ParamValue::Float(x),
                (None, None) => return Err(value.fail("expected a number that fits 64 bits")),
            },
            _ => return Err(value.fail("expected true, false, a number or a name")),
        };
        out.insert(key, read);
    }
    Ok(out)
}

/// What is given, and `standard` for the rest.
pub(super) fn calibration(
    node: Option<&Node<'_>>,
    standard: &Calibration,
) -> Result<Calibration, ConfigError> {
    let mut out = standard.clone();
    let Some(node) = node else { return Ok(out) };
    let fields = node.keyed(&CALIBRATION)?;
    if let Some(given) = fields.get("images") {
        out.images = images(given)?;
    }
    if let Some(draws) = fields.get("draws") {
        out.draws = numbers(draws)?;
    }
    Ok(out)
}

/// One number of images, or a list of them.
fn images(node: &Node<'_>) -> Result<Vec<At<usize>>, ConfigError> {
    let count = |node: &Node<'_>| node.whole(1, MAX_NUMBER).map(|n| n as usize);
    if node.value().is_sequence() {
        return unique(&node.filled_list()?, count);
    }
    Ok(vec![placed(node, count(node)?)])
}
