//! The loop of all kernels: a few rows of activations against a few panels of weights.

use super::arithmetic::{Arithmetic, Binary, Dot, Exact, Four, Machine, Saturating, Ternary};
use super::finish::Sink;
use super::kernel::Kernel;
use super::lut;
use super::weights::{Line, PANEL, Weights};

/// Where rows of activations are.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) bytes: &'a [u8],
    /// First byte of each row.
    pub(crate) offsets: &'a [usize],
    /// Class of each row: what is added to its sums. None at all for a single class.
    pub(crate) classes: &'a [u32],
    /// Planes of bits, the most significant one first, and bytes from plane to plane.
    pub(crate) planes: usize,
    pub(crate) plane_stride: usize,
    /// Bytes from segment to segment.
    pub(crate) segment_stride: usize,
}

/// All rows against all weights, in tiles of `R` rows and `N` panels.
pub(crate) struct Sweep<'a, M, const R: usize, const N: usize> {
    pub(crate) machine: M,
    pub(crate) rows: Rows<'a>,
    pub(crate) weights: &'a Weights,
    /// What is added to sums, `[class][panel]`.
    pub(crate) bases: &'a [[i32; PANEL]],
    pub(crate) sink: Sink<'a>,
}

impl<'a, M: lut::Lookup, const R: usize, const N: usize> pulp::NullaryFnOnce
    for Sweep<'a, M, R, N>
{
    /// The sink, with all sums in it.
    type Output = Sink<'a>;

    #[inline(always)]
    fn call(mut self) -> Sink<'a> {
        match self.weights.kernel {
            Kernel::Int8Saturating => self.run::<Saturating>(),
            Kernel::Int8Exact => self.run::<Exact>(),
            Kernel::Int8Dot => self.run::<Dot>(),
            Kernel::Int4 => self.run::<Four>(),
            Kernel::Ternary => self.run::<Ternary>(),
            Kernel::Binary => self.run::<Binary>(),
            Kernel::Int2 => {
                lut::run(self.machine, self.rows, self.weights, self.bases, &mut self.sink);
            }
        }
        self.sink
    }
}

impl<M: Machine, const R: usize, const N: usize> Sweep<'_, M, R, N> {
    #[inline(always)]
    fn run<A: Arithmetic<M>>(&mut self) {
        let panels = self.weights.panels();
        let whole = panels - panels % N;
        for panel in (0..whole).step_by(N) {
            self.strip::<A, N>(panel);
        }
        for panel in whole..panels {
            self.strip::<A, 1>(panel);
        }
    }

    /// All rows against `P` panels.
    #[inline(always)]
    fn strip<A: Arithmetic<M>, const P: usize>(&mut self, first: usize) {
        let (rows, weights) = (self.rows, self.weights);
        let lines = weights.panel_lines();
        let panels: [&[Line]; P] = each!(P, p => &weights.lines[(first + p) * lines..][..lines]);
        let count = rows.offsets.len();
        for row in (0..count).step_by(R) {
            let offsets: [usize; R] = each!(R, r => rows.offsets[(row + r).min(count - 1)]);
            let sums = tile::<M, A, R, P>(self.machine, rows, weights, offsets, panels);
            let bases: [&[[i32; PANEL]]; R] = each!(R, r => {
                let class = match rows.classes {
                    [] => 0,
                    classes => classes[(row + r).min(count - 1)] as usize,
                };
                &self.bases[class * weights.panels() + first..][..P]
            });
            for p in 0..P {
                let mut out = [[0; PANEL]; R];
                for r in 0..R {
                    let (sum, base) = (sums[r][p], self.machine.block(&bases[r][p]));
                    // Bits that differ count -1 where they would have counted 1.
                    out[r] = self.machine.store(if A::MASKS {
                        self.machine.sub(base, self.machine.add(sum, sum))
                    } else {
                        self.machine.add(base, sum)
                    });
                }
                self.sink.put(self.machine, row, first + p, &out[..R.min(count - row)]);
            }
        }
    }
}

