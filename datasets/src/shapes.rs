//! `shapes10`: labelled 32x32 RGB images that are computed instead of downloaded.
//!
//! Ten figures of random place, size, rotation and colour lie on a background of gradient,
//! lattice texture, stripes and noise, with distractors below and sometimes a line above.
//! Only integers are used, so every platform makes the same bytes.
//! Records have the layout of CIFAR-10: one label byte, then the R, G and B planes.

mod figure;
mod random;

use rayon::prelude::*;

pub use figure::CLASSES;

use crate::Part;
use figure::Placed;
use random::Random;

/// Width and height in pixels.
const SIDE: i32 = 32;
/// Pixels of one plane.
const PLANE: usize = (SIDE * SIDE) as usize;
/// Bytes of one record: the label, then three planes.
pub const RECORD: usize = 1 + 3 * PLANE;
/// Images of the training split.
pub const TRAIN: usize = 12_000;
/// Images of the test split.
pub const TEST: usize = 4_000;

type Colour = [i32; 3];
type Canvas = [Colour; PLANE];

/// All records of a split, one after the other; the classes take turns.
pub fn records(part: Part) -> Vec<u8> {
    let mut out = vec![0; count(part) * RECORD];
    let images = out.par_chunks_exact_mut(RECORD).enumerate();
    images.for_each(|(index, out)| record(part, index, out));
    out
}

/// Images of a split.
pub(crate) fn count(part: Part) -> usize {
    match part {
        Part::Train => TRAIN,
        Part::Test => TEST,
    }
}

/// Computes one record; each has randomness of its own, so that none needs another.
pub(crate) fn record(part: Part, index: usize, out: &mut [u8]) {
    let tag = match part {
        Part::Train => 1,
        Part::Test => 2,
    };
    let label = (index % CLASSES.len()) as u8;
    paint(label, &mut Random::of_image(tag, index as u64), out);
}

/// Paints one image of the class into its record.
fn paint(label: u8, random: &mut Random, record: &mut [u8]) {
    let mut canvas = [[0; 3]; PLANE];
    let base = std::array::from_fn(|_| random.between(30, 225));
    background(base, random, &mut canvas);
    for _ in 0..random.between(1, 5) {
        distractor(random, &mut canvas);
    }
    figure(label, base, random, &mut canvas);
    if random.one_in(3) {
        distractor(random, &mut canvas);
    }
    finish(label, random, &canvas, record);
}

/// A gradient, a lattice of bilinear bumps and, in a third of the images, stripes.
fn background(base: Colour, random: &mut Random, canvas: &mut Canvas) {
    let slope: [(i32, i32); 3] =
        std::array::from_fn(|_| (random.between(-32, 32), random.between(-32, 32)));
    let bump = random.between(4, 36);
    let lattice: [[i32; 5]; 5] =
        std::array::from_fn(|_| std::array::from_fn(|_| random.between(-bump, bump)));
    let stripe = if random.one_in(3) { random.between(6, 24) } else { 0 };
    let (across, down) = (random.between(-40, 40), random.between(-40, 40));
    for y in 0..SIDE {
        for x in 0..SIDE {
            let wave = ((x * across + y * down) & 255) - 128;
            let shade = bilinear(&lattice, x, y) + (stripe * (wave.abs() - 64)) / 64;
            canvas[(y * SIDE + x) as usize] = std::array::from_fn(|c| {
                base[c] + ((x - 16) * slope[c].0 + (y - 16) * slope[c].1) / 32 + shade
            });
        }
    }
}

/// The lattice (one knot every eight pixels) between its knots.
fn bilinear(lattice: &[[i32; 5]; 5], x: i32, y: i32) -> i32 {
    let (column, fx) = ((x / 8) as usize, x % 8);
    let (row, fy) = ((y / 8) as usize, y % 8);
    let along = |row: &[i32; 5]| row[column] * (8 - fx) + row[column + 1] * fx;
    (along(&lattice[row]) * (8 - fy) + along(&lattice[row + 1]) * fy) / 64
}

/// A short thick line in a colour of its own.
fn distractor(random: &mut Random, canvas: &mut Canvas) {
    let colour = std::array::from_fn(|_| random.between(0, 255));
    let (mut x, mut y) = (random.between(0, 16 * SIDE - 1), random.between(0, 16 * SIDE - 1));
    let (dx, dy) = (random.between(-16, 16), random.between(-16, 16));
    let thick = random.between(1, 2);
    for _ in 0..random.between(2, 12) {
        for py in 0..thick {
            for px in 0..thick {
                let (px, py) = (px + x / 16, py + y / 16);
                if (0..SIDE).contains(&px) && (0..SIDE).contains(&py) {
                    canvas[(py * SIDE + px) as usize] = colour;
                }
            }
        }
        x += dx;
        y += dy;
    }
}

/// The figure itself, in a colour at a drawn distance from the background's.
fn figure(label: u8, base: Colour, random: &mut Random, canvas: &mut Canvas) {
    let contrast = if random.one_in(4) { random.between(24, 40) } else { random.between(40, 110) };
    let colour = base.map(|b| {
        let step = random.between(contrast / 2, contrast * 3 / 2);
        let step = if random.one_in(2) { -step } else { step };
        if (0..=255).contains(&(b + step)) { b + step } else { b - step }
    });
    let radius = random.between(26, 54);
    let room = (4 * SIDE - 2 * radius).max(0) / 2 + 6;
    let centre = (2 * SIDE + random.between(-room, room), 2 * SIDE + random.between(-room, room));
    let placed = Placed::new(label, centre, radius, random.between(0, 1023));
    for y in 0..SIDE {
        for x in 0..SIDE {
            let covered = placed.coverage(x, y);
            let pixel = &mut canvas[(y * SIDE + x) as usize];
            for (value, ink) in pixel.iter_mut().zip(colour) {
                *value = (*value * (4 - covered) + ink * covered + 2) >> 2;
            }
        }
    }
}

/// Adds noise, part of it common to the three channels, and writes the record.
fn finish(label: u8, random: &mut Random, canvas: &Canvas, record: &mut [u8]) {
    let noise = random.between(8, 40);
    record[0] = label;
    for (at, pixel) in canvas.iter().enumerate() {
        let bytes = random.bits().to_le_bytes().map(i32::from);
        let grey = bytes[0] - bytes[1];
        for (c, value) in pixel.iter().enumerate() {
            let own = bytes[2 + 2 * c] - bytes[3 + 2 * c];
            let value = value + (((grey + own) * noise) >> 8);
            record[1 + c * PLANE + at] = value.clamp(0, 255) as u8;
        }
    }
}
