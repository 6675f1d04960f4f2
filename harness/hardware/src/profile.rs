//! A profile: one target as data.

use quantbench_core::SitesRule;
use quantbench_core::names::suggestion;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cost::{CostSection, ModelName};

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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// The file that it was read from, for messages.
    #[serde(skip)]
    pub origin: String,
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
    /// How its cost is modelled, for targets of which there is a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostSection>,
}

/// A profile as the file states it; the kind of the cost section is known by then, so that
/// messages about its keys have their place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<C> {
    name: String,
    summary: String,
    execution: Execution,
    executes: Limits,
    source: String,
    cost: Option<C>,
}

/// The kind of the cost section, read first.
#[derive(Deserialize)]
struct Peek {
    cost: Option<PeekCost>,
}

/// See [`Peek`].
#[derive(Deserialize)]
struct PeekCost {
    model: ModelName,
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

const BUILTIN: [(&str, &str); 14] = [
    ("arm-neon.yaml", include_str!("../../../configs/hardware/arm-neon.yaml")),
    ("bismo.yaml", include_str!("../../../configs/hardware/bismo.yaml")),
    ("bitfusion.yaml", include_str!("../../../configs/hardware/bitfusion.yaml")),
    ("edge-tpu.yaml", include_str!("../../../configs/hardware/edge-tpu.yaml")),
    ("eyeriss.yaml", include_str!("../../../configs/hardware/eyeriss.yaml")),
    ("loom.yaml", include_str!("../../../configs/hardware/loom.yaml")),
    ("mcu-m4.yaml", include_str!("../../../configs/hardware/mcu-m4.yaml")),
    ("mcu-m7.yaml", include_str!("../../../configs/hardware/mcu-m7.yaml")),
    ("stripes.yaml", include_str!("../../../configs/hardware/stripes.yaml")),
    ("systolic-os-16.yaml", include_str!("../../../configs/hardware/systolic-os-16.yaml")),
    ("systolic-os-32.yaml", include_str!("../../../configs/hardware/systolic-os-32.yaml")),
    ("systolic-ws-64.yaml", include_str!("../../../configs/hardware/systolic-ws-64.yaml")),
    ("x86-avx2.yaml", include_str!("../../../configs/hardware/x86-avx2.yaml")),
    ("x86-native.yaml", include_str!("../../../configs/hardware/x86-native.yaml")),
];

impl Profile {
    /// Reads a profile; `origin` is the file's name for messages.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileError> {
        let profile = match read::<Peek>(text, origin)?.cost.map(|cost| cost.model) {
            None => Self::of(read::<File<IgnoredAny>>(text, origin)?, |_| None),
            Some(ModelName::Bitfusion) => Self::with(text, origin, CostSection::Bitfusion)?,
            Some(ModelName::Bitserial) => Self::with(text, origin, CostSection::Bitserial)?,
            Some(ModelName::EdgeTpu) => Self::with(text, origin, CostSection::EdgeTpu)?,
            Some(ModelName::Eyeriss) => Self::with(text, origin, CostSection::Eyeriss)?,
            Some(ModelName::Mcu) => Self::with(text, origin, CostSection::Mcu)?,
            Some(ModelName::Systolic) => Self::with(text, origin, CostSection::Systolic)?,
        };
        let profile = Self { origin: origin.to_string(), ..profile };
        profile.check_values(origin)?;
        Ok(profile)
    }

    fn with<C: DeserializeOwned>(
        text: &str,
        origin: &str,
        section: fn(C) -> CostSection,
    ) -> Result<Self, ProfileError> {
        Ok(Self::of(read::<File<C>>(text, origin)?, |cost| Some(section(cost))))
    }

    fn of<C>(file: File<C>, section: impl FnOnce(C) -> Option<CostSection>) -> Self {
        Self {
            origin: String::new(),
            name: file.name,
            summary: file.summary,
            execution: file.execution,
            executes: file.executes,
            source: file.source,
            cost: file.cost.and_then(section),
        }
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
            let known = |b: &u8| (1..=16).contains(b) || *b == 32;
            if widths.is_empty() || !sorted || !widths.iter().all(known) {
                return fail(
                    key,
                    format!("{widths:?}"),
                    "ascending widths of 1 to 16 bits or 32 (FP32), at least one",
                );
            }
        }
        self.check_steps(origin)
    }

    /// Steps that do not ascend would hide each other.
    fn check_steps(&self, origin: &str) -> Result<(), ProfileError> {
        let Some(CostSection::Eyeriss(model)) = &self.cost else { return Ok(()) };
        let widths: Vec<u64> = model.wide_maps.steps.iter().map(|s| s.wider_than.get()).collect();
        if widths.windows(2).all(|w| w[0] < w[1]) {
            return Ok(());
        }
        Err(ProfileError::Value {
            origin: origin.to_string(),
            key: "cost.wide_maps.steps",
            value: format!("wider_than {widths:?}"),
            expected: "ascending widths",
        })
    }
}

