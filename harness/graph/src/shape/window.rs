//! Windows that slide: output sizes of convolutions and pools.

use crate::graph::{Dim, Shape};
use crate::onnx::NodeProto;
use crate::ops::{int_attr, ints_attr, text_attr};

/// Spatial output sizes of a conv or pool with the given kernel.
pub(super) fn slide(node: &NodeProto, x: &Shape, kernel: &[i64]) -> Result<Vec<Dim>, String> {
    let n = kernel.len();
    if x.len() != n + 2 {
        return Err(format!("input has {} dimensions, a kernel of {n} expects {}", x.len(), n + 2));
    }
    let list = |name: &str, fill: i64, len: usize| -> Result<Vec<i64>, String> {
        match ints_attr(node, name) {
            None => Ok(vec![fill; len]),
            Some(v) if v.len() == len && v.iter().all(|&a| a >= fill.min(1) && a < 1 << 20) => {
                Ok(v.to_vec())
            }
            Some(v) => Err(format!("{name} {v:?} do not fit; expected {len} values")),
        }
    };
    let strides = list("strides", 1, n)?;
    let dilations = list("dilations", 1, n)?;
    let pads = list("pads", 0, 2 * n)?;
    let auto = text_attr(node, "auto_pad").unwrap_or("NOTSET");
    let ceil = int_attr(node, "ceil_mode").unwrap_or(0) != 0;
    (0..n)
        .map(|i| {
            let Dim::Known(size) = x[i + 2] else {
                return Err(format!("dimension {} is not fixed", i + 2));
            };
            let span = dilations[i] * (kernel[i] - 1) + 1;
            let (padded, same) = match auto {
                "SAME_UPPER" | "SAME_LOWER" => (size, true),
                "VALID" => (size, false),
                _ => (size + pads[i] + pads[i + n], false),
            };
            if same {
                return Ok(Dim::Known((size + strides[i] - 1) / strides[i]));
            }
            if padded < span {
                return Err(format!("a window of {span} does not fit a padded size of {padded}"));
            }
            let room = padded - span + if ceil { strides[i] - 1 } else { 0 };
            let mut out = room / strides[i] + 1;
            // A window that would start in the right padding is not taken (ONNX, ceil_mode).
            if ceil && (out - 1) * strides[i] >= size + pads[i] {
                out -= 1;
            }
            Ok(Dim::Known(out))
        })
        .collect()
}
