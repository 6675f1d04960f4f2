//! A method's card: the static facts that tables, `explain` and the planner read.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bits::Widths;
use crate::spec::Spec;

/// The survey's four families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Calibrated or trained on real images.
    DataDependent,
    /// Needs the FP32 model alone.
    DataFree,
    /// Chooses a width per layer under a budget.
    MixedPrecision,
    /// One bit or ternary.
    ExtremelyLowBit,
}

impl Family {
    /// All families in the order of the survey.
    pub const ALL: [Family; 4] =
        [Family::DataDependent, Family::DataFree, Family::MixedPrecision, Family::ExtremelyLowBit];

    /// The name as prose writes it.
    pub fn title(self) -> &'static str {
        match self {
            Family::DataDependent => "data-dependent",
            Family::DataFree => "data-free",
            Family::MixedPrecision => "mixed-precision",
            Family::ExtremelyLowBit => "extremely low-bit",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// What data a method is granted; derived from its code, see `methods::Grant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// Nothing but the model.
    Nothing,
    /// Calibration images without labels.
    Unlabelled,
    /// Calibration images only when a parameter asks for them, else nothing.
    UnlabelledIfAsked,
    /// Images with labels.
    Labelled,
    /// Images with labels and a held-out validation split.
    WithValidation,
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Needs::Nothing => "no data",
            Needs::Unlabelled => "unlabelled images",
            Needs::UnlabelledIfAsked => "no data (unlabelled images if a parameter asks)",
            Needs::Labelled => "labelled images",
            Needs::WithValidation => "labelled images and a validation split",
        })
    }
}

/// The value of a method's parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// A switch.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A choice among names.
    Text(String),
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamValue::Bool(v) => write!(f, "{v}"),
            ParamValue::Int(v) => write!(f, "{v}"),
            ParamValue::Float(v) => write!(f, "{v}"),
            ParamValue::Text(v) => f.write_str(v),
        }
    }
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParamRange {
    /// `true` or `false`.
    Switch,
    /// A whole number between the two ends, both included.
    Int(i64, i64),
    /// A real number between the two ends, both included.
    Float(f64, f64),
    /// One of the names.
    Choice(&'static [&'static str]),
}

/// One parameter of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Key in YAML and on the command line.
    pub name: &'static str,
    /// One sentence with its unit.
    pub help: &'static str,
    /// Default as written in YAML; parsed by [`Param::default_value`].
    pub default: Default,
    /// Allowed values.
    pub range: ParamRange,
}

/// A parameter's default, as a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// A switch.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A name.
    Text(&'static str),
}

impl Param {
    /// The default as a value.
    pub fn default_value(&self) -> ParamValue {
        match self.default {
            Default::Bool(v) => ParamValue::Bool(v),
            Default::Int(v) => ParamValue::Int(v),
            Default::Float(v) => ParamValue::Float(v),
            Default::Text(v) => ParamValue::Text(v.to_string()),
        }
    }

    /// Checks a value against the range; the message says what was expected.
    ///
    /// A whole number is accepted where a real number is expected.
    pub fn check(&self, value: &ParamValue) -> Result<ParamValue, String> {
        let name = self.name;
        match (self.range, value) {
            (ParamRange::Switch, ParamValue::Bool(_)) => Ok(value.clone()),
            (ParamRange::Int(lo, hi), ParamValue::Int(v)) if (lo..=hi).contains(v) => {
                Ok(value.clone())
            }
            (ParamRange::Float(lo, hi), ParamValue::Float(v)) if *v >= lo && *v <= hi => {
                Ok(value.clone())
            }
            (ParamRange::Float(lo, hi), ParamValue::Int(v))
                if *v as f64 >= lo && *v as f64 <= hi =>
            {
                Ok(ParamValue::Float(*v as f64))
            }
            (ParamRange::Choice(names), ParamValue::Text(v)) if names.contains(&v.as_str()) => {
                Ok(value.clone())
            }
            (range, value) => {
                Err(format!("parameter {name}: {value} does not fit; expected {range}"))
            }
        }
    }
}

impl fmt::Display for ParamRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamRange::Switch => f.write_str("true or false"),
            ParamRange::Int(lo, hi) => write!(f, "a whole number from {lo} to {hi}"),
            ParamRange::Float(lo, hi) => write!(f, "a number from {lo} to {hi}"),
            ParamRange::Choice(names) => write!(f, "one of {}", names.join(", ")),
        }
    }
}

