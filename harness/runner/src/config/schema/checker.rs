//! A check of a value against the part of JSON schema that ours use, for the tests.

use regex_lite::Regex;
use serde_json::Value;

/// The first complaint about a value; none if it fits.
///
/// # Panics
/// On a keyword that it does not know, so that nothing goes unchecked.
pub(super) fn complaint(schema: &Value, value: &Value) -> Option<String> {
    let keywords = schema.as_object().unwrap();
    keywords.iter().find_map(|(keyword, rule)| one(schema, keyword, rule, value))
}

fn one(schema: &Value, keyword: &str, rule: &Value, value: &Value) -> Option<String> {
    let refuse = |wrong: bool| wrong.then(|| format!("{value} is refused by {keyword}: {rule}"));
    let (items, text) = (value.as_array(), value.as_str());
    let (object, number) = (value.as_object(), value.as_f64());
    match keyword {
        "$schema" | "title" | "description" | "default" | "then" => None,
        "type" => refuse(!is_of(rule, value)),
        "enum" => refuse(!rule.as_array().unwrap().contains(value)),
        "const" => refuse(rule != value),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
            refuse(text.is_some_and(|t| !pattern.is_match(t)))
        }
        "minimum" => refuse(number.is_some_and(|n| n < rule.as_f64().unwrap())),
        "maximum" => refuse(number.is_some_and(|n| n > rule.as_f64().unwrap())),
        "exclusiveMinimum" => refuse(number.is_some_and(|n| n <= rule.as_f64().unwrap())),
        "minItems" => refuse(items.is_some_and(|i| (i.len() as u64) < rule.as_u64().unwrap())),
        "maxItems" => refuse(items.is_some_and(|i| i.len() as u64 > rule.as_u64().unwrap())),
        "uniqueItems" => {
            refuse(items.is_some_and(|i| (1..i.len()).any(|at| i[..at].contains(&i[at]))))
        }
        "items" => items?.iter().find_map(|item| complaint(rule, item)),
        "required" => {
            let has = |key: &Value| object.is_none_or(|o| o.contains_key(key.as_str().unwrap()));
            refuse(!rule.as_array().unwrap().iter().all(has))
        }
        "properties" => object?.iter().find_map(|(key, value)| complaint(rule.get(key)?, value)),
        "additionalProperties" => object?.iter().find_map(|(key, value)| {
            let known = schema.get("properties").is_some_and(|p| p.get(key).is_some());
            match rule {
                _ if known || *rule == Value::Bool(true) => None,
                Value::Bool(false) => Some(format!("{key} is not known")),
                rule => complaint(rule, value),
            }
        }),
        "anyOf" => {
            let all: Vec<Option<String>> =
                rule.as_array().unwrap().iter().map(|s| complaint(s, value)).collect();
            refuse(all.iter().all(Option::is_some))
        }
        "allOf" => rule.as_array().unwrap().iter().find_map(|s| complaint(s, value)),
        "if" => match complaint(rule, value) {
            None => complaint(&schema["then"], value),
            Some(_) => None,
        },
        other => panic!("the checker does not know {other}"),
    }
}

fn is_of(rule: &Value, value: &Value) -> bool {
    if let Some(several) = rule.as_array() {
        return several.iter().any(|rule| is_of(rule, value));
    }
    match rule.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the checker does not know type {other}"),
    }
}
