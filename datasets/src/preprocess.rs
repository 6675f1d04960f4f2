//! From bytes to what a model was trained on, named and versioned.

use serde::{Deserialize, Serialize};

use crate::{DataError, Interpolation, Raster};

/// Scale, crop, then `y = (x / divide - mean[c]) / std[c]`, in FP32 and in this order, as
/// training code computes it.
///
/// Keys that came later are not written where they are absent: the hash of a preprocessing is
/// part of ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Kebab-case name.
    pub name: String,
    /// Raised whenever a number below changes.
    pub version: u32,
    /// Pixels of the shorter side after scaling; none leaves the size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// How scaling makes pixels; none is bilinear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// Side of the square that is cut from the middle; none keeps the whole image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center_crop: Option<usize>,
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

/// `raw@1`, which leaves bytes as they are.
impl Default for Preprocess {
    fn default() -> Self {
        Self {
            name: "raw".to_string(),
            version: 1,
            resize: None,
            interpolation: None,
            center_crop: None,
            divide: one(),
            mean: Vec::new(),
            std: Vec::new(),
        }
    }
}

fn one() -> f32 {
    1.0
}

impl Preprocess {
    /// `name@version`, by which rows refer to it.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Whether it does more than look up values.
    pub(crate) fn reshapes(&self) -> bool {
        self.resize.is_some() || self.center_crop.is_some()
    }

    /// Channels, height and width of what a model reads, from those in the manifest.
    pub fn dims(&self, [channels, height, width]: [usize; 3]) -> [usize; 3] {
        self.center_crop.map_or([channels, height, width], |side| [channels, side, side])
    }

    /// Scales and crops; none if the image is smaller than the crop.
    pub fn fit(&self, raster: Raster) -> Option<Raster> {
        let interpolation = self.interpolation.unwrap_or(Interpolation::Bilinear);
        let scaled = match self.resize {
            Some(side) => raster.resized(side, interpolation),
            None => raster,
        };
        match self.center_crop {
            Some(side) => scaled.cropped(side),
            None => Some(scaled),
        }
    }

    /// What is wrong with the keys of scaling and cropping.
    fn check_shape(&self) -> Result<(), String> {
        for (key, side) in [("resize", self.resize), ("center_crop", self.center_crop)] {
            if let Some(side) = side.filter(|side| !(1..=4096).contains(side)) {
                return Err(format!("{key} is {side}; expected 1 to 4096 pixels"));
            }
        }
        match (self.resize, self.center_crop) {
            (None, _) if self.interpolation.is_some() => {
                Err("interpolation is stated without resize; add resize".to_string())
            }
            (Some(resize), Some(crop)) if crop > resize => {
                Err(format!("center_crop is {crop}; expected at most {resize}, as resize leaves"))
            }
            _ => Ok(()),
        }
    }

    /// The value of each byte for each channel.
    pub fn tables(&self, channels: usize) -> Result<Vec<[f32; 256]>, DataError> {
        let wrong = |reason: String| Err(DataError::Preprocess { id: self.id(), reason });
        if let Err(reason) = self.check_shape() {
            return wrong(reason);
        }
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
            ..Preprocess::default()
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

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        let complaint = |text: &str| {
            let text = format!("name: p\nversion: 1\n{text}");
            let p: Preprocess = serde_yaml::from_str(&text).unwrap();
            p.tables(3).unwrap_err().to_string()
        };
        let text = complaint("resize: 0");
        assert_eq!(text, "preprocessing p@1: resize is 0; expected 1 to 4096 pixels");
        assert!(complaint("center_crop: 5000").contains("center_crop is 5000; expected 1 to 4096"));
        let text = complaint("resize: 32\ncenter_crop: 33");
        assert!(text.contains("center_crop is 33; expected at most 32"), "{text}");
        assert!(complaint("interpolation: bicubic").contains("without resize"));
    }

    #[test]
    fn a_preprocessing_without_the_later_keys_is_written_as_before_them() {
        // Golden: the JSON goes into the ids of artefacts and evaluations.
        let text = serde_json::to_string(&imagenet()).unwrap();
        assert_eq!(
            text,
            r#"{"name":"imagenet","version":2,"divide":255.0,"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}"#
        );
    }
}