/// Parameters by name, complete (defaults filled in) once they come from [`Card::resolve`].
pub type Params = BTreeMap<String, ParamValue>;

/// Which widths a method can produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WidthRange {
    /// Smallest and largest weight width, both included; `None` if weights are never quantized.
    pub weights: (u8, u8),
    /// Whether the weights are ternary (`W2t`) rather than uniform.
    pub ternary: bool,
    /// Smallest and largest activation width, both included. FP32 activations are always allowed.
    pub activations: (u8, u8),
}

/// The static facts of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Unique kebab-case name, the word used in YAML, tables and on the command line.
    pub name: &'static str,
    /// Raised whenever the artefact that the method produces changes.
    pub version: u32,
    /// Which of the four families.
    pub family: Family,
    /// One sentence: what it does.
    pub summary: &'static str,
    /// When to use it, and when not.
    pub when: &'static str,
    /// Paper: authors, title, venue, identifier.
    pub paper: &'static str,
    /// BibTeX-like key, for reports.
    pub cite: &'static str,
    /// Widths it can produce.
    pub widths: WidthRange,
    /// Granularity of weights and activations in words.
    pub granularity: &'static str,
    /// Whether the artefact depends on the seed: such a method runs once per seed of a survey.
    pub stochastic: bool,
    /// Parameters with defaults and ranges.
    pub params: &'static [Param],
    /// Where our arithmetic departs from the paper, one sentence each.
    pub departures: &'static [&'static str],
}

impl Card {
    /// Fills in defaults and checks names and ranges.
    ///
    /// # Errors
    /// One sentence that names the key, what was expected and the nearest known name.
    pub fn resolve(&self, given: &Params) -> Result<Params, String> {
        for key in given.keys() {
            if !self.params.iter().any(|p| p.name == key) {
                let known: Vec<&str> = self.params.iter().map(|p| p.name).collect();
                return Err(format!(
                    "method {} has no parameter {key:?}{}",
                    self.name,
                    crate::names::suggestion(key, &known)
                ));
            }
        }
        self.params
            .iter()
            .map(|p| match given.get(p.name) {
                None => Ok((p.name.to_string(), p.default_value())),
                Some(v) => Ok((p.name.to_string(), p.check(v)?)),
            })
            .collect()
    }

    /// Whether the method can produce all widths of a spec, those of single layers included.
    ///
    /// # Errors
    /// As [`Card::fits`], with the layer where it is about one.
    pub fn fits_spec(&self, spec: &Spec) -> Result<(), String> {
        self.fits(spec.bits)?;
        for (layer, &own) in &spec.layer_bits {
            let named = |reason: &str| format!("layer_bits {layer:?}: {reason}");
            if own.is_fp32() {
                return Err(named("w32a32 quantizes nothing; name the layer under exclude"));
            }
            // Weights in FP32 are within reach of every method: only the input is quantized.
            let Widths { weights, ternary, .. } = spec.bits;
            let float = Widths { weights, ternary, activations: own.activations };
            self.fits(if own.weights.is_quantized() { own } else { float })
                .map_err(|reason| named(&reason))?;
        }
        Ok(())
    }

    /// Whether the method can produce these widths.
    ///
    /// # Errors
    /// One sentence: which width does not fit and which would.
    pub fn fits(&self, widths: Widths) -> Result<(), String> {
        let WidthRange { weights: (lo, hi), ternary, activations: (alo, ahi) } = self.widths;
        let w = widths.weights.get();
        if ternary != widths.ternary {
            let kind = if ternary { "ternary weights only (w2t)" } else { "no ternary weights" };
            return Err(format!("{} gives {kind}, not {widths}", self.name));
        }
        if !(lo..=hi).contains(&w) {
            return Err(format!("{} quantizes weights to {lo} to {hi} bits, not {w}", self.name));
        }
        let a = widths.activations.get();
        if widths.activations.is_quantized() && !(alo..=ahi).contains(&a) {
            return Err(format!(
                "{} quantizes activations to {alo} to {ahi} bits (or 32), not {a}",
                self.name
            ));
        }
        Ok(())
    }
}
