//! Numbers of maps at other places: reshapes, transpositions, slices, padding, joining, spreading.

use std::sync::Arc;

use rayon::prelude::*;

use crate::autodiff::map::{BLOCK, Lanes, Map, MapShape};
use crate::autodiff::tape::{Back, Op, Tape, Value, Var};

/// Which number of an image goes where.
///
/// Positions are those of a tensor `[channels, rows, columns]`; a number may be read any number of
/// times and is written at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    from: [usize; 3],
    to: [usize; 3],
    /// Whole vectors of channels: which is written, and which is read.
    vectors: Vec<[u32; 2]>,
    /// Single numbers likewise, each as its vector times [`BLOCK`] plus its lane.
    numbers: Vec<[u32; 2]>,
}

/// Channels, rows and columns of the map that holds a value with these dimensions per image: the
/// last two are rows and columns once there are three, all before them channels.
pub fn size_of(dims: &[usize]) -> [usize; 3] {
    match *dims {
        [] => [1; 3],
        [c] => [c, 1, 1],
        [c, w] => [c, 1, w],
        [ref c @ .., h, w] => [c.iter().product(), h, w],
    }
}

fn one_image([channels, height, width]: [usize; 3]) -> MapShape {
    MapShape { images: 1, channels, height, width }
}

impl Moves {
    /// `source` gives for each position of the output that of the input, none where nothing is
    /// written.
    ///
    /// None if a position is not within the input, or images are too large to be numbered.
    pub fn new(
        from: [usize; 3],
        to: [usize; 3],
        mut source: impl FnMut(usize) -> Option<usize>,
    ) -> Option<Self> {
        let (f, t) = (one_image(from), one_image(to));
        if f.per_image().max(t.per_image()) > u32::MAX as usize / BLOCK {
            return None;
        }
        let mut moves = Self { from, to, vectors: Vec::new(), numbers: Vec::new() };
        for vector in 0..t.per_image() {
            let (block, pixel) = (vector / t.pixels(), vector % t.pixels());
            let mut places = [None; BLOCK];
            for (lane, place) in places.iter_mut().enumerate().take(t.lanes(block)) {
                let Some(at) = source((block * BLOCK + lane) * t.pixels() + pixel) else {
                    continue;
                };
                if at >= f.elements() {
                    return None;
                }
                let (channel, pixel) = (at / f.pixels(), at % f.pixels());
                *place = Some((channel / BLOCK * f.pixels() + pixel, channel % BLOCK));
            }
            moves.take(vector, &places, |from| f.lanes(from / f.pixels()), t.lanes(block));
        }
        Some(moves)
    }

    /// Notes where the numbers of a vector come from.
    fn take(
        &mut self,
        vector: usize,
        places: &[Option<(usize, usize)>; BLOCK],
        lanes_of: impl Fn(usize) -> usize,
        lanes: usize,
    ) {
        // As full as what it is copied to, so that no number gets into what fills a block up.
        if let Some((from, 0)) = places[0]
            && lanes_of(from) == lanes
            && (0..lanes).all(|lane| places[lane] == Some((from, lane)))
        {
            self.vectors.push([vector as u32, from as u32]);
            return;
        }
        for (lane, place) in places.iter().enumerate() {
            if let Some((from, from_lane)) = place {
                let number = |vector: usize, lane: usize| (vector * BLOCK + lane) as u32;
                self.numbers.push([number(vector, lane), number(*from, *from_lane)]);
            }
        }
    }

    /// The same numbers in the same order with other dimensions; none if there are not as many.
    pub fn reshape(from: [usize; 3], to: [usize; 3]) -> Option<Self> {
        let same = one_image(from).elements() == one_image(to).elements();
        same.then(|| Self::new(from, to, Some)).flatten()
    }

    /// Between values with these dimensions per image: `source` turns coordinates of the output
    /// into those of the input, and says whether there are any.
    ///
    /// None under the conditions of [`Moves::new`].
    pub fn along(
        from: &[usize],
        to: &[usize],
        source: impl Fn(&[usize], &mut [usize]) -> bool,
    ) -> Option<Self> {
        let (mut there, mut here) = (vec![0; to.len()], vec![0; from.len()]);
        Self::new(size_of(from), size_of(to), |mut position| {
            for (axis, n) in to.iter().enumerate().rev() {
                there[axis] = position % n;
                position /= n;
            }
            here.fill(0);
            let found = source(&there, &mut here) && here.iter().zip(from).all(|(i, n)| i < n);
            found.then(|| here.iter().zip(from).fold(0, |at, (i, n)| at * n + i))
        })
    }

