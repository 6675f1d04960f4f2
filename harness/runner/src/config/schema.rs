//! JSON schemas of the configuration files, for editors and other programs.
//!
//! A schema says which keys there are, what their values look like and what they mean. What only
//! shows when names are resolved (a model of another data set, more images than there are) it
//! cannot say. A key without a value counts as left out for the parser; the schema flags it.

mod costs;
mod tables;

use serde_json::{Value, json};

use crate::config::keys::mapping;
use crate::config::{ModelCard, Survey};

/// A kind of configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A manifest in `configs/datasets`.
    Dataset,
    /// A card in `configs/models`.
    Model,
    /// A target in `configs/hardware`.
    Profile,
    /// A survey.
    Survey,
}

impl Kind {
    /// All kinds, in alphabetical order.
    pub const ALL: [Kind; 4] = [Kind::Dataset, Kind::Model, Kind::Profile, Kind::Survey];

    /// The word by which the command line and the committed file call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dataset => "dataset",
            Kind::Model => "model",
            Kind::Profile => "profile",
            Kind::Survey => "survey",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Dataset => "quantbench data set manifest",
            Kind::Model => "quantbench model card",
            Kind::Profile => "quantbench hardware profile",
            Kind::Survey => "quantbench survey",
        }
    }
}

/// The JSON schema (draft 7, which editors know best) of a kind of file.
pub fn schema(kind: Kind) -> Value {
    let mut schema = mapping(match kind {
        Kind::Dataset => &tables::DATASET,
        Kind::Model => ModelCard::keys(),
        Kind::Profile => &tables::PROFILE,
        Kind::Survey => Survey::keys(),
    });
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(kind.title());
    schema
}

/// The schema as it is printed and committed under `configs/schema`.
pub fn schema_text(kind: Kind) -> String {
    format!("{:#}\n", schema(kind))
}

#[cfg(test)]
mod checker;
#[cfg(test)]
mod tests;
