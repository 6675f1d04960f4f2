//! Histograms on disk: JSON, deflated as zlib does it.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use quantbench_core::Histograms;

/// Most bytes of JSON that a file may unfold to; the largest networks stay far below.
const MOST: u64 = 16 << 20;

/// Packs histograms.
pub fn pack(histograms: &Histograms) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&serde_json::to_vec(histograms)?)?;
    encoder.finish()
}

/// The histograms in a packed file, or why it holds none.
pub fn unpack(bytes: &[u8]) -> Result<Histograms, String> {
    let mut json = Vec::new();
    let read = ZlibDecoder::new(bytes).take(MOST).read_to_end(&mut json);
    read.map_err(|error| format!("it cannot be unpacked: {error}"))?;
    serde_json::from_slice(&json).map_err(|error| format!("it holds no histograms: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_core::histogram::{Binned, LayerHistograms, Seen, ShownGrid};
    use quantbench_core::{Bits, Grid};

    fn some(layers: usize) -> Histograms {
        let counts: Vec<u64> = (0..64_u64).map(|i| i * i * (64 - i) % 977).collect();
        let seen = |scale: f32| Seen {
            histogram: Binned::of(-0.1, scale, &counts),
            grid: ShownGrid::of(&Grid::activation(0.0, scale, Bits::EIGHT), Some(0.012_345)),
        };
        let layer = |i: usize| LayerHistograms {
            layer: format!("/layer1/conv{i}/Conv"),
            weights: seen(0.1 + i as f32 / 7.0),
            input: seen(1.7 + i as f32 / 3.0),
        };
        Histograms { artefact: "a".into(), images: 256, layers: (0..layers).map(layer).collect() }
    }

    #[test]
    fn histograms_survive_and_damage_is_named() {
        let packed = pack(&some(22)).unwrap();
        assert!(packed.len() < 10_000, "{} bytes", packed.len());
        assert_eq!(unpack(&packed), Ok(some(22)));
        assert!(
            unpack(&packed[..packed.len() / 2]).unwrap_err().starts_with("it cannot be unpacked")
        );
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"{}").unwrap();
        let other = encoder.finish().unwrap();
        assert!(unpack(&other).unwrap_err().starts_with("it holds no histograms"));
    }
}
