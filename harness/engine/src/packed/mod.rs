//! Integer kernels: products and convolutions of packed weights and activations.
//!
//! Weights of 8, 4 and 2 bits, ternary and binary; activations of 8 bits and fewer. All results
//! are exact sums in `i32` but those of [`Kernel::Int8Saturating`], which saturates where the
//! instruction does, and equal bit for bit on every instruction set and for any number of threads.
//!
//! One loop (`tile`) serves all of them. Sixteen outputs lie side by side, and each meets four
//! bytes of a row of activations at a time; what the four bytes are and what is done with them is
//! an `Arithmetic`, what an instruction set offers for that is a `Machine`. A convolution needs
//! no copy of its patches: rows of an image with its border are themselves rows of activations,
//! cut into as many segments as the window is high.

/// An array of what an expression gives for each index. Not `array::from_fn`: its closure stays a
/// call of a function that knows nothing of the instruction set.
macro_rules! each {
    ($count:expr, $i:ident => $value:expr) => {{
        let $i = 0;
        let mut all = [$value; $count];
        for $i in 1..$count {
            all[$i] = $value;
        }
        all
    }};
}

mod activations;
mod arithmetic;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod conv;
mod depthwise;
mod error;
mod finish;
mod isa;
mod kernel;
mod layout;
mod lut;
mod portable;
mod product;
#[cfg(test)]
mod tests;
mod tile;
mod weights;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use activations::Activations;
pub use conv::{Conv, Geometry, Input};
pub use depthwise::Depthwise;
pub use error::PackedError;
pub use finish::{Finish, Finished, Requantize, Thresholds};
pub use isa::Isa;
pub use kernel::Kernel;
pub use product::{micro_kernel, product, product_into};
pub use weights::Weights;
#[cfg(target_arch = "x86_64")]
pub use wide::Wide;
