//! 3x3 convolutions by tiles, with a fraction of the multiplications.
//!
//! ```text
//! y = A' [ (G g G') * (B' d B) ] A        for each tile; * goes number by number, summed over channels
//! ```
//!
//! `d` is the tile of the input that a tile of the result sees, `g` the kernel. What a tile gives depends on
//! its own pixels alone.
//!
//! # References
//!
//! Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv:1509.09308, sections
//! 4.1 to 4.3.

#![expect(
    clippy::inline_always,
    reason = "compiled for each instruction set by being part of what is"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::{Axis, Geometry, SLACK, lines};
use super::job::Finish;
use super::kernels::{Packed, Product, blocks};
use crate::buffer::Buffer;
use crate::numbers::{narrow, positive};
use crate::simd::{Kernel, Lanes, Path};

/// Floats of the transformed tiles of the input at a time, about.
const BAND: usize = 1 << 19;
/// A product without bias begins with these.
const ZEROS: [f32; 8] = [0.0; 8];

/// Pixels of the input that a tile sees, in one direction.
const TAPS: usize = 4;
/// Pixels of the result in a tile, in one direction.
const PIXELS: usize = 2;

/// `G g` in one direction.
fn kernel([first, middle, last]: [f64; 3]) -> [f64; TAPS] {
    let outer = first + last;
    [first, 0.5 * (outer + middle), 0.5 * (outer - middle), last]
}

/// `B' d` in one direction.
#[inline(always)]
fn input<L: Lanes>(lanes: L, [a, b, c, d]: [L::Vector; TAPS]) -> [L::Vector; TAPS] {
    [
        lanes.sub(a, c),
        lanes.add(b, c),
        lanes.sub(c, b),
        lanes.sub(b, d),
    ]
}

/// `A' m` in one direction.
#[inline(always)]
fn output<L: Lanes>(lanes: L, [a, b, c, d]: [L::Vector; TAPS]) -> [L::Vector; PIXELS] {
    [lanes.add(lanes.add(a, b), c), lanes.sub(lanes.sub(b, c), d)]
}

/// A 3x3 convolution by tiles of two by two pixels: 16 multiplications in place of 36.
#[derive(Debug)]
pub(super) struct Winograd<'a> {
    /// The convolution of tiles: a kernel of `TAPS` with a stride of `PIXELS`.
    tiles: Geometry,
    /// Height and width of the result.
    size: [usize; 2],
    /// Weights that [`Winograd::weights`] has transformed.
    weights: &'a [Packed],
    path: Path,
}

/// Buffers of a thread.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    planes: Buffer,
    inputs: Buffer,
    products: Buffer,
    rows: Buffer,
}

impl<'a> Winograd<'a> {
    /// Of a convolution of 3x3 without stride, dilation and groups.
    pub(super) fn new(geometry: &Geometry, weights: &'a [Packed], path: Path) -> Self {
        let axis = |axis: Axis| Axis {
            kernel: TAPS,
            stride: PIXELS,
            positions: axis.positions.div_ceil(PIXELS),
            ..axis
        };
        let channels = [1, geometry.inputs, geometry.outputs];
        let axes = [axis(geometry.rows), axis(geometry.columns)];
        let tiles = Geometry::new(geometry.batch_size, channels, axes);
        let size = [geometry.rows.positions, geometry.columns.positions];
        Self {
            tiles,
            size,
            weights,
            path,
        }
    }

    /// The transformed weights for each place of a tile; those of a kernel are `weight(output, input)`, line
    /// by line.
    pub(super) fn weights(
        [inputs, outputs]: [usize; 2],
        path: Path,
        weight: impl Fn(usize, usize) -> [f32; 9] + Sync,
    ) -> Vec<Packed> {
        // [outputs][inputs][TAPS * TAPS]
        let mut all = vec![[[0.0_f32; TAPS]; TAPS]; outputs * inputs];
        let rows = all.par_chunks_mut(inputs).enumerate();
        rows.for_each(|(output, row)| {
            for (input, places) in row.iter_mut().enumerate() {
                *places = transformed(weight(output, input));
            }
        });
        let pack = |place: usize| {
            Packed::new(outputs, inputs, path.block(), |output, input| {
                all[output * inputs + input][place / TAPS][place % TAPS]
            })
        };
        (0..TAPS * TAPS).into_par_iter().map(pack).collect()
    }

    /// Images that are computed together.
    pub(super) fn images(&self) -> usize {
        self.tiles.images_in_plane()
    }

