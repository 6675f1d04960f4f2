//! From bytes to what a model was trained on, named and versioned.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// `y = (x / divide - mean[c]) / std[c]`, in FP32 and in this order, as training code computes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Kebab-case name.
    pub name: String,
    /// Raised whenever a number below changes.
    pub version: u32,
    /// What bytes are divided by first; 1 leaves 0 to 255.
    #[serde(default = "one")]
    pub divide: f32,
    /// Subtracted per channel; empty for zeros.
    #[serde(default)]
    pub mean: Vec<f32>,
    /// Divided by per channel; empty for ones.
    #[serde(default)]
    pub std: Vec<f32>,
}

fn one() -> f32 {
    1.0
}

impl Preprocess {
    /// `name@version`, by which rows refer to it.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The value of each byte for each channel.
    pub fn tables(&self, channels: usize) -> Result<Vec<[f32; 256]>, DataError> {
        let wrong = |reason: String| Err(DataError::Preprocess { id: self.id(), reason });
        if !(self.divide.is_finite() && self.divide > 0.0) {
            return wrong(format!("divide is {}; expected a positive number", self.divide));
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !values.is_empty() && values.len() != channels {
                let n = values.len();
                return wrong(format!(
                    "{key} has {n} values; expected {channels}, one for each channel, or none"
                ));
            }
        }
        if let Some(value) = self.mean.iter().find(|v| !v.is_finite()) {
            return wrong(format!("mean holds {value}; expected finite numbers"));
        }
        if let Some(value) = self.std.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return wrong(format!("std holds {value}; expected positive numbers"));
        }
        let table = |c: usize| {
            let mean = self.mean.get(c).copied().unwrap_or(0.0);
            let std = self.std.get(c).copied().unwrap_or(1.0);
            std::array::from_fn(|x| (x as f32 / self.divide - mean) / std)
        };
        Ok((0..channels).map(table).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagenet() -> Preprocess {
        Preprocess {
            name: "imagenet".into(),
            version: 2,
            divide: 255.0,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }

    #[test]
    fn every_byte_is_computed_in_the_order_of_training_code() {
        let tables = imagenet().tables(3).unwrap();
        for x in 0..=255_u8 {
            assert_eq!(tables[0][x as usize], (f32::from(x) / 255.0 - 0.485) / 0.229);
            assert_eq!(tables[2][x as usize], (f32::from(x) / 255.0 - 0.406) / 0.225);
        }
        assert_eq!(imagenet().id(), "imagenet@2");
    }

    #[test]
    fn the_defaults_leave_bytes_as_they_are() {
        let raw: Preprocess = serde_yaml::from_str("name: raw\nversion: 1\n").unwrap();
        let tables = raw.tables(1).unwrap();
        assert!((0..256).all(|x| tables[0][x] == x as f32));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let complaint = |change: &dyn Fn(&mut Preprocess)| {
            let mut p = imagenet();
            change(&mut p);
            p.tables(3).unwrap_err().to_string()
        };
        let text = complaint(&|p| p.divide = 0.0);
        assert_eq!(text, "preprocessing imagenet@2: divide is 0; expected a positive number");
        assert!(complaint(&|p| p.std[1] = 0.0).contains("std holds 0; expected positive"));
        assert!(complaint(&|p| p.mean[0] = f32::NAN).contains("mean holds NaN"));
        assert!(complaint(&|p| p.mean.truncate(1)).contains("mean has 1 values; expected 3"));
    }
}
