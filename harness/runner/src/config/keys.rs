//! Keys of configuration files: one table from which the parser and the JSON schema are made.
//!
//! A key that is in a table is accepted by [`Node::keyed`](crate::config::yaml::Node::keyed) and
//! stands in the schema; a key that is in no table is refused by both. To add a key, add a line to
//! its table and read it in the parser.

use serde_json::{Map, Value, json};

/// One key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Whether a mapping without it is refused.
    pub(crate) needed: bool,
    pub(crate) shape: Shape,
    /// One sentence, shown by editors.
    pub(crate) help: &'static str,
}

impl Key {
    /// A key that must be there.
    pub(crate) const fn must(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, needed: true, shape, help }
    }

    /// A key that may be left out.
    pub(crate) const fn may(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, needed: false, shape, help }
    }
}

/// What a value looks like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A text that is not empty.
    Text,
    /// Lower-case letters, digits and hyphens.
    Name,
    /// A text that this regular expression describes.
    Form(&'static str),
    /// A whole number between two ends, both included.
    Whole(u64, u64),
    /// A number between two ends, both included.
    Real(f64, f64),
    /// A number above the first and not above the second.
    Above(f64, f64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list with at least one element, no two of them equal.
    Set(&'static Shape),
    /// A list with from so many to so many elements.
    List(&'static Shape, usize, Option<usize>),
    /// A mapping.
    Map(&'static [Key]),
    /// Any of these.
    Either(&'static [Shape]),
    /// Made from what is compiled in, for example the methods' parameters.
    Made(fn() -> Value),
}

/// Regular expression of a kebab-case name.
pub(crate) const NAME: &str = "^[a-z0-9-]+$";
/// Regular expression of a path that neither is absolute nor climbs.
pub(crate) const RELATIVE: &str =
    r"^(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)(?:/+(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))*$";
/// Regular expression of a text that is not blank.
const TEXT: &str = r"\S";

impl Shape {
    /// The JSON schema of a value.
    pub(crate) fn schema(&self) -> Value {
        match self {
            Shape::Text => json!({"type": "string", "pattern": TEXT}),
            Shape::Name => json!({"type": "string", "pattern": NAME}),
            Shape::Form(pattern) => json!({"type": "string", "pattern": pattern}),
            Shape::Whole(low, high) if *high == u64::MAX => {
                json!({"type": "integer", "minimum": low})
            }
            Shape::Whole(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
            Shape::Real(low, high) => json!({"type": "number", "minimum": low, "maximum": high}),
            Shape::Above(low, high) => {
                json!({"type": "number", "exclusiveMinimum": low, "maximum": high})
            }
            Shape::Switch => json!({"type": "boolean"}),
            Shape::Word(words) => json!({"enum": words}),
            Shape::Set(item) => json!({
                "type": "array", "items": item.schema(), "minItems": 1, "uniqueItems": true
            }),
            Shape::List(item, least, most) => {
                let mut list = json!({"type": "array", "items": item.schema(), "minItems": least});
                if let Some(most) = most {
                    list["maxItems"] = json!(most);
                }
                list
            }
            Shape::Map(keys) => mapping(keys),
            Shape::Either(shapes) => {
                let any: Vec<Value> = shapes.iter().map(Shape::schema).collect();
                json!({"anyOf": any})
            }
            Shape::Made(make) => make(),
        }
    }
}

/// The JSON schema of a mapping with these keys and no others.
pub(crate) fn mapping(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut schema = key.shape.schema();
        schema["description"] = json!(key.help);
        properties.insert(key.name.to_string(), schema);
    }
    let needed: Vec<&str> = keys.iter().filter(|k| k.needed).map(|k| k.name).collect();
    json!({
        "type": "object", "properties": properties, "required": needed, "additionalProperties": false
    })
}

/// The words of a choice, for [`Shape::Word`], from the pairs that the parser reads.
pub(crate) const fn words<T: Copy, const N: usize>(
    pairs: &[(&'static str, T); N],
) -> [&'static str; N] {
    let mut out = [""; N];
    let mut i = 0;
    while i < N {
        out[i] = pairs[i].0;
        i += 1;
    }
    out
}
