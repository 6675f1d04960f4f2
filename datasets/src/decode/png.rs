//! PNG of every kind: palettes are looked up, 16 bits cut to 8, alpha is dropped.

use std::io::Cursor;

use png::{ColorType, Decoder, DecodingError, Transformations};

use super::check_size;
use crate::Raster;

pub(super) fn decode(bytes: &[u8]) -> Result<Raster, String> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|error| reason(&error))?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let size = reader.output_buffer_size().ok_or("its header states an impossible size")?;
    let mut pixels = vec![0; size];
    reader.next_frame(&mut pixels).map_err(|error| reason(&error))?;
    // What follows the pixels is read too: a file that ends early is not whole.
    reader.finish().map_err(|error| reason(&error))?;
    let (stride, keep) = match reader.output_color_type().0 {
        ColorType::Grayscale => (1, 1),
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgba => (4, 3),
        ColorType::Rgb | ColorType::Indexed => (3, 3),
    };
    Ok(Raster::from_interleaved(height, width, stride, keep, &pixels).into_rgb())
}

fn reason(error: &DecodingError) -> String {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it is truncated".to_string()
        }
        other => format!("it is damaged ({other})"),
    }
}
