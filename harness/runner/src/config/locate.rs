//! Where in a YAML text a key stands.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Line of the key (or list element) at the end of `path`.
///
/// Reads the text once more with a visitor that gives up on purpose exactly there: the parser then
/// reports the position. `None` only if the path is not in the text.
pub(crate) fn locate(text: &str, path: &[Step]) -> Option<usize> {
    let seed = Seek { path };
    let error = seed.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.location().map(|place| place.line())
}

const HERE: &str = "here";

/// Walks to the end of a path and fails there.
#[derive(Clone, Copy)]
struct Seek<'p> {
    path: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            return deserializer.deserialize_any(GiveUp);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path that was walked before")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        let last = rest.is_empty();
        while let Some(found) = map.next_key_seed(Match { wanted, stop: last })? {
            if found {
                return map.next_value_seed(Seek { path: rest });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        for _ in 0..*wanted {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Seek { path: rest })?;
        Ok(())
    }
}

/// Whether a key is the wanted one; gives up at it if it is the last of the path.
struct Match<'p> {
    wanted: &'p str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for Match<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Match<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.wanted {
            true if self.stop => Err(E::custom(HERE)),
            found => Ok(found),
        }
    }
}

/// Fails at whatever value it meets, so that the parser reports where.
struct GiveUp;

impl<'de> Visitor<'de> for GiveUp {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HERE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // The first key lies on the line of the element; the mapping's own mark may not.
        map.next_key_seed(Match { wanted: "", stop: false })?;
        Err(A::Error::custom(HERE))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<(), A::Error> {
        Err(A::Error::custom(HERE))
    }
}

/// The second line that begins with this key: the parser does not say where it found it again.
pub(crate) fn second_line(text: &str, key: &str) -> Option<usize> {
    let is_key = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ").trim_start_matches(['"', '\'']);
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).starts_with(':'))
    };
    text.lines().enumerate().filter(|(_, line)| is_key(line)).nth(1).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\nname: x\nmethods:\n  - minmax\n  - {name: twn, params: {a: 1}}\n  - name: mse\n    params:\n      \"grid\": 3\nspecs: [w8a8,\n  w4a4]\n";

    fn line(path: &[Step]) -> Option<usize> {
        locate(TEXT, path)
    }

    fn key(name: &str) -> Step {
        Step::Key(name.to_string())
    }

    #[test]
    fn keys_and_elements_are_found_in_block_flow_and_quoted_form() {
        assert_eq!(line(&[key("name")]), Some(2));
        assert_eq!(line(&[key("methods")]), Some(3));
        assert_eq!(line(&[key("methods"), Step::Index(0)]), Some(4));
        assert_eq!(line(&[key("methods"), Step::Index(1)]), Some(5));
        assert_eq!(line(&[key("methods"), Step::Index(1), key("params"), key("a")]), Some(5));
        assert_eq!(line(&[key("methods"), Step::Index(2)]), Some(6));
        assert_eq!(line(&[key("methods"), Step::Index(2), key("params"), key("grid")]), Some(8));
        assert_eq!(line(&[key("specs"), Step::Index(1)]), Some(10));
        assert_eq!(line(&[key("nothing")]), None);
    }

    #[test]
    fn the_second_of_two_equal_keys_is_found() {
        assert_eq!(second_line("a: 1\nab: 2\n - \"a\": 3\n", "a"), Some(3));
        assert_eq!(second_line("a: 1\n", "a"), None);
    }
}