/// Sums of `R` rows and `P` panels.
#[inline(always)]
fn tile<M: Machine, A: Arithmetic<M>, const R: usize, const P: usize>(
    machine: M,
    rows: Rows,
    weights: &Weights,
    offsets: [usize; R],
    panels: [&[Line]; P],
) -> [[M::Block; P]; R] {
    let groups = weights.groups;
    let tail = if A::MASKS { weights.tail() } else { u32::MAX };
    let whole = groups - usize::from(tail != u32::MAX);
    let mut sums = [[machine.zero(); P]; R];
    for plane in 0..rows.planes {
        if plane > 0 {
            for sums in &mut sums {
                for sum in sums {
                    *sum = machine.add(*sum, *sum);
                }
            }
        }
        let mut parts = sums;
        begin::<M, A, R, P>(machine, &sums, &mut parts);
        let mut room = A::CHUNK;
        for segment in 0..weights.window[0] {
            let start = plane * rows.plane_stride + segment * rows.segment_stride;
            let a: [&[A::Group]; R] =
                each!(R, r => &A::groups(&rows.bytes[offsets[r] + start..])[..groups]);
            let w: [&[A::Packed]; P] =
                each!(P, p => &A::packed(panels[p])[segment * groups..][..groups]);
            if A::CHUNK == usize::MAX {
                steps::<M, A, R, P>(machine, a, w, whole, &mut parts);
            } else {
                let mut first = 0;
                while first < whole {
                    let count = room.min(whole - first);
                    let a: [&[A::Group]; R] = each!(R, r => &a[r][first..]);
                    let w: [&[A::Packed]; P] = each!(P, p => &w[p][first..]);
                    steps::<M, A, R, P>(machine, a, w, count, &mut parts);
                    first += count;
                    room -= count;
                    if room == 0 {
                        end::<M, A, R, P>(machine, &mut sums, &parts);
                        begin::<M, A, R, P>(machine, &sums, &mut parts);
                        room = A::CHUNK;
                    }
                }
            }
            if whole < groups {
                for r in 0..R {
                    let row = A::row(machine, &A::masked(&a[r][whole], tail));
                    for p in 0..P {
                        let here = A::weights(machine, &w[p][whole]);
                        parts[r][p] = A::dot(machine, parts[r][p], row, here);
                    }
                }
                room -= 1;
                if room == 0 {
                    end::<M, A, R, P>(machine, &mut sums, &parts);
                    begin::<M, A, R, P>(machine, &sums, &mut parts);
                    room = A::CHUNK;
                }
            }
        }
        end::<M, A, R, P>(machine, &mut sums, &parts);
    }
    sums
}

/// Adds the first `count` groups.
#[inline(always)]
fn steps<M: Machine, A: Arithmetic<M>, const R: usize, const P: usize>(
    machine: M,
    a: [&[A::Group]; R],
    w: [&[A::Packed]; P],
    count: usize,
    parts: &mut [[M::Block; P]; R],
) {
    let a: [&[A::Group]; R] = each!(R, r => &a[r][..count]);
    let w: [&[A::Packed]; P] = each!(P, p => &w[p][..count]);
    for g in 0..count {
        let mut here = [A::weights(machine, &w[0][g]); P];
        for p in 1..P {
            here[p] = A::weights(machine, &w[p][g]);
        }
        for r in 0..R {
            let row = A::row(machine, &a[r][g]);
            for p in 0..P {
                parts[r][p] = A::dot(machine, parts[r][p], row, here[p]);
            }
        }
    }
}

#[inline(always)]
fn begin<M: Machine, A: Arithmetic<M>, const R: usize, const P: usize>(
    machine: M,
    sums: &[[M::Block; P]; R],
    parts: &mut [[M::Block; P]; R],
) {
    for r in 0..R {
        for p in 0..P {
            parts[r][p] = A::begin(machine, sums[r][p]);
        }
    }
}

#[inline(always)]
fn end<M: Machine, A: Arithmetic<M>, const R: usize, const P: usize>(
    machine: M,
    sums: &mut [[M::Block; P]; R],
    parts: &[[M::Block; P]; R],
) {
    for r in 0..R {
        for p in 0..P {
            sums[r][p] = A::end(machine, sums[r][p], parts[r][p]);
        }
    }
}
