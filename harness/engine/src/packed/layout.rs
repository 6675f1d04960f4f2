//! How the numbers that a product sums over lie in a string of bytes.

/// Layout of one pixel, or of one row of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One byte each.
    Bytes,
    /// Two bytes each, little-endian.
    Words,
    /// Two codes of 2 bits per byte, the first one in bits 0 and 1, the other in 2 and 3: the
    /// number of a table.
    Pairs,
    /// One bit each, number `i` in bit `i % 8` of byte `i / 8`; several planes follow one another
    /// at a distance that the caller knows.
    Bits,
}

impl Layout {
    /// Bytes of `channels` numbers, in each plane.
    pub(crate) fn bytes(self, channels: usize) -> usize {
        match self {
            Layout::Bytes => channels,
            Layout::Words => 2 * channels,
            Layout::Pairs => channels.div_ceil(2),
            Layout::Bits => channels.div_ceil(8),
        }
    }

    /// Writes pixels of `channels` codes, the low bit alone of bits.
    pub(crate) fn write(self, codes: &[u8], channels: usize, out: &mut [u8]) {
        match self {
            Layout::Bytes => out[..codes.len()].copy_from_slice(codes),
            Layout::Words => {
                for (out, code) in out.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                    *out = [*code, 0];
                }
            }
            Layout::Pairs => self.each(codes, channels, out, |codes, out| {
                for (out, pair) in out.iter_mut().zip(codes.chunks(2)) {
                    *out = pair[0] | pair.get(1).copied().unwrap_or(0) << 2;
                }
            }),
            Layout::Bits => self.write_plane(codes, channels, 0, out),
        }
    }

    /// Writes bit `bit` of the codes of pixels.
    pub(crate) fn write_plane(self, codes: &[u8], channels: usize, bit: usize, out: &mut [u8]) {
        self.each(codes, channels, out, |codes, out| {
            for (out, codes) in out.iter_mut().zip(codes.chunks(8)) {
                *out = match codes.first_chunk::<8>() {
                    Some(codes) => gather(u64::from_le_bytes(*codes) >> bit),
                    None => codes
                        .iter()
                        .enumerate()
                        .fold(0, |byte, (i, code)| byte | (code >> bit & 1) << i),
                };
            }
        });
    }

    fn each(self, codes: &[u8], channels: usize, out: &mut [u8], write: impl Fn(&[u8], &mut [u8])) {
        let pixels = codes.chunks_exact(channels);
        for (codes, out) in pixels.zip(out.chunks_exact_mut(self.bytes(channels))) {
            write(codes, out);
        }
    }
}

/// The lowest bits of eight bytes side by side: a product that carries bit `8 i` to bit `56 + i`.
fn gather(bytes: u64) -> u8 {
    ((bytes & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}
