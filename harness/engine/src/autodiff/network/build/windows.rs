//! Convolutions and pools.

use quantbench_graph::onnx::NodeProto;
use quantbench_graph::ops::{int_attr, ints_attr, text_attr};

use super::{Builder, Kind};
use crate::autodiff::kernels::plan::Window;

/// Rows and columns, or columns alone.
fn two(values: &[i64]) -> Option<[usize; 2]> {
    match *values {
        [columns] => Some([1, usize::try_from(columns).ok()?]),
        [rows, columns] => Some([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?]),
        _ => None,
    }
}

/// Zeros before and after.
fn padding(node: &NodeProto) -> [[usize; 2]; 2] {
    match ints_attr(node, "pads") {
        Some(&[before, after]) => [[0, before as usize], [0, after as usize]],
        Some(&[a, b, c, d]) => [[a as usize, b as usize], [c as usize, d as usize]],
        _ => [[0; 2]; 2],
    }
}

impl Builder<'_> {
    pub(super) fn conv(&mut self, node: &NodeProto) -> Result<Kind, String> {
        let weight = self.parameter(node, 1)?.ok_or("its weights are no constant")?;
        let dims = self.parameters[&weight].dims.clone();
        let kernel: Vec<i64> = dims.iter().skip(2).map(|d| *d as i64).collect();
        let kernel = two(&kernel).ok_or_else(|| {
            format!("weights of {} dimensions are not supported; expected 3 or 4", dims.len())
        })?;
        let window = self.window(node, kernel)?;
        let groups = int_attr(node, "group").unwrap_or(1).max(1) as usize;
        Ok(Kind::Conv { weight, bias: self.bias(node, dims[0])?, window, groups })
    }

    pub(super) fn pool(&self, node: &NodeProto) -> Result<Window, String> {
        let kernel = ints_attr(node, "kernel_shape");
        match kernel.and_then(two) {
            Some(kernel) => self.window(node, kernel),
            None => Err(format!("kernel {kernel:?} is not supported; expected rows and columns")),
        }
    }

    pub(super) fn average_pool(&self, node: &NodeProto) -> Result<Kind, String> {
        let window = self.pool(node)?;
        let padding_counts = int_attr(node, "count_include_pad").unwrap_or(0) != 0;
        let counted = match text_attr(node, "auto_pad").unwrap_or("NOTSET") {
            _ if !padding_counts => [[0; 2]; 2],
            // What a window reaches beyond its padding (ceil_mode) never counts.
            "NOTSET" => padding(node),
            _ => [window.before, window.after],
        };
        Ok(Kind::AveragePool { window, counted })
    }

    /// The window of a conv or pool, padded so that the output has the inferred size.
    fn window(&self, node: &NodeProto, kernel: [usize; 2]) -> Result<Window, String> {
        let pair = |name: &str| ints_attr(node, name).and_then(two).unwrap_or([1, 1]);
        let (stride, dilation) = (pair("strides"), pair("dilations"));
        let size = |dims: &[usize]| match *dims {
            [_, w] => Ok([1, w]),
            [_, h, w] => Ok([h, w]),
            _ => Err("its maps do not have rows and columns".to_string()),
        };
        let (from, to) = (size(&self.dims(node, 0)?)?, size(&self.output(node, 0)?)?);
        let auto = text_attr(node, "auto_pad").unwrap_or("NOTSET");
        let (mut before, mut after) = ([0; 2], [0; 2]);
        for a in 0..2 {
            let reach = (to[a].max(1) - 1) * stride[a] + dilation[a] * (kernel[a].max(1) - 1) + 1;
            let missing = reach.saturating_sub(from[a]);
            before[a] = match auto {
                "SAME_UPPER" => missing / 2,
                "SAME_LOWER" => missing.div_ceil(2),
                "VALID" => 0,
                _ => padding(node)[0][a],
            };
            after[a] = missing.saturating_sub(before[a]);
        }
        let window = Window { kernel, stride, before, after, dilation };
        match window.output(from) {
            Some(size) if size == to => Ok(window),
            _ => Err(format!("its window does not make {to:?} of {from:?}")),
        }
    }
}