    /// Every pixel `factor` times in each direction: the nearest neighbour.
    pub fn upsample([channels, height, width]: [usize; 3], factor: usize) -> Option<Self> {
        let to = [channels, height * factor, width * factor];
        Self::along(&[channels, height, width], &to, |there, here| {
            here[0] = there[0];
            here[1] = there[1] / factor;
            here[2] = there[2] / factor;
            true
        })
    }

    /// Whether every number stays where it is.
    pub fn is_nothing(&self) -> bool {
        self.from == self.to
            && self.numbers.is_empty()
            && self.vectors.len() == one_image(self.to).per_image()
            && self.vectors.iter().all(|[to, from]| to == from)
    }

    fn forward(&self, from: &[Lanes], to: &mut [Lanes]) {
        for [t, f] in &self.vectors {
            to[*t as usize] = from[*f as usize];
        }
        for [t, f] in &self.numbers {
            *number(to, *t) = from[*f as usize / BLOCK].0[*f as usize % BLOCK];
        }
    }

    fn backward(&self, gradient: &[Lanes], to: &mut [Lanes]) {
        for [t, f] in &self.vectors {
            let sums = &mut to[*f as usize].0;
            sums.iter_mut().zip(&gradient[*t as usize].0).for_each(|(sum, g)| *sum += g);
        }
        for [t, f] in &self.numbers {
            *number(to, *f) += gradient[*t as usize / BLOCK].0[*t as usize % BLOCK];
        }
    }
}

fn number(lanes: &mut [Lanes], at: u32) -> &mut f32 {
    &mut lanes[at as usize / BLOCK].0[at as usize % BLOCK]
}

/// One map of the numbers of several, `fill` where none is written; where two are, the later one.
///
/// None without maps, or if they do not have the sizes of their moves.
pub fn place(tape: &mut Tape, parts: &[(Var, Arc<Moves>)], fill: f32) -> Option<Var> {
    let (first, moves) = parts.first()?;
    let (x, to) = (tape.map(*first), moves.to);
    let shape = x.shape().with(to[0], to[1], to[2]);
    let fits = |(var, moves): &(Var, Arc<Moves>)| {
        let [channels, height, width] = moves.from;
        tape.map(*var).shape() == shape.with(channels, height, width) && moves.to == to
    };
    if !parts.iter().all(fits) {
        return None;
    }
    let vectors: usize = parts.iter().map(|(_, moves)| moves.vectors.len()).sum();
    let mut y = if vectors == shape.per_image() {
        x.device().dirty(shape)
    } else {
        filled(x.device().zeros(shape), fill)
    };
    let read: Vec<(&Map, &Moves)> = parts.iter().map(|(v, m)| (tape.map(*v), &**m)).collect();
    y.par_chunks_mut(shape.per_image().max(1)).enumerate().for_each(|(n, out)| {
        for (x, moves) in &read {
            moves.forward(x.image(n), out);
        }
    });
    let inputs: Vec<Var> = parts.iter().map(|p| p.0).collect();
    Some(tape.push(&inputs, Value::Map(y), Placed(parts.to_vec())))
}

/// [`place`] of one map.
pub fn rearrange(tape: &mut Tape, input: Var, moves: Moves) -> Option<Var> {
    place(tape, &[(input, Arc::new(moves))], 0.0)
}

/// A map with another number instead of zeros.
fn filled(mut map: Map, fill: f32) -> Map {
    if fill != 0.0 {
        let shape = map.shape();
        for (vector, lanes) in map.iter_mut().enumerate() {
            let block = vector % shape.per_image() / shape.pixels();
            lanes.0[..shape.lanes(block)].fill(fill);
        }
    }
    map
}

struct Placed(Vec<(Var, Arc<Moves>)>);

impl Op for Placed {
    fn backward(&self, gradient: Value, back: &mut Back<'_>) {
        let Value::Map(gradient) = gradient else { return };
        for (var, moves) in &self.0 {
            if back.wants(*var) {
                let shape = back.map(*var).shape();
                let mut out = gradient.device().zeros(shape);
                out.par_chunks_mut(shape.per_image().max(1))
                    .enumerate()
                    .for_each(|(n, out)| moves.backward(gradient.image(n), out));
                back.give(*var, Value::Map(out));
            }
        }
    }
}
