//! Rows of activations in the layout of a kernel.

use super::error::{PackedError, dimension, length};
use super::kernel::Kernel;
use super::weights::LONGEST;

/// Packed rows of activations of a product.
#[derive(Debug, Clone)]
pub struct Activations {
    pub(crate) kernel: Kernel,
    pub(crate) rows: usize,
    pub(crate) length: usize,
    pub(crate) zero_point: u8,
    pub(crate) planes: usize,
    /// Bytes from row to row.
    pub(crate) stride: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Activations {
    /// Packs `codes`, `[rows, length]`, of `bits` bits: 8, but 2 for [`Kernel::Int2`], 1 to 8 for
    /// [`Kernel::Ternary`] and 1 for [`Kernel::Binary`], whose codes 0 and 1 stand for -1 and 1.
    ///
    /// The product is that of `code - zero_point`; of binary codes the zero point must be 0.
    pub fn pack(
        kernel: Kernel,
        [rows, each]: [usize; 2],
        codes: &[u8],
        bits: u8,
        zero_point: u8,
    ) -> Result<Self, PackedError> {
        kernel.check_bits(bits)?;
        dimension("the number of rows", rows, 1, usize::MAX / LONGEST / 16)?;
        dimension("the number of products in a sum", each, 1, LONGEST)?;
        length("the activation", rows * each, codes.len())?;
        check_zero_point(kernel, zero_point, bits)?;
        kernel.check_codes("the activation", codes, bits)?;
        let layout = kernel.layout();
        let stride = layout.bytes(each).next_multiple_of(kernel.group());
        let planes = kernel.planes(bits);
        let mut bytes = vec![0; planes * rows * stride];
        for (plane, bytes) in bytes.chunks_exact_mut(rows * stride).enumerate() {
            for (codes, out) in codes.chunks_exact(each).zip(bytes.chunks_exact_mut(stride)) {
                if planes == 1 {
                    layout.write(codes, each, out);
                } else {
                    layout.write_plane(codes, each, planes - 1 - plane, out);
                }
            }
        }
        Ok(Self { kernel, rows, length: each, zero_point, planes, stride, bytes })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// A zero point is a code; binary activations have none.
pub(crate) fn check_zero_point(
    kernel: Kernel,
    zero_point: u8,
    bits: u8,
) -> Result<(), PackedError> {
    let top = if kernel == Kernel::Binary { 0 } else { kernel.top(bits) };
    dimension("the zero point", zero_point.into(), 0, top.into())?;
    Ok(())
}
