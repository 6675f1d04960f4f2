//! The constants of a cost model as a profile states them: groups of numbers, each group with its
//! source.
//!
//! A number that cannot be (zero rows, a negative energy, a utilisation above one) is refused
//! while the file is read, so that the message has its key and its line and the models can rely
//! on what they get.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// Largest size that is taken for hardware and not for a slip of the pen.
pub const LARGEST: u32 = 1_048_576;

/// A whole number of things: rows, KiB, operations per cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u32")]
pub struct Count(u32);

impl Count {
    /// The number.
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl TryFrom<f64> for Count {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value.fract() == 0.0 && (1.0..=f64::from(LARGEST)).contains(&value) {
            Ok(Self(value as u32))
        } else {
            Err(format!("{value} does not fit; a whole number from 1 to {LARGEST} belongs here"))
        }
    }
}

impl From<Count> for u32 {
    fn from(value: Count) -> Self {
        value.0
    }
}

/// A number above zero: a rate, a power, an energy that cannot be nothing.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(into = "f64")]
pub struct Positive(f64);

/// A number that is not below zero: an energy that may be counted elsewhere, a fixed time.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(into = "f64")]
pub struct NotNegative(f64);

/// A share above zero and up to one.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(into = "f64")]
pub struct Share(f64);

/// Largest number: beyond it a product of a few constants would leave the range of a double.
const MOST: f64 = 1e12;

macro_rules! number {
    ($name:ident, $fits:expr, $words:literal) => {
        impl $name {
            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = String;
            fn try_from(value: f64) -> Result<Self, String> {
                let fits: fn(f64) -> bool = $fits;
                if fits(value) {
                    Ok(Self(value))
                } else {
                    Err(format!(concat!("{} does not fit; ", $words, " belongs here"), value))
                }
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }
    };
}

number!(Positive, |v| v > 0.0 && v <= MOST, "a number above 0 (and up to 1e12)");
number!(NotNegative, |v| (0.0..=MOST).contains(&v), "a number of at least 0 (and up to 1e12)");
number!(Share, |v| v > 0.0 && v <= 1.0, "a number above 0 and up to 1");

/// Where constants were read, measured or assumed; never blank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Source(String);

impl Source {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Source {
    type Error = String;
    fn try_from(value: String) -> Result<Self, String> {
        if value.trim().is_empty() {
            Err("the source is blank; say where the constants come from".to_string())
        } else {
            Ok(Self(value))
        }
    }
}

impl From<Source> for String {
    fn from(value: Source) -> String {
        value.0
    }
}

/// Reads a value and checks it on the spot: an error that is raised later would point at the group
/// and not at the key.
struct Checked<T>(PhantomData<T>);

impl<T: TryFrom<f64, Error = String>> Visitor<'_> for Checked<(f64, T)> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        T::try_from(value).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.visit_f64(value as f64)
    }
}

impl Visitor<'_> for Checked<Source> {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Source, E> {
        Source::try_from(value.to_string()).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Checked::<Source>(PhantomData))
    }
}

macro_rules! checked {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_f64(Checked::<(f64, $name)>(PhantomData))
            }
        }
    )*};
}

checked!(Count, Positive, NotNegative, Share);

/// Memory outside the chip, the only one of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dram {
    /// Bandwidth in 10^9 bytes per second.
    pub gb_per_s: Positive,
    /// Energy in picojoules per bit; 0 where the power of the target covers it.
    pub pj_per_bit: NotNegative,
    /// Source.
    pub source: Source,
}

/// Buffers on the chip, one for each operand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sram {
    /// Size of the input buffer in KiB.
    pub input_kib: Count,
    /// Size of the weight buffer in KiB.
    pub weight_kib: Count,
    /// Size of the output buffer in KiB.
    pub output_kib: Count,
    /// Energy of the input buffer in picojoules per bit read.
    pub input_pj_per_bit: NotNegative,
    /// Energy of the weight buffer in picojoules per bit read.
    pub weight_pj_per_bit: NotNegative,
    /// Energy of the output buffer in picojoules per bit read or written.
    pub output_pj_per_bit: NotNegative,
    /// Source.
    pub source: Source,
}

/// A grid of equal units with one clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Rows.
    pub rows: Count,
    /// Columns.
    pub columns: Count,
    /// Clock in MHz.
    pub mhz: Positive,
    /// Source.
    pub source: Source,
}

/// Energy of one arithmetic unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Picojoules per operation (systolic) or per cycle in use (BitFusion).
    pub pj: Positive,
    /// Source.
    pub source: Source,
}

/// Power while a layer runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Watts.
    pub watts: Positive,
    /// Source.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for bad in [0.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 2e6] {
            assert!(Count::try_from(bad).is_err(), "{bad}");
        }
        assert_eq!(Count::try_from(64.0).unwrap().get(), 64);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Positive::try_from(bad).is_err(), "{bad}");
        }
        assert!(NotNegative::try_from(-0.1).is_err() && NotNegative::try_from(0.0).is_ok());
        assert!(Share::try_from(1.01).is_err() && Share::try_from(1.0).is_ok());
        assert!(Source::try_from("  ".to_string()).is_err());
    }
}
