//! Reading YAML with errors that name file, line and key.
//!
//! The text is parsed into a plain value first; typed readers then walk that value and, where
//! something does not fit, ask the YAML parser itself for the line of the offending key.

use std::fmt;

use quantbench_core::names::suggestion;
use serde_yaml::Value;

use crate::config::error::ConfigError;
use crate::config::keys::Key;
use crate::config::locate::{Step, locate, second_line};

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Document {
    origin: String,
    text: String,
    root: Value,
}

impl Document {
    /// Parses `text`; `origin` is the file's name for messages.
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let root = serde_yaml::from_str(text).map_err(|error| {
            let message = error.to_string();
            let origin = origin.to_string();
            if let Some(key) = message.split("duplicate entry with key \"").nth(1) {
                let key = key.split('"').next().unwrap_or_default();
                let message = format!("key {key:?} is there twice; keep one");
                return ConfigError::Key { origin, line: second_line(text, key), message };
            }
            let message = message.split(" at line ").next().unwrap_or(&message).to_string();
            ConfigError::Syntax { origin, line: error.location().map(|p| p.line()), message }
        })?;
        Ok(Self { origin: origin.to_string(), text: text.to_string(), root })
    }

    /// The whole file.
    pub(crate) fn root(&self) -> Node<'_> {
        Node { document: self, path: Vec::new(), value: &self.root }
    }
}

/// A value in its place.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    document: &'a Document,
    path: Vec<Step>,
    value: &'a Value,
}

impl<'a> Node<'a> {
    /// Path of keys as messages write it, for example `methods[2].params`.
    pub(crate) fn path(&self) -> String {
        written(&self.path)
    }

    /// Line of this value's key, counted from one.
    pub(crate) fn line(&self) -> Option<usize> {
        locate(&self.document.text, &self.path)
    }

    /// An error about this value.
    pub(crate) fn fail(&self, problem: impl fmt::Display) -> ConfigError {
        let path = self.path();
        let message =
            if path.is_empty() { problem.to_string() } else { format!("{path}: {problem}") };
        ConfigError::Key { origin: self.document.origin.clone(), line: self.line(), message }
    }

    /// An error about a value of the wrong type.
    fn mismatch(&self, expected: impl fmt::Display) -> ConfigError {
        self.fail(format_args!("{} does not fit; expected {expected}", shown(self.value)))
    }

    /// A mapping whose keys are all among `known`.
    pub(crate) fn fields(&self, known: &[&str]) -> Result<Fields<'a>, ConfigError> {
        let fields = self.any_fields()?;
        for (key, node) in &fields.entries {
            if !known.contains(&key.as_str()) {
                let inside = written(&self.path);
                let whose = if inside.is_empty() { String::new() } else { format!("{inside}: ") };
                let message = format!("{whose}unknown key {key:?}{}", suggestion(key, known));
                let origin = self.document.origin.clone();
                return Err(ConfigError::Key { origin, line: node.line(), message });
            }
        }
        Ok(fields)
    }

    /// A mapping whose keys are all in a table.
    pub(crate) fn keyed(&self, table: &[Key]) -> Result<Fields<'a>, ConfigError> {
        self.fields(&table.iter().map(|key| key.name).collect::<Vec<_>>())
    }

    /// A mapping with whatever keys.
    pub(crate) fn any_fields(&self) -> Result<Fields<'a>, ConfigError> {
        let Value::Mapping(mapping) = self.value else {
            return Err(self.mismatch("a mapping of keys to values"));
        };
        let mut entries = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            let Value::String(key) = key else {
                return Err(self.fail(format_args!("key {} is not a name", shown(key))));
            };
            entries.push((key.clone(), self.child(Step::Key(key.clone()), value)));
        }
        Ok(Fields { owner: self.clone(), entries })
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Result<Vec<Node<'a>>, ConfigError> {
        let Value::Sequence(items) = self.value else {
            return Err(self.mismatch("a list, for example [a, b]"));
        };
        Ok(items.iter().enumerate().map(|(i, v)| self.child(Step::Index(i), v)).collect())
    }

    /// The elements of a list with at least one.
    pub(crate) fn filled_list(&self) -> Result<Vec<Node<'a>>, ConfigError> {
        let items = self.list()?;
        if items.is_empty() { Err(self.mismatch("at least one element")) } else { Ok(items) }
    }

    fn child(&self, step: Step, value: &'a Value) -> Node<'a> {
        let mut path = self.path.clone();
        path.push(step);
        Node { document: self.document, path, value }
    }

    /// Whether this is a bare string.
    pub(crate) fn is_text(&self) -> bool {
        self.value.is_string()
    }

    /// The value itself.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// A string that is not empty.
    pub(crate) fn text(&self) -> Result<String, ConfigError> {
        match self.value {
            Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(self.mismatch("a text")),
        }
    }

    /// A kebab-case name.
    pub(crate) fn name(&self) -> Result<String, ConfigError> {
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match self.text() {
            Ok(text) if text.chars().all(kebab) => Ok(text),
            _ => Err(self.mismatch("a name of lower-case letters, digits and hyphens")),
        }
    }

    /// A whole number between two ends, both included.
    pub(crate) fn whole(&self, low: u64, high: u64) -> Result<u64, ConfigError> {
        match self.value.as_u64() {
            Some(n) if (low..=high).contains(&n) => Ok(n),
            _ if high == u64::MAX => {
                Err(self.mismatch(format_args!("a whole number of at least {low}")))
            }
            _ => Err(self.mismatch(format_args!("a whole number from {low} to {high}"))),
        }
    }

    /// A real number between two ends, both included.
    pub(crate) fn real(&self, low: f64, high: f64) -> Result<f64, ConfigError> {
        match self.value.as_f64() {
            Some(x) if (low..=high).contains(&x) => Ok(x),
            _ => Err(self.mismatch(format_args!("a number from {low} to {high}"))),
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.mismatch("true or false"))
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let names: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
        let given = match self.value {
            Value::String(text) => text.as_str(),
            _ => return Err(self.mismatch(format_args!("one of {}", names.join(", ")))),
        };
        words.iter().find(|(w, _)| *w == given).map(|(_, v)| *v).ok_or_else(|| {
            self.fail(format_args!("unknown value {given:?}{}", suggestion(given, &names)))
        })
    }
}

