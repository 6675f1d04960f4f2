//! A profile: one target as data.

use quantbench_core::names::suggestion;
use quantbench_core::{Bits, SitesRule};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a number for this target comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// On this machine, when its CPU has the instructions.
    Measured,
    /// Another instruction set, through an emulator.
    Emulated,
    /// By a model of the hardware; nothing runs.
    Modelled,
}

impl std::fmt::Display for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Execution::Measured => "measured",
            Execution::Emulated => "emulated",
            Execution::Modelled => "modelled",
        })
    }
}

/// What a target executes in integers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Weight widths with integer kernels or arithmetic units, ascending.
    pub weight_bits: Vec<u8>,
    /// Activation widths, ascending.
    pub activation_bits: Vec<u8>,
    /// Whether ternary weights have a mapping of their own.
    pub ternary: bool,
    /// Whether weights may have a scale per output channel.
    pub per_channel_weights: bool,
    /// Placement of quantizers that lets every layer run in integers.
    pub sites: SitesRule,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Unique kebab-case name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// How its numbers come about.
    pub execution: Execution,
    /// What it executes.
    pub executes: Limits,
    /// Where the limits were read.
    pub source: String,
}

/// A profile that cannot be read or contradicts itself.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Not YAML, an unknown key, a wrong type.
    #[error("{origin}: {detail}")]
    Parse {
        /// File.
        origin: String,
        /// Where and what, with the near match of an unknown key.
        detail: String,
    },
    /// A value outside its range.
    #[error("{origin}: {key}: {value} does not fit; expected {expected}")]
    Value {
        /// File.
        origin: String,
        /// Key.
        key: &'static str,
        /// What is there.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
}

const KEYS: [&str; 10] = [
    "name",
    "summary",
    "execution",
    "executes",
    "source",
    "weight_bits",
    "activation_bits",
    "ternary",
    "per_channel_weights",
    "sites",
];

const BUILTIN: [(&str, &str); 5] = [
    ("arm-neon.yaml", include_str!("../../../configs/hardware/arm-neon.yaml")),
    ("bitfusion.yaml", include_str!("../../../configs/hardware/bitfusion.yaml")),
    ("mcu-m4.yaml", include_str!("../../../configs/hardware/mcu-m4.yaml")),
    ("systolic-ws-64.yaml", include_str!("../../../configs/hardware/systolic-ws-64.yaml")),
    ("x86-avx2.yaml", include_str!("../../../configs/hardware/x86-avx2.yaml")),
];

impl Profile {
    /// Reads a profile; `origin` is the file's name for messages.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileError> {
        let profile: Profile = serde_yaml::from_str(text).map_err(|e| {
            let detail = e.to_string();
            let near = detail
                .split("unknown field `")
                .nth(1)
                .and_then(|rest| rest.split('`').next())
                .map(|key| suggestion(key, &KEYS))
                .unwrap_or_default();
            ProfileError::Parse { origin: origin.to_string(), detail: detail + &near }
        })?;
        profile.check_values(origin)?;
        Ok(profile)
    }

    /// The profiles that are compiled in, by name.
    ///
    /// # Errors
    /// Never with the shipped files: a test parses them all.
    pub fn builtin() -> Result<Vec<Self>, ProfileError> {
        BUILTIN.iter().map(|(file, text)| Self::parse(text, file)).collect()
    }

    fn check_values(&self, origin: &str) -> Result<(), ProfileError> {
        let fail = |key, value: String, expected| {
            Err(ProfileError::Value { origin: origin.to_string(), key, value, expected })
        };
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(kebab) {
            return fail(
                "name",
                format!("{:?}", self.name),
                "lower-case letters, digits and hyphens",
            );
        }
        for (key, widths) in [
            ("executes.weight_bits", &self.executes.weight_bits),
            ("executes.activation_bits", &self.executes.activation_bits),
        ] {
            let sorted = widths.windows(2).all(|w| w[0] < w[1]);
            if widths.is_empty() || !sorted || widths.iter().any(|&b| Bits::new(b).is_err()) {
                return fail(
                    key,
                    format!("{widths:?}"),
                    "ascending widths of 1 to 8 bits, at least one",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_profiles_parse_and_are_named_like_their_files() {
        for (profile, (file, _)) in Profile::builtin().unwrap().iter().zip(BUILTIN) {
            assert_eq!(format!("{}.yaml", profile.name), file);
        }
    }

    #[test]
    fn an_unknown_key_gets_its_line_and_a_near_match() {
        let text = BUILTIN[0].1.replace("ternary:", "ternery:");
        let message = Profile::parse(&text, "x.yaml").unwrap_err().to_string();
        assert!(message.contains("line"), "{message}");
        assert!(message.contains("did you mean \"ternary\""), "{message}");
    }

    #[test]
    fn widths_must_ascend() {
        let text = BUILTIN[4].1.replace("weight_bits: [8]", "weight_bits: [8, 4]");
        let message = Profile::parse(&text, "x.yaml").unwrap_err().to_string();
        assert!(message.contains("executes.weight_bits: [8, 4]"), "{message}");
    }
}
