//! The note in an exported file that says which data it reads and how they are preprocessed.
//!
//! ONNX models carry pairs of texts (`metadata_props`, field 14 of `ModelProto`). A repeated field
//! may stand anywhere in a message, so the note is appended to the file and nothing else moves.

use quantbench_datasets::Preprocess;
use serde::{Deserialize, Serialize};

/// Key of the note.
const KEY: &str = "quantbench";

/// Field number and wire type 2 (a length and bytes) of `ModelProto.metadata_props`.
const METADATA: u64 = (14 << 3) | 2;

/// What `eval` needs to know about a file that `quantize` wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Name of the data set.
    pub dataset: String,
    /// From raw pixels to what the model reads.
    pub preprocess: Preprocess,
}

impl Note {
    /// Appends the note to an ONNX file.
    ///
    /// # Errors
    /// The preprocessing cannot be written as JSON: a number in it is not finite.
    pub fn append(&self, onnx: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let json = serde_json::to_vec(self)?;
        let mut pair = Vec::new();
        put_bytes(&mut pair, (1 << 3) | 2, KEY.as_bytes());
        put_bytes(&mut pair, (2 << 3) | 2, &json);
        put_bytes(onnx, METADATA, &pair);
        Ok(())
    }

    /// The note of an ONNX file, if it has one.
    pub fn read(onnx: &[u8]) -> Option<Self> {
        fields(onnx).filter(|(tag, _)| *tag == METADATA).find_map(|(_, pair)| {
            let text = |wanted: u64| {
                fields(pair).find(|(tag, _)| *tag == ((wanted << 3) | 2)).map(|(_, bytes)| bytes)
            };
            if text(1)? != KEY.as_bytes() {
                return None;
            }
            serde_json::from_slice(text(2)?).ok()
        })
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    put_varint(out, tag);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The fields of a message as tags and bytes; stops where the bytes are no message.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let tag = varint(&mut bytes)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some((tag, field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        Note {
            dataset: "cifar10".into(),
            preprocess: Preprocess {
                name: "imagenet".into(),
                version: 1,
                divide: 255.0,
                mean: vec![0.485, 0.456, 0.406],
                std: vec![0.229, 0.224, 0.225],
                ..Preprocess::default()
            },
        }
    }

    #[test]
    fn a_note_is_read_back_from_a_real_model() {
        let mut onnx = quantbench_datasets::DEFAULT_MODEL.to_vec();
        assert_eq!(Note::read(&onnx), None);
        note().append(&mut onnx).unwrap();
        assert_eq!(Note::read(&onnx), Some(note()));
        let graph = quantbench_graph::Graph::from_bytes(&onnx, "noted").unwrap();
        let plain =
            quantbench_graph::Graph::from_bytes(quantbench_datasets::DEFAULT_MODEL, "plain")
                .unwrap();
        assert_eq!(graph.proto(), plain.proto());
    }

    #[test]
    fn rubbish_holds_no_note() {
        assert_eq!(Note::read(b""), None);
        assert_eq!(Note::read(b"not a model at all"), None);
        assert_eq!(Note::read(&[0x72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
    }
}