/// The entries of a mapping.
pub(crate) struct Fields<'a> {
    owner: Node<'a>,
    pub(crate) entries: Vec<(String, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// The value of a key, if it is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.entries.iter().find(|(k, n)| k == key && !n.value.is_null()).map(|(_, n)| n)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &str) -> Result<&Node<'a>, ConfigError> {
        self.get(key).ok_or_else(|| self.owner.fail(format_args!("key {key:?} is missing; add it")))
    }
}

fn written(path: &[Step]) -> String {
    path.iter().fold(String::new(), |mut out, step| {
        match step {
            Step::Key(key) if out.is_empty() => out.push_str(key),
            Step::Key(key) => {
                out.push('.');
                out.push_str(key);
            }
            Step::Index(i) => {
                out.push('[');
                out.push_str(&i.to_string());
                out.push(']');
            }
        }
        out
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "an empty value".to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) if s.is_empty() => "an empty text".to_string(),
        Value::String(s) => format!("{s:?}"),
        Value::Sequence(s) if s.is_empty() => "an empty list".to_string(),
        Value::Sequence(_) => "a list".to_string(),
        Value::Mapping(_) => "a mapping".to_string(),
        Value::Tagged(t) => format!("a value tagged {}", t.tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_file_line_key_and_what_was_expected() {
        let document = Document::parse("a: 1\nlist:\n  - {b: x}\n", "f.yaml").unwrap();
        let root = document.root();
        let fields = root.fields(&["a", "list"]).unwrap();
        let message = fields.need("a").unwrap().text().unwrap_err().to_string();
        assert_eq!(message, "f.yaml:1: a: 1 does not fit; expected a text");
        let element = fields.need("list").unwrap().list().unwrap().remove(0);
        let b = element.fields(&["b"]).unwrap();
        let message = b.need("b").unwrap().whole(1, 9).unwrap_err().to_string();
        assert_eq!(
            message,
            "f.yaml:3: list[0].b: \"x\" does not fit; expected a whole number from 1 to 9"
        );
        let message = element.fields(&["bits"]).err().unwrap().to_string();
        assert_eq!(
            message,
            "f.yaml:3: list[0]: unknown key \"b\"; did you mean \"bits\"? (known: bits)"
        );
        let message = fields.need("c").unwrap_err().to_string();
        assert_eq!(message, "f.yaml:1: key \"c\" is missing; add it");
    }

    #[test]
    fn text_that_is_not_yaml_is_refused_with_its_line() {
        let message = Document::parse("a: 1\nb: [1, 2\n", "f.yaml").unwrap_err().to_string();
        assert!(message.starts_with("f.yaml:"), "{message}");
        assert!(message.contains("not valid YAML"), "{message}");
        let message = Document::parse("a: 1\nb: 1\n\"a\": 2\n", "f.yaml").unwrap_err();
        assert_eq!(message.to_string(), "f.yaml:3: key \"a\" is there twice; keep one");
    }
}
