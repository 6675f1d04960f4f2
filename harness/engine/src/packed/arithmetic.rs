//! What is done with four bytes of a row and the weights of sixteen outputs.

use super::weights::Line;

/// What an instruction set offers. A block is sixteen numbers of 32 bits, one per output.
pub(crate) trait Machine: Copy {
    type Block: Copy;
    /// Additions of four-bit weights before [`Machine::narrow_end`].
    const NARROW: usize;
    /// Counts of bits before [`Machine::count_end`].
    const COUNTS: usize;

    fn load(self, line: &Line) -> Self::Block;
    fn splat(self, bytes: [u8; 4]) -> Self::Block;
    fn zero(self) -> Self::Block;
    fn add(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn sub(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn xor(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn and(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn store(self, block: Self::Block) -> [i32; 16];
    fn block(self, numbers: &[i32; 16]) -> Self::Block;
    /// A bit for each number of `a`: whether it is at least that of `b`.
    fn at_least(self, a: Self::Block, b: Self::Block) -> u16;
    /// Adds products of unsigned and signed bytes, each two of them saturated at 16 bits.
    fn saturating(self, sum: Self::Block, a: Self::Block, w: Self::Block) -> Self::Block;
    /// Adds products of signed words.
    fn words(self, sum: Self::Block, a: Self::Block, w: Self::Block) -> Self::Block;
    /// Adds products of unsigned and signed bytes.
    fn dot(self, sum: Self::Block, a: Self::Block, w: Self::Block) -> Self::Block;
    /// Low and high halves of bytes, less 8.
    fn nibbles(self, w: Self::Block) -> [Self::Block; 2];
    /// Adds products of bytes with weights of -8 to 7 to a sum that may be narrower than 32 bits.
    fn narrow(self, part: Self::Block, a: Self::Block, w: Self::Block) -> Self::Block;
    /// What a narrower sum starts from.
    fn narrow_begin(self, sum: Self::Block) -> Self::Block;
    /// Adds a narrower sum.
    fn narrow_end(self, sum: Self::Block, part: Self::Block) -> Self::Block;
    /// Adds the number of bits to a sum that may be narrower, signed.
    fn count(self, part: Self::Block, bits: Self::Block) -> Self::Block;
    /// Subtracts the number of bits.
    fn discount(self, part: Self::Block, bits: Self::Block) -> Self::Block;
    /// What a narrower count starts from.
    fn count_begin(self, sum: Self::Block) -> Self::Block;
    /// Adds a narrower count.
    fn count_end(self, sum: Self::Block, part: Self::Block) -> Self::Block;
}

/// Products of one kind of weights and activations.
pub(crate) trait Arithmetic<M: Machine>: Copy {
    /// Bytes of a row.
    type Group: Copy;
    /// The weights that meet them.
    type Packed;
    /// Both as the loop holds them.
    type Row: Copy;
    type Weights: Copy;
    /// Groups between a begin and its end.
    const CHUNK: usize = usize::MAX;
    /// Whether bits that belong to no number must be cleared, since they count whatever the weight.
    const MASKS: bool = false;

    fn groups(bytes: &[u8]) -> &[Self::Group];
    fn packed(lines: &[Line]) -> &[Self::Packed];
    fn row(machine: M, group: &Self::Group) -> Self::Row;
    fn weights(machine: M, packed: &Self::Packed) -> Self::Weights;
    fn dot(machine: M, part: M::Block, row: Self::Row, weights: Self::Weights) -> M::Block;
    #[inline(always)]
    fn begin(_machine: M, sum: M::Block) -> M::Block {
        sum
    }
    #[inline(always)]
    fn end(_machine: M, _sum: M::Block, part: M::Block) -> M::Block {
        part
    }
    /// A group with the bits of `mask` alone.
    #[inline(always)]
    fn masked(group: &Self::Group, _mask: u32) -> Self::Group {
        *group
    }
}

/// Four bytes and one line: the same for all but weights of four bits and ternary ones.
macro_rules! four_bytes {
    () => {
        type Group = [u8; 4];
        type Packed = Line;
        type Row = M::Block;
        type Weights = M::Block;

        #[inline(always)]
        fn groups(bytes: &[u8]) -> &[[u8; 4]] {
            bytes.as_chunks().0
        }
        #[inline(always)]
        fn packed(lines: &[Line]) -> &[Line] {
            lines
        }
        #[inline(always)]
        fn row(machine: M, group: &[u8; 4]) -> M::Block {
            machine.splat(*group)
        }
        #[inline(always)]
        fn weights(machine: M, packed: &Line) -> M::Block {
            machine.load(packed)
        }
    };
}

#[derive(Clone, Copy)]
pub(crate) struct Saturating;

impl<M: Machine> Arithmetic<M> for Saturating {
    four_bytes!();

    #[inline(always)]
    fn dot(machine: M, part: M::Block, row: M::Block, weights: M::Block) -> M::Block {
        machine.saturating(part, row, weights)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Exact;

impl<M: Machine> Arithmetic<M> for Exact {
    four_bytes!();

    #[inline(always)]
    fn dot(machine: M, part: M::Block, row: M::Block, weights: M::Block) -> M::Block {
        machine.words(part, row, weights)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Dot;

impl<M: Machine> Arithmetic<M> for Dot {
    four_bytes!();

    #[inline(always)]
    fn dot(machine: M, part: M::Block, row: M::Block, weights: M::Block) -> M::Block {
        machine.dot(part, row, weights)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Binary;

impl<M: Machine> Arithmetic<M> for Binary {
    const CHUNK: usize = M::COUNTS;
    const MASKS: bool = true;

    four_bytes!();

    #[inline(always)]
    fn dot(machine: M, part: M::Block, row: M::Block, weights: M::Block) -> M::Block {
        machine.count(part, machine.xor(row, weights))
    }
    #[inline(always)]
    fn begin(machine: M, sum: M::Block) -> M::Block {
        machine.count_begin(sum)
    }
    #[inline(always)]
    fn end(machine: M, sum: M::Block, part: M::Block) -> M::Block {
        machine.count_end(sum, part)
    }
    #[inline(always)]
    fn masked(group: &[u8; 4], mask: u32) -> [u8; 4] {
        (u32::from_le_bytes(*group) & mask).to_le_bytes()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Ternary;

impl<M: Machine> Arithmetic<M> for Ternary {
    type Group = [u8; 4];
    type Packed = [Line; 2];
    type Row = M::Block;
    type Weights = [M::Block; 2];
    const CHUNK: usize = M::COUNTS;

    #[inline(always)]
    fn groups(bytes: &[u8]) -> &[[u8; 4]] {
        bytes.as_chunks().0
    }
    #[inline(always)]
    fn packed(lines: &[Line]) -> &[[Line; 2]] {
        lines.as_chunks().0
    }
    #[inline(always)]
    fn row(machine: M, group: &[u8; 4]) -> M::Block {
        machine.splat(*group)
    }
    #[inline(always)]
    fn weights(machine: M, packed: &[Line; 2]) -> [M::Block; 2] {
        [machine.load(&packed[0]), machine.load(&packed[1])]
    }
    #[inline(always)]
    fn dot(machine: M, part: M::Block, row: M::Block, [plus, minus]: [M::Block; 2]) -> M::Block {
        let part = machine.count(part, machine.and(row, plus));
        machine.discount(part, machine.and(row, minus))
    }
    #[inline(always)]
    fn begin(machine: M, sum: M::Block) -> M::Block {
        machine.count_begin(sum)
    }
    #[inline(always)]
    fn end(machine: M, sum: M::Block, part: M::Block) -> M::Block {
        machine.count_end(sum, part)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Four;

impl<M: Machine> Arithmetic<M> for Four {
    type Group = [[u8; 4]; 2];
    type Packed = Line;
    type Row = [M::Block; 2];
    type Weights = [M::Block; 2];
    const CHUNK: usize = M::NARROW / 2;

    #[inline(always)]
    fn groups(bytes: &[u8]) -> &[[[u8; 4]; 2]] {
        bytes.as_chunks().0.as_chunks().0
    }
    #[inline(always)]
    fn packed(lines: &[Line]) -> &[Line] {
        lines
    }
    #[inline(always)]
    fn row(machine: M, group: &[[u8; 4]; 2]) -> [M::Block; 2] {
        [machine.splat(group[0]), machine.splat(group[1])]
    }
    #[inline(always)]
    fn weights(machine: M, packed: &Line) -> [M::Block; 2] {
        machine.nibbles(machine.load(packed))
    }
    #[inline(always)]
    fn dot(machine: M, part: M::Block, row: [M::Block; 2], w: [M::Block; 2]) -> M::Block {
        machine.narrow(machine.narrow(part, row[0], w[0]), row[1], w[1])
    }
    #[inline(always)]
    fn begin(machine: M, sum: M::Block) -> M::Block {
        machine.narrow_begin(sum)
    }
    #[inline(always)]
    fn end(machine: M, sum: M::Block, part: M::Block) -> M::Block {
        machine.narrow_end(sum, part)
    }
}
