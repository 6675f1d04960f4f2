//! Blocks as plain arrays, for the compiler to vectorise as far as its target goes.

use super::arithmetic::Machine;
use super::weights::Line;

/// No instruction set in particular.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type Block = [u32; 16];

#[inline(always)]
fn zip(a: Block, b: Block, f: impl Fn(u32, u32) -> u32) -> Block {
    let mut out = a;
    for (out, b) in out.iter_mut().zip(b) {
        *out = f(*out, b);
    }
    out
}

/// Products of bytes, unsigned with signed.
#[inline(always)]
fn products(a: u32, w: u32) -> [i32; 4] {
    let (a, w) = (a.to_le_bytes(), w.to_le_bytes());
    [0, 1, 2, 3].map(|i| i32::from(a[i]) * i32::from(w[i] as i8))
}

impl Machine for Portable {
    type Block = Block;
    const NARROW: usize = usize::MAX;
    const COUNTS: usize = usize::MAX;

    #[inline(always)]
    fn load(self, line: &Line) -> Block {
        let mut out = [0; 16];
        for (out, bytes) in out.iter_mut().zip(line.0.as_chunks::<4>().0) {
            *out = u32::from_le_bytes(*bytes);
        }
        out
    }
    #[inline(always)]
    fn splat(self, bytes: [u8; 4]) -> Block {
        [u32::from_le_bytes(bytes); 16]
    }
    #[inline(always)]
    fn zero(self) -> Block {
        [0; 16]
    }
    #[inline(always)]
    fn add(self, a: Block, b: Block) -> Block {
        zip(a, b, u32::wrapping_add)
    }
    #[inline(always)]
    fn sub(self, a: Block, b: Block) -> Block {
        zip(a, b, u32::wrapping_sub)
    }
    #[inline(always)]
    fn xor(self, a: Block, b: Block) -> Block {
        zip(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn and(self, a: Block, b: Block) -> Block {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn store(self, block: Block) -> [i32; 16] {
        block.map(u32::cast_signed)
    }
    #[inline(always)]
    fn block(self, numbers: &[i32; 16]) -> Block {
        numbers.map(i32::cast_unsigned)
    }
    #[inline(always)]
    fn at_least(self, a: Block, b: Block) -> u16 {
        let reached = zip(a, b, |a, b| u32::from(a.cast_signed() >= b.cast_signed()));
        reached.iter().rev().fold(0, |bits, reached| bits << 1 | *reached as u16)
    }
    #[inline(always)]
    fn saturating(self, sum: Block, a: Block, w: Block) -> Block {
        let two = |a: i32, b: i32| (a + b).clamp(i16::MIN.into(), i16::MAX.into());
        let added = zip(a, w, |a, w| {
            let p = products(a, w);
            (two(p[0], p[1]) + two(p[2], p[3])).cast_unsigned()
        });
        self.add(sum, added)
    }
    #[inline(always)]
    fn words(self, sum: Block, a: Block, w: Block) -> Block {
        let word = |x: u32| i32::from(x as i16);
        let added =
            zip(a, w, |a, w| (word(a) * word(w) + word(a >> 16) * word(w >> 16)).cast_unsigned());
        self.add(sum, added)
    }
    #[inline(always)]
    fn dot(self, sum: Block, a: Block, w: Block) -> Block {
        let added = zip(a, w, |a, w| products(a, w).iter().sum::<i32>().cast_unsigned());
        self.add(sum, added)
    }
    #[inline(always)]
    fn nibbles(self, w: Block) -> [Block; 2] {
        let less = |x: u32| {
            let bytes = (x & 0x0f0f_0f0f).to_le_bytes();
            u32::from_le_bytes(bytes.map(|b| b.wrapping_sub(8)))
        };
        [w.map(less), w.map(|x| less(x >> 4))]
    }
    #[inline(always)]
    fn narrow(self, part: Block, a: Block, w: Block) -> Block {
        self.dot(part, a, w)
    }
    #[inline(always)]
    fn narrow_begin(self, sum: Block) -> Block {
        sum
    }
    #[inline(always)]
    fn narrow_end(self, _sum: Block, part: Block) -> Block {
        part
    }
    #[inline(always)]
    fn count(self, part: Block, bits: Block) -> Block {
        zip(part, bits, |part, bits| part.wrapping_add(bits.count_ones()))
    }
    #[inline(always)]
    fn discount(self, part: Block, bits: Block) -> Block {
        zip(part, bits, |part, bits| part.wrapping_sub(bits.count_ones()))
    }
    #[inline(always)]
    fn count_begin(self, sum: Block) -> Block {
        sum
    }
    #[inline(always)]
    fn count_end(self, _sum: Block, part: Block) -> Block {
        part
    }
}