    /// `channels` of the result of `images` of the batch `x`, of at most `most`, put into `y`, which begins
    /// with the first of these channels. Where there are several images, `channels` are all.
    #[expect(clippy::too_many_arguments, reason = "what is read and written")]
    pub(super) fn forward(
        &self,
        x: &[f32],
        images: Range<usize>,
        most: usize,
        channels: Range<usize>,
        bias: &[f32],
        finish: Finish<'_>,
        buffers: &mut Buffers,
        y: &mut [f32],
    ) {
        let tiles = &self.tiles;
        let inputs = tiles.inputs;
        let plane = tiles.plane(most);
        let Buffers {
            planes,
            inputs: transformed,
            products,
            rows,
        } = buffers;
        let planes = planes.take(inputs * tiles.phases.len() * plane);
        tiles.lay(
            &x[images.start * tiles.image_size()..],
            images.len(),
            plane,
            planes,
        );
        let distances: Vec<usize> = tiles
            .distances()
            .into_iter()
            .map(|[phase, distance]| phase * plane + distance)
            .collect();
        let all_lines = (images.len() - 1) * (tiles.image / tiles.pitch) + tiles.rows.positions;
        let band = self.band(all_lines);
        let pitch = lines(band * tiles.pitch + SLACK);
        let transformed = transformed.take_any(TAPS * TAPS * inputs * pitch);
        let products = products.take_any(TAPS * TAPS * self.path.block() * pitch);
        let rows = rows.take_any(PIXELS * PIXELS * pitch);
        let reads: Vec<usize> = (0..inputs).map(|input| input * pitch).collect();
        for first in (0..all_lines).step_by(band) {
            let count = band.min(all_lines - first);
            let places = (count - 1) * tiles.pitch + tiles.columns.positions;
            self.path.run(Inputs {
                planes: &planes[first * tiles.pitch..],
                channel: tiles.phases.len() * plane,
                distances: &distances,
                channels: inputs,
                out: transformed,
                pitch,
                places,
            });
            for block in blocks(tiles.outputs, self.path.block()) {
                if !channels.contains(&block[0]) {
                    continue;
                }
                self.products(block, transformed, &reads, pitch, places, products);
                for (index, output) in (block[0]..block[0] + block[1]).enumerate() {
                    self.path.run(Outputs {
                        products: &products[index * pitch..],
                        place: block[1] * pitch,
                        bias: bias[output],
                        out: rows,
                        pitch,
                        places,
                    });
                    self.put(
                        rows,
                        pitch,
                        first..first + count,
                        [output, channels.start],
                        finish,
                        y,
                    );
                }
            }
        }
    }

    /// Lines of tiles that are computed at a time: few enough for the cache, and such that they fill their
    /// vectors.
    fn band(&self, lines: usize) -> usize {
        let (pitch, line) = (self.tiles.pitch, self.tiles.columns.positions);
        let most = (BAND / (TAPS * TAPS * self.tiles.inputs * pitch)).max(48_usize.div_ceil(pitch));
        let most = most.clamp(1, lines);
        let filled = |count: usize| {
            let places = (count - 1) * pitch + line;
            (count * line * 1024) / places.next_multiple_of(48)
        };
        (most.div_ceil(2)..=most)
            .max_by_key(|&count| filled(count))
            .unwrap_or(most)
    }

    /// Products of the transformed tiles with the weights of a block of channels: `[TAPS * TAPS, channels of
    /// the block, pitch]`.
    fn products(
        &self,
        [first, size]: [usize; 2],
        transformed: &[f32],
        reads: &[usize],
        pitch: usize,
        places: usize,
        products: &mut [f32],
    ) {
        let sources = transformed.chunks_exact(self.tiles.inputs * pitch);
        let results = products.chunks_exact_mut(size * pitch);
        for ((planes, out), weights) in sources.zip(results).zip(self.weights) {
            self.path.run(Product {
                planes,
                reads,
                weights: weights.block(first, size),
                bias: &ZEROS[..size],
                out,
                pitch,
                places,
                adds: false,
            });
        }
    }

    /// Puts the pixels of some lines of tiles of one channel into the result.
    fn put(
        &self,
        rows: &[f32],
        pitch: usize,
        tile_lines: Range<usize>,
        [output, before]: [usize; 2],
        finish: Finish<'_>,
        y: &mut [f32],
    ) {
        let [height, width] = self.size;
        let in_image = self.tiles.image / self.tiles.pitch;
        let before = before * height * width;
        for (index, line) in tile_lines.enumerate() {
            let (image, line) = (line / in_image, line % in_image);
            for down in 0..PIXELS.min(height.saturating_sub(line * PIXELS)) {
                if line >= self.tiles.rows.positions {
                    continue;
                }
                let to =
                    ((image * self.tiles.outputs + output) * height + line * PIXELS + down) * width;
                let y = &mut y[to - before..][..width];
                let row = |right: usize| {
                    &rows[(down * PIXELS + right) * pitch + index * self.tiles.pitch..]
                        [..self.tiles.columns.positions]
                };
                interleave(std::array::from_fn(row), y);
                if let Some(addend) = finish.addend {
                    y.iter_mut()
                        .zip(&addend[to..to + width])
                        .for_each(|(y, more)| *y += more);
                }
                if finish.relu {
                    for y in y.iter_mut() {
                        *y = positive(*y);
                    }
                }
            }
        }
    }
}

