//! What can be wrong with a product or a convolution that is asked for.

use thiserror::Error;

/// Operands that do not fit together, or numbers that a kernel has no code for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackedError {
    /// An instruction set without the instruction that the kernel is named for.
    #[error(
        "{kernel} needs an instruction that {isa} lacks; take int8-exact, which gives the same \
         sums, or another instruction set"
    )]
    Missing {
        /// Name of the kernel.
        kernel: &'static str,
        /// Name of the instruction set.
        isa: &'static str,
    },
    /// As many numbers as the dimensions ask for.
    #[error("{what} has {found} numbers, expected {expected}, the product of its dimensions")]
    Length {
        /// The operand.
        what: &'static str,
        /// Numbers that the dimensions ask for.
        expected: usize,
        /// Numbers that were given.
        found: usize,
    },
    /// A dimension that differs between operands.
    #[error("{what} is {found}, expected {expected} as in {of}")]
    Mismatch {
        /// The dimension.
        what: &'static str,
        /// What the other operand has.
        expected: String,
        /// What this one has.
        found: String,
        /// The other operand.
        of: &'static str,
    },
    /// A dimension out of range.
    #[error("{what} is {found}, expected {lowest} to {highest}")]
    Dimension {
        /// The dimension.
        what: &'static str,
        /// What was given.
        found: usize,
        /// Lowest value.
        lowest: usize,
        /// Highest value.
        highest: usize,
    },
    /// A code that the kernel cannot hold.
    #[error("{what} has code {value} at position {at}, expected {allowed} for {kernel}")]
    Code {
        /// The operand.
        what: &'static str,
        /// Position of the first such code.
        at: usize,
        /// The code.
        value: i32,
        /// Codes that the kernel holds.
        allowed: String,
        /// Name of the kernel.
        kernel: &'static str,
    },
    /// A window larger than the image with its border.
    #[error(
        "the window is {window} along the {axis}, expected at most {image}, the image with its \
         border"
    )]
    Window {
        /// Height or width.
        axis: &'static str,
        /// Side of the window.
        window: usize,
        /// Side of the image with its border.
        image: usize,
    },
    /// A scale or bias that is not finite.
    #[error("the {what} of output channel {channel} is not finite; expected a number")]
    NotFinite {
        /// Scale or bias.
        what: &'static str,
        /// The channel.
        channel: usize,
    },
    /// Thresholds that do not ascend.
    #[error("the thresholds of output channel {channel} do not ascend; expected sorted ones")]
    Unsorted {
        /// The channel.
        channel: usize,
    },
    /// Bits where codes were expected, or codes packed for another kernel.
    #[error("{kernel} cannot read packed bits; expected one code per byte")]
    Bits {
        /// Name of the kernel.
        kernel: &'static str,
    },
}

/// The dimension, if it is within its range.
pub(crate) fn dimension(
    what: &'static str,
    found: usize,
    lowest: usize,
    highest: usize,
) -> Result<usize, PackedError> {
    if (lowest..=highest).contains(&found) {
        Ok(found)
    } else {
        Err(PackedError::Dimension { what, found, lowest, highest })
    }
}

/// Checks that a slice has as many numbers as its dimensions ask for.
pub(crate) fn length(what: &'static str, expected: usize, found: usize) -> Result<(), PackedError> {
    if expected == found { Ok(()) } else { Err(PackedError::Length { what, expected, found }) }
}
