//! JPEG by libjpeg, so that every pixel is the one that Pillow and torchvision see.
//!
//! Decoders in Rust round the inverse transform and the chroma planes in their own ways and
//! differ by up to four grey levels.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{ColorSpace, Decompress};

use super::check_size;
use crate::Raster;

pub(super) fn decode(bytes: &[u8]) -> Result<Raster, String> {
    let ended = Cell::new(false);
    let source = Source { rest: bytes, ended: &ended };
    // libjpeg reports fatal errors by unwinding.
    let outcome = catch_unwind(AssertUnwindSafe(|| pixels(source)));
    // libjpeg fills up what is missing with grey; Pillow refuses, and so do we.
    if ended.get() {
        return Err("it is truncated".to_string());
    }
    let (raster, space) = outcome.map_err(|payload| reason(payload.as_ref()))??;
    Ok(if space == ColorSpace::JCS_CMYK { from_inks(&raster) } else { raster.into_rgb() })
}

fn pixels(source: Source<'_>) -> Result<(Raster, ColorSpace), String> {
    let damaged = |error: io::Error| format!("it is damaged ({error})");
    let image = Decompress::new_reader(source).map_err(damaged)?;
    check_size(image.width(), image.height())?;
    let (space, channels) = match image.color_space() {
        ColorSpace::JCS_GRAYSCALE => (ColorSpace::JCS_GRAYSCALE, 1),
        ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK => (ColorSpace::JCS_CMYK, 4),
        _ => (ColorSpace::JCS_RGB, 3),
    };
    let mut rows = image.to_colorspace(space).map_err(damaged)?;
    let (height, width) = (rows.height(), rows.width());
    let pixels: Vec<u8> = rows.read_scanlines().map_err(damaged)?;
    rows.finish().map_err(damaged)?;
    if pixels.len() != height * width * channels {
        return Err("it is damaged (rows are missing)".to_string());
    }
    Ok((Raster::from_interleaved(height, width, channels, channels, &pixels), space))
}

/// Cyan, magenta, yellow and black to RGB as Pillow converts them: inks are stored inverted, as
/// Adobe does, and black darkens what the colour leaves.
fn from_inks(inks: &Raster) -> Raster {
    let plane = inks.height * inks.width;
    let (colours, black) = inks.data.split_at(3 * plane);
    let mix = |(ink, black): (&u8, &u8)| {
        let (ink, left) = (u32::from(255 - ink), u32::from(*black));
        let product = ink * left + 128;
        (left - (((product >> 8) + product) >> 8).min(left)) as u8
    };
    let data = colours.chunks_exact(plane).flat_map(|c| c.iter().zip(black).map(mix)).collect();
    Raster { channels: 3, height: inks.height, width: inks.width, data }
}

fn reason(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map_or("unreadable", String::as_str);
    format!("it is damaged ({})", text.trim_start_matches("libjpeg fatal error: "))
}

/// The file's bytes; remembers whether more were asked for than there are.
struct Source<'b> {
    rest: &'b [u8],
    ended: &'b Cell<bool>,
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() {
            self.ended.set(true);
        }
        Ok(self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest = &self.rest[amount.min(self.rest.len())..];
    }
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.rest.read(into)?;
        self.ended.set(self.ended.get() || n == 0);
        Ok(n)
    }
}