/// `G g G'`.
fn transformed(weights: [f32; 9]) -> [[f32; TAPS]; TAPS] {
    let [first, middle, last] = [0, 3, 6].map(|line| {
        let line = [weights[line], weights[line + 1], weights[line + 2]];
        kernel(line.map(f64::from))
    });
    let mut places = [[0.0; TAPS]; TAPS];
    for column in 0..TAPS {
        let of_column = [first[column], middle[column], last[column]];
        let of_column = kernel(of_column);
        for (line, value) in places.iter_mut().zip(of_column) {
            line[column] = narrow(value);
        }
    }
    places
}

/// Puts one number of each row after another.
fn interleave(rows: [&[f32]; PIXELS], y: &mut [f32]) {
    let (whole, rest) = y.as_chunks_mut::<PIXELS>();
    for (index, pixels) in whole.iter_mut().enumerate() {
        for (pixel, row) in pixels.iter_mut().zip(rows) {
            *pixel = row[index];
        }
    }
    let last = whole.len();
    for (pixel, row) in rest.iter_mut().zip(rows) {
        *pixel = row[last];
    }
}

/// `B' d B` of the tiles of all channels: `[TAPS * TAPS, channels, pitch]`.
struct Inputs<'a> {
    planes: &'a [f32],
    /// Floats of the planes of a channel.
    channel: usize,
    /// Where each pixel of the first tile lies.
    distances: &'a [usize],
    channels: usize,
    out: &'a mut [f32],
    pitch: usize,
    places: usize,
}

impl Kernel for Inputs<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (distances, _) = self.distances.as_chunks::<TAPS>();
        for channel in 0..self.channels {
            let planes = &self.planes[channel * self.channel..];
            for place in (0..self.places).step_by(L::COUNT) {
                let mut lines = [[lanes.splat(0.0); TAPS]; TAPS];
                for (line, distances) in lines.iter_mut().zip(distances) {
                    for (pixel, distance) in line.iter_mut().zip(distances) {
                        *pixel = lanes.load(&L::chunks(&planes[distance + place..][..L::COUNT])[0]);
                    }
                    *line = input(lanes, *line);
                }
                for column in 0..TAPS {
                    let mut of_column = [lanes.splat(0.0); TAPS];
                    for (value, line) in of_column.iter_mut().zip(&lines) {
                        *value = line[column];
                    }
                    let of_column = input(lanes, of_column);
                    for (line, value) in of_column.into_iter().enumerate() {
                        let at = ((line * TAPS + column) * self.channels + channel) * self.pitch;
                        let out = &mut self.out[at + place..][..L::COUNT];
                        lanes.store(value, &mut L::chunks_mut(out)[0]);
                    }
                }
            }
        }
    }
}

/// `A' m A` of the tiles of one channel, and its bias: `[PIXELS * PIXELS, pitch]`.
struct Outputs<'a> {
    products: &'a [f32],
    /// From the products of one place of a tile to those of the next.
    place: usize,
    bias: f32,
    out: &'a mut [f32],
    pitch: usize,
    places: usize,
}

impl Kernel for Outputs<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let bias = lanes.splat(self.bias);
        for place in (0..self.places).step_by(L::COUNT) {
            let mut lines = [[lanes.splat(0.0); PIXELS]; TAPS];
            for (index, line) in lines.iter_mut().enumerate() {
                let mut sums = [lanes.splat(0.0); TAPS];
                for (column, sum) in sums.iter_mut().enumerate() {
                    let at = (index * TAPS + column) * self.place + place;
                    *sum = lanes.load(&L::chunks(&self.products[at..][..L::COUNT])[0]);
                }
                *line = output(lanes, sums);
            }
            for column in 0..PIXELS {
                let mut of_column = [lanes.splat(0.0); TAPS];
                for (value, line) in of_column.iter_mut().zip(&lines) {
                    *value = line[column];
                }
                let of_column = output(lanes, of_column);
                for (line, value) in of_column.into_iter().enumerate() {
                    let at = (line * PIXELS + column) * self.pitch + place;
                    let out = &mut self.out[at..][..L::COUNT];
                    lanes.store(lanes.add(value, bias), &mut L::chunks_mut(out)[0]);
                }
            }
        }
    }
}