/// Reads one view of a profile; an unknown key or word gets its near match among those that the
/// place knows.
fn read<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T, ProfileError> {
    serde_yaml::from_str(text).map_err(|e| {
        let detail = e.to_string();
        let near = near_match(&detail).unwrap_or_default();
        ProfileError::Parse { origin: origin.to_string(), detail: detail + &near }
    })
}

/// The end of a message about an unknown key or word, from the parser's list of known ones.
fn near_match(detail: &str) -> Option<String> {
    let starts = ["unknown field `", "unknown variant `"];
    let (_, rest) = starts.iter().find_map(|start| detail.split_once(start))?;
    let (given, rest) = rest.split_once('`')?;
    let (_, known) = rest.split_once("expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    Some(suggestion(given, &known))
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
        let text = BUILTIN[0].1.replace("weight_bits: [8]", "weight_bits: [8, 4]");
        let message = Profile::parse(&text, "x.yaml").unwrap_err().to_string();
        assert!(message.contains("executes.weight_bits: [8, 4]"), "{message}");
    }

    fn text(name: &str) -> &'static str {
        BUILTIN.iter().find(|(file, _)| *file == name).unwrap().1
    }

    #[test]
    fn constants_that_cannot_be_are_refused_with_key_and_line() {
        for (file, from, to, expected) in [
            (
                "systolic-ws-64.yaml",
                "rows: 64",
                "rows: 0",
                "cost.array.rows: 0 does not fit; a whole number",
            ),
            ("systolic-ws-64.yaml", "rows: 64", "rows: 1.5", "cost.array.rows: 1.5 does not fit"),
            (
                "systolic-ws-64.yaml",
                "mhz: 480",
                "mhz: -480",
                "cost.array.mhz: -480 does not fit; a number above 0",
            ),
            (
                "bitfusion.yaml",
                "gb_per_s: 12",
                "gb_per_s: .nan",
                "cost.dram.gb_per_s: NaN does not fit",
            ),
            (
                "edge-tpu.yaml",
                "utilisation: 0.70",
                "utilisation: 70",
                "cost.units.utilisation: 70 does not fit; a number above 0 and up to 1",
            ),
            ("systolic-ws-64.yaml", "columns:", "colums:", "did you mean \"columns\"?"),
            (
                "systolic-ws-64.yaml",
                "dataflow: weight-",
                "dataflow: weigt-",
                "did you mean \"weight-stationary\"?",
            ),
            (
                "systolic-ws-64.yaml",
                "model: systolic",
                "model: sistolic",
                "did you mean \"systolic\"?",
            ),
            ("systolic-ws-64.yaml", "  model: systolic\n", "", "missing field `model`"),
            (
                "mcu-m4.yaml",
                "    source: energy over time of the same results\n",
                "",
                "missing field `source`",
            ),
            (
                "mcu-m4.yaml",
                "source: energy over time of the same results",
                "source: ''",
                "the source is blank",
            ),
        ] {
            let changed = text(file).replacen(from, to, 1);
            assert_ne!(changed, text(file), "{from}");
            let message = Profile::parse(&changed, file).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{file}: cost")), "{message}");
            assert!(message.contains(expected) && message.contains("line "), "{message}");
        }
        let steps = text("eyeriss.yaml").replace("wider_than: 28", "wider_than: 14");
        let message = Profile::parse(&steps, "e.yaml").unwrap_err().to_string();
        assert!(
            message.starts_with("e.yaml: cost.wide_maps.steps: wider_than [14, 14, 56]"),
            "{message}"
        );
    }

    #[test]
    fn every_modelled_profile_has_a_model() {
        for profile in Profile::builtin().unwrap() {
            let modelled = profile.execution == Execution::Modelled;
            assert_eq!(profile.cost.is_some(), modelled, "{}", profile.name);
        }
    }
}
