//! What is multiplied, and by which instruction.

use std::ops::RangeInclusive;

use super::error::PackedError;
use super::isa::Isa;
use super::layout::Layout;

/// Widths of weights and activations, and the way of multiplying them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// u8 x i8 as `vpmaddubsw` has it: each sum of two neighbouring products saturates at 16 bits.
    /// Neighbours are codes 2i and 2i + 1 of a segment (of a row of the window in a convolution).
    Int8Saturating,
    /// u8 x i8 widened to 16 bits before multiplying: exact.
    Int8Exact,
    /// u8 x i8 by an instruction that adds four products at once (`vpdpbusd`): exact.
    Int8Dot,
    /// u8 activations, weights of 4 bits in two's complement, unpacked in registers: exact.
    Int4,
    /// Activations of 2 bits, weights of 2 bits in two's complement: a look-up gives the sum of
    /// two products.
    Int2,
    /// Weights -1, 0 and 1 as two planes of bits; activations as one plane per bit.
    Ternary,
    /// Weights and activations -1 and 1, one bit each, set for 1.
    Binary,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Kernel; 7] = [
        Kernel::Int8Saturating,
        Kernel::Int8Exact,
        Kernel::Int8Dot,
        Kernel::Int4,
        Kernel::Int2,
        Kernel::Ternary,
        Kernel::Binary,
    ];

    /// The word for it in rows and messages.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Int8Saturating => "int8-saturating",
            Kernel::Int8Exact => "int8-exact",
            Kernel::Int8Dot => "int8-dot",
            Kernel::Int4 => "int4",
            Kernel::Int2 => "int2",
            Kernel::Ternary => "ternary",
            Kernel::Binary => "binary",
        }
    }

    /// Whether the instruction set has the instruction that the kernel is named for.
    pub fn runs_on(self, isa: Isa) -> Result<(), PackedError> {
        match (self, isa) {
            #[cfg(target_arch = "x86_64")]
            (Kernel::Int8Dot, Isa::Avx2(_)) => {
                Err(PackedError::Missing { kernel: self.name(), isa: isa.name() })
            }
            _ => Ok(()),
        }
    }

    /// Codes of weights. Zero is none of binary ones.
    pub fn weights(self) -> RangeInclusive<i8> {
        match self {
            Kernel::Int8Saturating | Kernel::Int8Exact | Kernel::Int8Dot => i8::MIN..=i8::MAX,
            Kernel::Int4 => -8..=7,
            Kernel::Int2 => -2..=1,
            Kernel::Ternary | Kernel::Binary => -1..=1,
        }
    }

    /// Highest code of activations of `bits` bits, which only [`Kernel::Ternary`] has a choice of.
    /// Codes of [`Kernel::Binary`] are 0 for -1 and 1 for 1.
    pub fn top(self, bits: u8) -> u8 {
        match self {
            Kernel::Int8Saturating | Kernel::Int8Exact | Kernel::Int8Dot | Kernel::Int4 => u8::MAX,
            Kernel::Int2 => 3,
            Kernel::Ternary => u8::MAX >> (8 - bits.clamp(1, 8)),
            Kernel::Binary => 1,
        }
    }

    /// How activations lie in memory.
    pub(crate) fn layout(self) -> Layout {
        match self {
            Kernel::Int8Saturating | Kernel::Int8Dot | Kernel::Int4 => Layout::Bytes,
            Kernel::Int8Exact => Layout::Words,
            Kernel::Int2 => Layout::Pairs,
            Kernel::Ternary | Kernel::Binary => Layout::Bits,
        }
    }

    /// Bytes of a row that meet one packed block of weights.
    pub(crate) fn group(self) -> usize {
        if self == Kernel::Int4 { 8 } else { 4 }
    }

    /// Lines of weights that meet a group of activations.
    pub(crate) fn lines(self) -> usize {
        if self == Kernel::Ternary { 2 } else { 1 }
    }

    /// Planes of bits of activations that have `bits` bits.
    pub(crate) fn planes(self, bits: u8) -> usize {
        if self == Kernel::Ternary { usize::from(bits) } else { 1 }
    }

    /// Checks the number of bits of activations.
    pub(crate) fn check_bits(self, bits: u8) -> Result<(), PackedError> {
        let (lowest, highest) = match self {
            Kernel::Ternary => (1, 8),
            Kernel::Int2 => (2, 2),
            Kernel::Binary => (1, 1),
            _ => (8, 8),
        };
        super::error::dimension("the width of activations", bits.into(), lowest, highest)?;
        Ok(())
    }

    /// Checks codes of activations.
    pub(crate) fn check_codes(
        self,
        what: &'static str,
        codes: &[u8],
        bits: u8,
    ) -> Result<(), PackedError> {
        let top = self.top(bits);
        if top == u8::MAX {
            return Ok(());
        }
        // Without a way out in the middle the search is fast.
        if codes.iter().fold(0, |most, code| most.max(*code)) <= top {
            return Ok(());
        }
        let at = codes.iter().position(|code| *code > top).unwrap_or(0);
        Err(PackedError::Code {
            what,
            at,
            value: codes[at].into(),
            allowed: format!("0 to {top}"),
            kernel: self.name(),
        })
    }
}
