//! From the bytes of an image file to an RGB raster, as Pillow's `convert("RGB")` makes it.
//!
//! The content decides and not the name.
//! Orientation tags, gamma and colour profiles are not applied: torchvision's loader applies none
//! either.

mod jpeg;
mod png;

use crate::Raster;

/// No image of a data set is larger; a header that claims more is damaged or hostile.
const MOST_PIXELS: usize = 1 << 27;

/// An RGB image; the error says what is wrong with the content.
pub(crate) fn rgb(bytes: &[u8]) -> Result<Raster, String> {
    match bytes {
        [] => Err("it is empty".to_string()),
        [0xFF, 0xD8, 0xFF, ..] => jpeg::decode(bytes),
        [0x89, b'P', b'N', b'G', ..] => png::decode(bytes),
        _ => Err("it is neither JPEG nor PNG".to_string()),
    }
}

/// Refuses sizes that no image of a data set has.
fn check_size(width: usize, height: usize) -> Result<(), String> {
    let pixels = width.saturating_mul(height);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(format!("its header states {width}x{height} pixels"));
    }
    Ok(())
}
